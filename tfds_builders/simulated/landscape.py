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


# Neighbours in backscatter differ in colour as much as they can: brightness falls and rises four times from the first
# row to the last, so no straight line from dB to colour is any good. Values are typical of C band, VV, at 39 degrees.
COVERS = {
    "water": Cover((0.06, 0.17, 0.27), -21.0, 3.0, 0.05, 0.0),
    "road": Cover((0.62, 0.60, 0.58), -18.5, 2.0, 0.04, 0.0),
    "sand": Cover((0.88, 0.80, 0.66), -17.0, 2.0, 0.03, 0.3),
    "seedbed": Cover((0.80, 0.63, 0.47), -16.0, 2.0, 0.03, 0.0),
    "cereal": Cover((0.10, 0.37, 0.10), -13.0, 1.5, 0.06, 0.0),
    "grass": Cover((0.24, 0.46, 0.16), -13.0, 1.5, 0.06, 0.8),
    "stubble": Cover((0.90, 0.83, 0.57), -10.5, 1.5, 0.03, 0.0),
    "rock": Cover((0.50, 0.36, 0.29), -10.0, 1.5, 0.07, 1.0),
    "ploughed": Cover((0.33, 0.20, 0.18), -8.5, 1.5, 0.06, 0.0),
    "roof": Cover((0.70, 0.36, 0.27), -8.0, 1.0, 0.10, 0.0),
    "hall": Cover((0.92, 0.93, 0.95), -8.0, 1.0, 0.04, 0.0),
    "wood": Cover((0.04, 0.16, 0.09), -7.0, 1.0, 0.20, 1.8),
    "rape": Cover((0.90, 0.84, 0.14), -6.3, 1.0, 0.03, 0.0),
}
INDEX = {name: np.uint8(i) for i, name in enumerate(COVERS)}
"""The number that stands for a cover in ``Landscape.cover``."""

# What grows on the fields: shares of seedbed, cereal, grass, stubble, ploughed soil, rape and orchard.
CROPS = ("seedbed", "cereal", "grass", "stubble", "ploughed", "rape", "orchard")
SEASONS = {
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
    "agri": Terrain(share=0.40, slope=0.03, wood=0.12, wild=0.05, settlements=3, radius=17.0),
    "grassland": Terrain(share=0.20, slope=0.09, wood=0.33, wild=0.40, settlements=2, radius=14.0),
    "barrenland": Terrain(share=0.15, slope=0.20, wood=0.05, wild=0.80, settlements=1, radius=12.0),
    "urban": Terrain(share=0.25, slope=0.03, wood=0.10, wild=0.05, settlements=4, radius=46.0),
}


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """The geometry of one scene; every array is [256, 256]."""

    season: str
    terrain: str
    cover: np.ndarray  # uint8, numbers of ``COVERS``
    field: np.ndarray  # int64, 0 .. number of fields - 1; -1 where the ground is no field
    height: np.ndarray  # float64, metres
    street_angle: np.ndarray  # float64, radians between east and one wall of the buildings of the nearest settlement

    def is_cover(self, *names: str) -> np.ndarray:
        """Where the ground is one of these covers; bool."""
        return np.isin(self.cover, [INDEX[name] for name in names])


class _Blocks(NamedTuple):
    """A Voronoi diagram: the nearest of the sites, and how far it is to the border with the next one."""

    block: np.ndarray  # int64 [256, 256], number of the nearest site
    border: np.ndarray  # int64 [256, 256], a number that two neighbouring blocks share, below 4096
    distance: np.ndarray  # float64 [256, 256], pixels to that border
    count: int


def make_landscape(rng: np.random.Generator) -> Landscape:
    """One landscape.

    Args:
        rng: decides everything; the same generator state gives the same landscape.
    """
    season = str(rng.choice(list(SEASONS)))
    terrain = str(rng.choice(list(TERRAINS), p=[kind.share for kind in TERRAINS.values()]))
    kind = TERRAINS[terrain]
    height = _relief(rng, slope=kind.slope * rng.uniform(0.7, 1.3))

    blocks = _blocks(rng, spacing=rng.uniform(36.0, 48.0))
    cover, field = _fields(rng, blocks, shares=SEASONS[season])
    wild = _fraction(smooth_noise(rng, 40.0), kind.wild)
    cover[wild] = INDEX["rock" if terrain == "barrenland" else "grass"]
    hedged = rng.random(4096) < 2 * kind.wood
    cover[hedged[blocks.border] & (blocks.distance < 0.8)] = INDEX["wood"]
    # Trees keep to high ground and water to low ground; both edges are ragged at a scale of a few pixels.
    level = height / height.std() / 2
    cover[_fraction(level + smooth_noise(rng, 24.0) + 0.15 * smooth_noise(rng, 5.0), kind.wood)] = INDEX["wood"]
    _pour_water(rng, cover, level, dry=terrain == "barrenland")

    paved = rng.random(4096) < 0.4
    road = paved[blocks.border] & (blocks.distance < 0.8)
    road |= _level_set(smooth_noise(rng, 150.0) - rng.normal(scale=0.3)) < 1.1
    wet = cover == INDEX["water"]
    street_angle = _build(rng, cover, kind)
    # A road over water is a bridge: to the radar a bright line, since its side reflects like a wall.
    cover[road] = INDEX["road"]
    cover[road & wet] = INDEX["roof"]
    crops = [INDEX[name] for name in (*CROPS[:-1], "wood")]
    field = np.where(np.isin(cover, crops) & ~wild, field, -1)
    return Landscape(
        season=season, terrain=terrain, cover=cover, field=field, height=height, street_angle=street_angle
    )
