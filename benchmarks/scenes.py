"""A whole scene, file to file, against the same network in PyTorch driven by a plain loop over windows of rasterio.

python -m benchmarks.scenes                                                # 1,536 x 1,536 pixels, for a CPU
python -m benchmarks.scenes --height=2000 --width=20000 --network=tiny --tile=256 --rival=none --repeats=1   # memory

Each run is a process of its own, in turns: it translates a small scene first, so that all is compiled, then the large
one. The same tiles and overlap. Memory is the resident set of the process, sampled ten times a second.
"""

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks import results, timing, workloads

SAMPLES_PER_SECOND = 10
CURVE_POINTS = 100
LIMITS_DB = (-25.0, 0.0)
workloads.NETWORKS["tiny"] = workloads.UNet(
    widths=(2, 4, 8, 8, 8), blocks_per_level=1, attention=(False,) * 5, head_width=8, norm_groups=2
)


def make_scene(path: Path, height: int, width: int) -> None:
    """Speckle over smooth backscatter in dB, with a coordinate system and a border without data."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "float32", "nodata": -9999.0}
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "crs": "EPSG:32630"}
    columns = np.arange(width)
    with rasterio.open(
        path, "w", **profile, **tiles, transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6), BIGTIFF="IF_SAFER"
    ) as image:
        for start in range(0, height, 512):
            rows = np.arange(start, min(start + 512, height))[:, None]
            smooth = -12 + 5 * np.sin(rows / 300) * np.cos(columns / 400)
            values = smooth + 10 * np.log10(rng.gamma(4, 0.25, smooth.shape))
            values[np.broadcast_to(columns < width // 50, values.shape)] = -9999
            image.write(values.astype(np.float32), 1, window=Window(0, start, width, len(rows)))


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[float, float]]]:
    """Seconds and resident MiB of this process while the block runs."""
    curve: list[tuple[float, float]] = []
    stop, began = threading.Event(), time.perf_counter()

    def watch() -> None:
        while not stop.wait(1 / SAMPLES_PER_SECOND):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            curve.append((time.perf_counter() - began, pages * 4096 / 2**20))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield curve
    finally:
        stop.set()
        thread.join()


def ours(flags: argparse.Namespace) -> tuple[Callable[[Path, Path], Any], Callable[[int], float]]:
    """What translates a file, and what says how many seconds the network alone takes for so many tiles."""
    from sar2opt_jax import description
    from sar2opt_jax.export import Export
    from sar2opt_jax.scene.network import Tile
    from sar2opt_jax.scene.translate import SceneSettings, SceneTranslator

    unet = workloads.NETWORKS[flags.network]
    names = ("widths", "blocks_per_level", "attention", "head_width", "norm_groups")
    about = description.Description(
        stage="distill",
        kind="student",
        rank=3,
        unet=description.UNetSettings(**{name: getattr(unet, name) for name in names}),
        prediction=workloads.PREDICTION,
        schedule=description.ScheduleSettings(name=workloads.SCHEDULE, num_steps=1000, rescale_zero_snr=False),
        consistency=description.Consistency(solver_steps=workloads.SOLVER_STEPS, sigma_data=0.5),
        radar=description.ImageFormat(bands=("VV",), quantity="dB", limits=(LIMITS_DB,), dtype="float32"),
        optical=description.ImageFormat(bands=("red", "green", "blue")),
        image_size=flags.tile,
        dataset=description.Dataset(name="none"),
        settings={},
        preset="benchmark",
    )
    size = workloads.Size(network=flags.network, batch_size=1, image_size=flags.tile, precision="float32")
    params = workloads.parameters(size)
    translator = SceneTranslator(Export(networks={"unet": params}, description=about))
    settings = SceneSettings(steps=flags.steps, tile=flags.tile, overlap=flags.overlap, overwrite=True)

    def network_seconds(tiles: int) -> float:
        network = translator.network(translator.method(settings)[0], flags.tile)
        rng = np.random.default_rng(0)
        noise = rng.standard_normal((flags.tile, flags.tile, 3), np.float32)
        tile = Tile(noise, np.zeros((flags.tile, flags.tile, 1), np.uint8))
        began = time.perf_counter()
        for _ in network.denoise((tile for _ in range(tiles)), step=0):
            pass
        return time.perf_counter() - began

    return lambda source, target: translator(source, target, settings, quiet=not flags.bar), network_seconds


def rival(flags: argparse.Namespace) -> tuple[Callable[[Path, Path], Any], None]:
    """A loop over windows, as one writes it: the blended scene in memory, written at the end."""
    import torch

    from benchmarks.torch_workloads import Rival
    from sar2opt_jax.scene.tiling import Grid, Tiling

    size = workloads.Size(network=flags.network, batch_size=1, image_size=flags.tile, precision="float32")
    network = Rival(size, "channels_last").unet().eval()
    alpha_bar = float(workloads.schedule().alphas_bar[-1])
    low, high = LIMITS_DB

    def translate(source: Path, target: Path) -> None:
        with rasterio.open(source) as image, torch.inference_mode():
            grid = Grid.cover(image.height, image.width, Tiling(tile=flags.tile, overlap=flags.overlap))
            blended = np.zeros((3, image.height, image.width), np.float32)
            for row, top in enumerate(grid.rows.starts):
                for column, left in enumerate(grid.columns.starts):
                    window = Window(left, top, flags.tile, flags.tile)
                    values = image.read(1, window=window)
                    if (values == image.nodata).all():
                        continue
                    sar = torch.from_numpy(((values - low) / (high - low)).clip(0, 1) * 2 - 1)[None, None]
                    x = torch.randn(1, 3, flags.tile, flags.tile)
                    stacked = torch.cat([x, sar], dim=1).contiguous(memory_format=torch.channels_last)
                    eps = network(stacked, torch.tensor([999])).sample
                    x_0 = ((x - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5)[0].numpy()
                    weights = grid.weights(row, column)[..., 0]
                    blended[:, top : top + flags.tile, left : left + flags.tile] += weights * x_0
            optical = np.rint((blended.clip(-1, 1) + 1) * 127.5).astype(np.uint8)
            layout = {"driver": "GTiff", "tiled": True, "compress": "deflate", "count": 3, "dtype": "uint8"}
            place = {"height": image.height, "width": image.width, "crs": image.crs, "transform": image.transform}
            with rasterio.open(target, "w", **layout, **place) as output:
                output.write(optical)

    return translate, None


CONTENDERS = {timing.OURS: ours, "torch": rival}


def measure(flags: argparse.Namespace) -> dict[str, Any]:
    """One run of one contender, in this process."""
    from sar2opt_jax.scene.tiling import Grid, Tiling

    translate, network_seconds = CONTENDERS[flags.contender](flags)
    folder = Path(flags.folder)
    translate(folder / "small.tif", folder / "warm.tif")
    with watched() as curve:
        began = time.perf_counter()
        translate(folder / "scene.tif", folder / f"{flags.contender}.tif")
        seconds = time.perf_counter() - began
    row: dict[str, Any] = {
        "seconds": round(seconds, 2),
        "megapixels_per_second": timing.significant(flags.height * flags.width / 1e6 / seconds),
        "peak_mib": round(max(mib for _, mib in curve)),
        "curve_seconds_mib": [[round(s, 1), round(mib)] for s, mib in curve[:: max(1, len(curve) // CURVE_POINTS)]],
    }
    if network_seconds is not None:
        grid = Grid.cover(flags.height, flags.width, Tiling(tile=flags.tile, overlap=flags.overlap))
        tiles = len(grid.rows.starts) * len(grid.columns.starts) * flags.steps
        sample = min(tiles, flags.network_tiles)
        alone = network_seconds(sample) * tiles / sample
        row |= {"tiles": tiles, "network_seconds": round(alone, 2), "rest_share": round(1 - alone / seconds, 3)}
    return row


def main(arguments: list[str] | None = None) -> None:
    """The command: contenders in turns, a table, and a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--height", type=int, default=1536, help="of the scene in pixels (default: %(default)s)")
    add("--width", type=int, default=1536, help="of the scene in pixels (default: %(default)s)")
    add("--steps", type=int, default=1, help="of ours; the rival takes one (default: %(default)s)")
    add("--network", choices=tuple(workloads.NETWORKS), default="default", help="(default: %(default)s)")
    add("--tile", type=int, default=128, help="side in pixels (default: %(default)s)")
    add("--overlap", type=int, default=32, help="in pixels (default: %(default)s)")
    add("--rival", choices=("torch", "none"), default="torch", help="(default: %(default)s)")
    add("--repeats", type=int, default=2, help="runs of each (default: %(default)s)")
    add("--network_tiles", type=int, default=200, help="of which the network's time is measured (default: %(default)s)")
    add("--bar", action="store_true", help="shows our progress")
    add("--folder", help="where scenes are written; default a temporary one")
    add("--output", default="benchmarks/results/scenes.json", help="the JSON file (default: %(default)s)")
    add("--contender", choices=tuple(CONTENDERS), help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.contender:
        print(json.dumps(measure(flags)))
        return
    given = sys.argv[1:] if arguments is None else arguments
    result: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.scenes", *given]),
        **results.circumstances("jax", "numpy", "rasterio", "torch", "diffusers"),
        "runs": {name: [] for name in CONTENDERS if name in (timing.OURS, flags.rival)},
    }
    with contextlib.ExitStack() as stack:
        folder = Path(flags.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        make_scene(folder / "small.tif", flags.tile, flags.tile)
        if not (folder / "scene.tif").exists():
            make_scene(folder / "scene.tif", flags.height, flags.width)
        for _ in range(flags.repeats):
            for name, runs in result["runs"].items():
                child = ["-m", "benchmarks.scenes", *given, "--contender", name, "--folder", str(folder)]
                done = subprocess.run([sys.executable, *child], stdout=subprocess.PIPE, check=True, text=True)
                runs.append(json.loads(done.stdout.splitlines()[-1]))
                timing.say(f"{name}: " + ", ".join(f"{k} {v}" for k, v in runs[-1].items() if k != "curve_seconds_mib"))
                results.write(flags.output, result)


if __name__ == "__main__":
    main()
