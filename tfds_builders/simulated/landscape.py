"""The ground of one simulated scene: relief, fields, woods, water, roads and settlements.

A landscape is geometry only; ``imaging.py`` looks at it through a camera and a radar. Everything is made of three
ingredients: smooth noise, whose level sets are shores, rivers and wood edges; a Voronoi diagram, whose cells are
blocks of parallel fields and whose edges are roads and hedges; and rotated grids, which are fields and streets.

Arrays are [row, column] = [south, east], 256 x 256 pixels of 10 m.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SIZE = 256
"""Side of a scene in pixels."""
PIXEL_M = 10.0
"""Side of a pixel in metres, as in SEN1-2."""


class Cover(NamedTuple):
    """How one kind of ground looks to the camera and to the radar."""

    colour: tuple[float, float, float]  # red, green, blue of level ground in the sun, in [0, 1]
    sigma0_db: float  # backscatter of level ground in dB
    exponent: float  # of cos(local incidence): large for smooth surfaces, about 1 for volumes
    grain: float  # relative brightness texture that only the camera sees, standard deviation
    clumping_db: float  # backscatter texture that only the radar sees, standard deviation in dB


# From the darkest echo to the brightest the colour turns from dark to bright to dark to bright to dark, so no straight
# line from dB to colour is any good. Three pairs share their backscatter, or nearly: cereal and grass, rock and
# stubble, ploughed soil and wood. The order is that of C band, VV; the spread is stretched to fill the 25 dB that
# 8 bits hold, as the images of SEN1-2 fill them.
COVERS = {
    "water": Cover((0.08, 0.20, 0.30), -22.5, 3.0, 0.10, 0.0),
    "road": Cover((0.60, 0.57, 0.52), -20.0, 2.0, 0.06, 0.0),
    "sand": Cover((0.70, 0.62, 0.50), -18.0, 2.0, 0.05, 0.3),
    "seedbed": Cover((0.74, 0.60, 0.47), -17.5, 2.0, 0.05, 0.0),
    "cereal": Cover((0.13, 0.33, 0.13), -13.4, 1.5, 0.10, 0.0),
    "grass": Cover((0.20, 0.38, 0.16), -13.4, 1.5, 0.10, 0.8),
    "rock": Cover((0.48, 0.36, 0.30), -11.0, 1.5, 0.10, 1.0),
    "stubble": Cover((0.77, 0.71, 0.45), -10.0, 1.5, 0.05, 0.0),
    "rape": Cover((0.74, 0.71, 0.28), -8.0, 1.0, 0.05, 0.0),
    "roof": Cover((0.58, 0.40, 0.34), -8.0, 1.0, 0.10, 0.0),
    "hall": Cover((0.62, 0.63, 0.66), -8.0, 1.0, 0.06, 0.0),
    "ploughed": Cover((0.30, 0.20, 0.17), -4.8, 1.5, 0.10, 0.0),
    "wood": Cover((0.06, 0.18, 0.11), -4.8, 1.0, 0.20, 1.4),
}
INDEX = {name: np.uint8(i) for i, name in enumerate(COVERS)}
"""The number that stands for a cover in ``Landscape.cover``."""

CROPS = ("seedbed", "cereal", "grass", "stubble", "ploughed", "rape")
"""Covers of fields."""
SEASONS = {  # shares of CROPS and, last, of orchards; the only thing that a season decides
    "spring": (0.20, 0.26, 0.10, 0.02, 0.10, 0.24, 0.08),
    "summer": (0.04, 0.18, 0.14, 0.32, 0.08, 0.16, 0.08),
    "fall": (0.24, 0.12, 0.14, 0.18, 0.24, 0.00, 0.08),
}


class Terrain(NamedTuple):
    """What a kind of landscape is made of."""

    share: float  # of the scenes
    slope: float  # root mean square of the relief's slope
    wood: float  # share of the ground under trees, roughly
    wild: float  # share of the ground that is not fields, roughly: grass, or rock where it is barren
    settlements: int  # how many
    radius: float  # of a settlement, in pixels


TERRAINS = {
    "agri": Terrain(share=0.40, slope=0.02, wood=0.12, wild=0.05, settlements=3, radius=17.0),
    "grassland": Terrain(share=0.20, slope=0.06, wood=0.33, wild=0.40, settlements=2, radius=14.0),
    "barrenland": Terrain(share=0.15, slope=0.22, wood=0.04, wild=1.0, settlements=1, radius=12.0),
    "urban": Terrain(share=0.25, slope=0.02, wood=0.10, wild=0.05, settlements=4, radius=46.0),
}


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """The geometry of one scene; every array is [256, 256]."""

    season: str
    terrain: str
    cover: np.ndarray  # uint8, numbers of ``COVERS``
    field: np.ndarray  # int64, 0 .. number of fields - 1; -1 where the ground is not farmed
    height: np.ndarray  # float64, metres
    street_angle: np.ndarray  # float64, radians between east and one wall of the buildings of the nearest settlement

    def is_cover(self, *names: str) -> np.ndarray:
        """Where the ground is one of these covers; bool."""
        return np.isin(self.cover, [INDEX[name] for name in names])


_ROW, _COLUMN = np.mgrid[:SIZE, :SIZE]
_BORDERS = 1024  # numbers of borders; that two far borders share one does no harm


class _Blocks(NamedTuple):
    """A Voronoi diagram: the nearest of the sites, and how far it is to the border with the next one."""

    block: np.ndarray  # int64 [256, 256], number of the nearest site
    border: np.ndarray  # int64 [256, 256], a number that two neighbouring blocks share, below _BORDERS
    distance: np.ndarray  # float64 [256, 256], pixels to that border
    total: int


def make_landscape(rng: np.random.Generator) -> Landscape:
    """One landscape.

    Args:
        rng: decides everything; the same state of it gives the same landscape.
    """
    season = str(rng.choice(list(SEASONS)))
    terrain = str(rng.choice(list(TERRAINS), p=[kind.share for kind in TERRAINS.values()]))
    kind = TERRAINS[terrain]
    height = _relief(rng, slope=kind.slope * rng.uniform(0.7, 1.3))

    blocks = _blocks(rng, spacing=int(rng.integers(36, 50)))
    cover, field = _fields(rng, blocks, shares=SEASONS[season])
    wild = _lowest(smooth_noise(rng, 40.0), min(1.0, kind.wild * rng.uniform(0.7, 1.5)))
    cover[wild] = INDEX["rock" if terrain == "barrenland" else "grass"]
    field[wild] = -1
    hedged = rng.random(_BORDERS) < 1.5 * kind.wood
    cover[hedged[blocks.border] & (blocks.distance < 0.8)] = INDEX["wood"]
    # Trees keep to high ground and water to low ground; edges are ragged at a scale of a few pixels.
    level = (height - height.mean()) / (2 * height.std())
    roughness = smooth_noise(rng, 24.0) + 0.2 * smooth_noise(rng, 5.0)
    cover[_lowest(-level + roughness, kind.wood * rng.uniform(0.5, 1.5))] = INDEX["wood"]
    _pour_water(rng, cover, level, dry=terrain == "barrenland")

    wet = cover == INDEX["water"]
    street_angle = _build(rng, cover, kind)
    paved = rng.random(_BORDERS) < 0.25
    main_road = _distance_to_zero(smooth_noise(rng, 150.0) - rng.normal(scale=0.3)) < 1.1
    cover[main_road | (paved[blocks.border] & (blocks.distance < 0.8) & ~wet)] = INDEX["road"]
    # Over water the main road is a bridge: to the radar a bright line, because its sides reflect like walls.
    cover[main_road & wet] = INDEX["hall"]
    return Landscape(season=season, terrain=terrain, cover=cover, field=field, height=height, street_angle=street_angle)


def smooth_noise(rng: np.random.Generator, scale: float) -> np.ndarray:
    """Random values on a lattice, joined by cubic B-splines: [256, 256], mean 0, variance 1 on average.

    Args:
        rng: draws the values and where the lattice begins.
        scale: distance of the lattice points in pixels.
    """
    count = int(SIZE / scale) + 5
    start_row, start_column = rng.random(2)
    # 151 / 315 is what one axis leaves of the lattice's variance: the integral of the squared B-spline.
    lattice = rng.standard_normal((count, count)) / (151 / 315)
    columns = _join(lattice, scale, start=start_row).T
    return np.ascontiguousarray(_join(columns, scale, start=start_column).T)


def _join(lattice: np.ndarray, scale: float, *, start: float) -> np.ndarray:
    """Cubic B-splines along the first axis, [256, ...]; four terms, summed in a fixed order."""
    position = np.arange(SIZE) / scale + start
    first = position.astype(np.int64)
    t = (position - first)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    joined = np.zeros((SIZE, lattice.shape[1]))
    for i, weight in enumerate(weights):
        joined += weight / 6 * lattice[first + i]
    return joined


def _relief(rng: np.random.Generator, *, slope: float) -> np.ndarray:
    """Hills of all sizes with a given root mean square slope, in metres; the folds of |noise| are the valleys."""
    height = np.sum([scale * np.abs(smooth_noise(rng, scale)) for scale in (96.0, 48.0, 24.0, 12.0)], axis=0)
    south, east = np.gradient(height, PIXEL_M)
    return height * slope / np.sqrt(np.mean(south**2 + east**2))


def _lowest(values: np.ndarray, share: float) -> np.ndarray:
    """Where the lowest values stand that make up this share of the scene; bool."""
    return values < np.quantile(values, min(share, 1.0))


def _distance_to_zero(values: np.ndarray) -> np.ndarray:
    """Pixels from a smooth function's zero line, to first order: |f| / |grad f|."""
    south, east = np.gradient(values)
    return np.abs(values) / (np.hypot(south, east) + 1e-9)


def _blocks(rng: np.random.Generator, *, spacing: int) -> _Blocks:
    """Voronoi cells of one random site in each square of a lattice, ``spacing`` pixels wide."""
    side = SIZE // spacing + 3  # one square more on every side
    sites = (np.moveaxis(np.mgrid[:side, :side], 0, -1) - 1 + rng.uniform(0.1, 0.9, (side, side, 2))) * spacing
    numbers = np.arange(side**2).reshape(side, side)
    block, border = np.empty((2, SIZE, SIZE), np.int64)
    distance = np.empty((SIZE, SIZE))
    for i, j in np.ndindex(side - 2, side - 2):
        square = np.s_[i * spacing : (i + 1) * spacing, j * spacing : (j + 1) * spacing]
        row, column = (axis[square] for axis in (_ROW, _COLUMN))
        # The nearest sites are in the same square or in the eight around it.
        near, name = sites[i : i + 3, j : j + 3].reshape(9, 2), numbers[i : i + 3, j : j + 3].ravel()
        squared = (near[:, 0, None, None] - row) ** 2 + (near[:, 1, None, None] - column) ** 2
        first = squared.argmin(axis=0)
        best = squared.min(axis=0)
        np.put_along_axis(squared, first[None], np.inf, axis=0)
        second = squared.argmin(axis=0)
        apart = near[first] - near[second]
        block[square] = name[first]
        border[square] = np.minimum(name[first], name[second]) * 37 + np.maximum(name[first], name[second])
        distance[square] = (squared.min(axis=0) - best) / (2 * np.hypot(apart[..., 0], apart[..., 1]))
    return _Blocks(block=block, border=border % _BORDERS, distance=distance, total=side**2)


def _fields(rng: np.random.Generator, blocks: _Blocks, *, shares: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Strips of parallel fields in every block: their cover and their numbers."""
    angle, width = rng.uniform(0, np.pi, blocks.total), rng.uniform(8.0, 16.0, blocks.total)
    length, orchard_start = rng.uniform(15.0, 30.0, blocks.total), rng.uniform(0, 4, blocks.total)
    across, along = _rotated(_ROW, _COLUMN, angle[blocks.block])
    strip = np.floor(across / width[blocks.block]).astype(np.int64) % 64
    # Fields of neighbouring strips do not end on one line.
    along = along / length[blocks.block] + rng.random((blocks.total, 64))[blocks.block, strip]
    name = (blocks.block * 64 + strip) * 64 + np.floor(along).astype(np.int64) % 64
    names, field = np.unique(name, return_inverse=True)
    field = field.reshape(SIZE, SIZE)

    crop = rng.choice(len(CROPS) + 1, size=len(names), p=shares)[field]
    orchard = crop == len(CROPS)
    cover = np.array([INDEX[name] for name in (*CROPS, "grass")])[crop]
    # Orchards are rows of trees four pixels apart: on average about as bright as rape, but striped.
    rows = (across + orchard_start[blocks.block]) % 4 < 2
    cover[orchard & rows] = INDEX["wood"]
    return cover, np.where(orchard, -1, field)


def _pour_water(rng: np.random.Generator, cover: np.ndarray, level: np.ndarray, *, dry: bool) -> None:
    """Lakes in hollows and perhaps a river between sandy banks, drawn into ``cover``; sand alone where it is dry."""
    lake = _lowest(level + smooth_noise(rng, 30.0), 0.0 if dry else max(0.0, rng.uniform(-0.04, 0.08)))
    cover[lake] = INDEX["water"]
    if rng.random() < 0.6:
        course = smooth_noise(rng, 70.0) + 0.12 * smooth_noise(rng, 14.0)
        distance, half_width = _distance_to_zero(course), rng.uniform(1.5, 4.5)
        cover[distance < half_width + 1.5] = INDEX["sand"]
        if not dry:
            cover[distance < half_width] = INDEX["water"]


def _build(rng: np.random.Generator, cover: np.ndarray, kind: Terrain) -> np.ndarray:
    """Settlements, drawn into ``cover``: streets in a grid, houses along them, halls in the industrial parts.

    Returns:
        ``Landscape.street_angle``.
    """
    angle = np.zeros((SIZE, SIZE))
    ragged, industry = 0.3 * smooth_noise(rng, 12.0), smooth_noise(rng, 22.0) > 0.9
    for _ in range(kind.settlements):
        centre, radius = rng.uniform(0, SIZE, 2), kind.radius * rng.uniform(0.7, 1.3)
        turn, period, plot = rng.uniform(-np.pi / 4, np.pi / 4), rng.uniform(8.5, 11.0), rng.uniform(4.2, 5.5)
        built = rng.random((64, 64)) < 0.85

        # Nothing of a settlement is farther from its centre than this, so the rest of the scene is left alone.
        first, last = np.clip(np.rint([centre - 2.5 * radius, centre + 2.5 * radius]), 0, SIZE).astype(np.int64)
        box = (slice(first[0], last[0]), slice(first[1], last[1]))
        row, column = _ROW[box], _COLUMN[box]
        across, along = _rotated(row, column, np.full(row.shape, turn))
        from_centre = np.hypot(row - centre[0], column - centre[1]) / radius
        inside = (from_centre + ragged[box] < 1) & (cover[box] != INDEX["water"])
        street = (across % period < 1.4) | (along % (6 * plot) < 1.4)
        half = (across % period > 1.4 + (period - 1.4) / 2).astype(np.int64)
        lot = built[(2 * (across // period).astype(np.int64) + half) % 64, (along // plot).astype(np.int64) % 64]
        from_street = np.minimum(across % period - 1.4, period - across % period)
        house = lot & (from_street > 0.4) & (from_street < 3.2) & (along % plot > 1.3)
        hall = (across % (2 * period) > 3.0) & (along % (3 * plot) > 3.0)

        cover[box][inside] = INDEX["grass"]
        cover[box][inside & house] = INDEX["roof"]
        cover[box][inside & (street | industry[box])] = INDEX["road"]
        cover[box][inside & industry[box] & hall] = INDEX["hall"]
        angle[box][inside] = turn
    return angle


def _rotated(row: np.ndarray, column: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in axes turned by an angle, in pixels."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return column * cosine + row * sine, row * cosine - column * sine
