"""The README's picture: whole test images of the simulated dataset, 64 x 64 pixels, and their translations.

python -m benchmarks.overview Student=runs/acd-simulated:1 pix2pix=runs/pix2pix-simulated:1 --output=overview.png

The first images of the split, none chosen by eye. After the last colon of a network: its number of steps.
"""

import argparse

import numpy as np

import sar2opt_jax
from sar2opt_jax.data import prepared
from sar2opt_jax.evaluation.results import steps_text
from sar2opt_jax.report import panels
from sar2opt_jax.report.sheets import Column, Sheet
from tfds_builders import preparation

DATASET = "simulated"


def main(arguments: list[str] | None = None) -> None:
    """Translates and draws."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overview", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("networks", nargs="+", metavar="NAME=PATH:STEPS")
    parser.add_argument("--rows", type=int, default=4, help="images (default: %(default)s)")
    parser.add_argument("--data_dir", help="where prepared datasets stand")
    parser.add_argument("--output", required=True, help="a PNG file")
    flags = parser.parse_args(arguments)
    preparation.prepare(DATASET, data_dir=flags.data_dir)
    source = prepared.open_split(DATASET, split="test", data_dir=flags.data_dir)
    sar, optical = (np.stack([source[i][key] for i in range(flags.rows)]) for key in ("sar", "optical"))
    columns = [
        Column(title="Radar", role="sar", lines=("input",), images=np.repeat(sar, 3, axis=-1)),
        Column(title="Optical truth", role="truth", images=optical),
    ]
    for text in flags.networks:
        name, _, place = text.partition("=")
        path, _, steps = place.rpartition(":")
        translator = sar2opt_jax.load(path)
        images = np.stack([translator(image, steps=int(steps)) for image in sar])
        columns.append(Column(title=name, lines=(steps_text(int(steps)),), images=images))
    panels.draw(Sheet(groups=(("", tuple(columns)),))).savefig(flags.output)


if __name__ == "__main__":
    main()
