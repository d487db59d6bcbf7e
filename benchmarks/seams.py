"""Where tiles meet: how visible their borders are, blended at every sampling step, only at the end, or not at all.

python -m benchmarks.seams --model=RUN --input=SCENE.tif --steps=4

Three measures of a translation; the first two are 1 where nothing shows. *Border*: the mean step of grey levels
across the first and last columns of tiles, divided by that across all others. *Period*: the power of that profile of
steps at the period of the tiles, divided by the median of its neighbours. *Shift*: the mean difference, in grey
levels, from the translation by another grid of tiles, whose overlap is larger by an eighth of a tile. Besides the
scene, hard cases are translated: flat land, water (dark speckle), and a single bright block in a dim surrounding.
"""

import argparse
import functools
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from benchmarks import results, timing
from sar2opt_jax import export
from sar2opt_jax.scene import raster
from sar2opt_jax.scene.network import Tile, TileNetwork
from sar2opt_jax.scene.sweep import Sweep
from sar2opt_jax.scene.tiling import BLOCK, Grid, Tiling, block_noise
from sar2opt_jax.scene.translate import ImageRadar, SceneSettings, SceneTranslator
from sar2opt_jax.translator import Translator
from sar2opt_jax.types import make_key

SEED = 0


def at_every_step(radar: ImageRadar, network: TileNetwork, translator: Translator, tiling: Tiling) -> np.ndarray:
    """As scenes are translated."""
    del translator
    rows = Sweep(radar, network, tiling=tiling, key=make_key(SEED))
    return np.concatenate([each.images[0] for each in rows])


def at_the_end(
    radar: ImageRadar, network: TileNetwork, translator: Translator, tiling: Tiling, *, own_noise: bool = False
) -> np.ndarray:
    """Every tile is sampled by itself, with the scene's noise or noise of its own, and blended when it is finished."""
    levels, _ = radar.read(0, radar.height)
    grid = Grid.cover(radar.height, radar.width, tiling)
    corners = [(row, column) for row in range(len(grid.rows.starts)) for column in range(len(grid.columns.starts))]
    spans = [
        tuple(slice(start, start + tiling.tile) for start in (grid.rows.starts[row], grid.columns.starts[column]))
        for row, column in corners
    ]
    drawn = functools.partial(noise, radar, spans, own=own_noise)
    x_t, before = drawn(0), None
    advance = jax.jit(translator.advance, static_argnames=("method", "step"))
    x_0: list[np.ndarray] = []
    for step in range(network.num_steps):
        tiles = (Tile(x, levels[span]) for x, span in zip(x_t, spans, strict=True))
        x_0 = [np.array(estimate) for estimate in network.denoise(tiles, step=step)]
        fresh = drawn(step + 1)
        x_t = [
            np.asarray(
                advance(
                    x[None],
                    estimate[None],
                    eps[None],
                    x_0_before=None if before is None else before[i][None],
                    method=network.method,
                    step=step,
                )[0]
            )
            for i, (x, estimate, eps) in enumerate(zip(x_t, x_0, fresh, strict=True))
        ]
        before = x_0
    blended = np.zeros((*levels.shape[:2], 3), np.float32)
    for (row, column), span, estimate in zip(corners, spans, x_0, strict=True):
        blended[span] += grid.weights(row, column) * estimate
    return blended


def noise(radar: ImageRadar, spans: list[tuple[slice, ...]], number: int, *, own: bool) -> list[np.ndarray]:
    """The noise of each tile: a window of the scene's, or its own."""
    if own:
        rng = np.random.default_rng(number)
        return [rng.standard_normal((s.stop - s.start, s.stop - s.start, 3), np.float32) for s, _ in spans]
    key = jax.random.fold_in(jax.random.fold_in(make_key(SEED), 0), number)
    columns = -(-radar.width // BLOCK)
    rows = [np.asarray(block_noise(key, row, 0, columns=columns)) for row in range(-(-radar.height // BLOCK))]
    scene = np.concatenate(rows)
    return [scene[span] for span in spans]


BLENDS = {
    "every_step": (at_every_step, 0.25),
    "at_the_end": (at_the_end, 0.25),
    "at_the_end_own_noise": (functools.partial(at_the_end, own_noise=True), 0.25),
    "none": (at_every_step, 0.0),
}
"""What translates, and the share of a tile that neighbours have in common."""


def levels_apart(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference of two images in [-1, 1], in grey levels."""
    return float(np.abs(one.clip(-1, 1) - other.clip(-1, 1)).mean() * 127.5)


def visibility(image: np.ndarray, tiling: Tiling) -> dict[str, float]:
    """``border`` and ``period`` of an image in [-1, 1], [height, width, 3]."""
    levels = (image.clip(-1, 1) + 1) * 127.5
    steps = np.abs(np.diff(levels, axis=1)).mean(axis=(0, 2))  # [width - 1]
    starts = Grid.cover(*image.shape[:2], tiling).columns.starts
    borders = {x - 1 for start in starts for x in (start, start + tiling.tile)}
    is_border = np.array([x in borders for x in range(len(steps))])
    power = np.abs(np.fft.rfft(steps - steps.mean())) ** 2
    wave = round(len(steps) * (len(starts) - 1) / (starts[-1] - starts[0]))
    around = np.r_[power[max(1, wave - 6) : wave - 1], power[wave + 2 : wave + 7]]
    return {
        "border": timing.significant(steps[is_border].mean() / max(steps[~is_border].mean(), 1e-6)),
        "period": timing.significant(power[wave - 1 : wave + 2].max() / max(np.median(around), 1e-9)),
    }


def cases(levels: np.ndarray, side: int) -> Mapping[str, np.ndarray]:
    """Levels of the scene and of hard cases, [side, side, bands] uint8."""
    rng = np.random.default_rng(0)
    shape = (side, side, levels.shape[-1])
    speckle = 10 * np.log10(rng.gamma(4, 0.25, shape)) * 10  # 255 levels are about 25 dB.
    city = np.full(shape, 60.0)
    city[side // 2 - 40 : side // 2 + 40, side // 2 - 40 : side // 2 + 40] = 240
    made = {"flat": np.full(shape, 110.0), "water": 25 + speckle, "city": city + speckle}
    top, left = (max(0, (size - side) // 2) for size in levels.shape[:2])
    scene = levels[top : top + side, left : left + side]
    return {"scene": scene, **{name: values.clip(0, 255).astype(np.uint8) for name, values in made.items()}}


def main(arguments: list[str] | None = None) -> None:
    """The command: every blend on every case, a line each, and a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seams", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--model", required=True, help="a workdir, or a checkpoint")
    add("--input", required=True, help="a scene in the model's units")
    add("--steps", type=int, default=4, help="(default: %(default)s)")
    add("--side", type=int, default=512, help="of what is translated, in pixels (default: %(default)s)")
    add("--output", default="benchmarks/results/seams.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)
    trained = export.load(flags.model)
    scenes = SceneTranslator(trained)
    settings = SceneSettings(steps=flags.steps)
    [method, _], tiling = scenes.method(settings), scenes.tiling(settings)
    with raster.opened(flags.input, trained.description) as scene:
        levels, _ = scene.read(0, scene.height)
    measured: dict[str, dict[str, Any]] = {}
    network = scenes.network(method, tiling.tile)
    for case, radar in cases(levels, flags.side).items():
        image = ImageRadar(radar, np.zeros(radar.shape[:2], bool))
        for name, (blend, share) in BLENDS.items():
            one, other = (Tiling(tile=tiling.tile, overlap=int(part * tiling.tile)) for part in (share, share + 0.125))
            found = blend(image, network, trained.translator, one)
            shifted = blend(image, network, trained.translator, other)
            row = visibility(found, one) | {"shift": timing.significant(levels_apart(found, shifted))}
            measured.setdefault(case, {})[name] = row
            timing.say(f"{case:6} {name:21} " + "  ".join(f"{key} {value:7.3f}" for key, value in row.items()))
    given = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", "-m", "benchmarks.seams", *given])
    about = {"model": trained.description.preset, "steps": trained.description.step, "method": str(method)}
    results.write(flags.output, {"command": command, **results.circumstances("jax"), **about, "measured": measured})


if __name__ == "__main__":
    main()
