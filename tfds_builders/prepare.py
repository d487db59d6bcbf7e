"""Turns downloaded pairs into a TFDS dataset that the pipeline reads:

    sar2opt prepare sen12 --manual_dir=DOWNLOADED --data_dir=PREPARED
    sar2opt prepare gf3/qxs_saropt --manual_dir=DOWNLOADED --data_dir=PREPARED
    sar2opt prepare simulated --data_dir=PREPARED
    sar2opt prepare pairs/NAME --manual_dir=DOWNLOADED --data_dir=PREPARED --sar_range=-25,0
    sar2opt prepare pairs/NAME --manual_dir=DOWNLOADED --data_dir=PREPARED --sar_range=-25,0 --tile=256

The command of TFDS itself, `tfds build`, needs TensorFlow; this one does not. From a checkout,
`python -m tfds_builders.prepare` does the same.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfds_builders import BUILDERS, interruption
from tfds_builders.bad_files import BadFilesError
from tfds_builders.preparation import prepare as prepare
from tfds_builders.preparation import prepare_or_reuse
from tfds_builders.registry import FILE_FORMATS, Request, own_pairs
from tfds_builders.registry import make_builder as make_builder
from tfds_builders.summary import summary as summary

if TYPE_CHECKING:
    from tfds_builders.pairs import Settings


def main(arguments: list[str] | None = None) -> None:
    """The command: prepares, then prints a summary.

    What is wrong with the input ends it with one message, and a signal with one line and ``interruption.STATUS``.
    """
    given = _joined(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if not given:
        print(
            f"{parser.prog} needs a dataset.\n\n{(__doc__ or '').strip()}\n\n--help lists all flags.", file=sys.stderr
        )
        sys.exit(2)
    flags = parser.parse_args(given)
    try:
        with interruption.raised():
            done = prepare_or_reuse(
                Request(
                    name=flags.name,
                    data_dir=flags.data_dir,
                    manual_dir=flags.manual_dir,
                    skip_bad=flags.skip_bad,
                    processes=flags.processes,
                    settings=_settings(flags),
                    file_format=flags.file_format,
                    overwrite=flags.overwrite,
                )
            )
    except interruption.Interrupted as signal:
        print(
            f"\nInterrupted by {signal}: nothing of {flags.name} was prepared or replaced; run the same command again.",
            file=sys.stderr,
        )
        sys.exit(interruption.STATUS)
    except BadFilesError as error:
        sys.exit(f"{error}{_listed(error)}")
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")
    if not done.made:
        print("\n".join((f"{flags.name} is already prepared, nothing read.", *done.remarks)))
    print(summary(done.builder))


def _listed(error: BadFilesError) -> str:
    """Where all bad files are listed, if the message only counts some."""
    if not error.abbreviated:
        return ""
    with tempfile.NamedTemporaryFile("w", prefix="bad_files_", suffix=".txt", delete=False) as file:
        file.write(error.listing())
    return f" All of them are listed in {file.name}."


def _joined(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--sar_range -25,0`` as ``--sar_range=-25,0``, which argparse takes for another flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and re.fullmatch(r"--\w+", joined[-1]) and re.match(r"-[\d.]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    typed = sys.argv[0] if sys.argv[0].startswith("sar2opt ") else "python -m tfds_builders.prepare"
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=typed, description=__doc__, formatter_class=as_written)
    parser.add_argument("name", help=f"one of {', '.join(BUILDERS)}, with a configuration where wanted: gf3/qxs_saropt")
    parser.add_argument("--manual_dir", help="folder of the downloaded files")
    parser.add_argument("--data_dir", help="where to write (default: ~/tensorflow_datasets)")
    parser.add_argument("--skip_bad", action="store_true", help="leave out and record bad files instead of stopping")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="prepare again; the dataset that is there stays until the new one is done",
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="how many decode files (default: one a core)"
    )
    own = parser.add_argument_group("images of your own, pairs/NAME", "see tfds_builders/pairs/README.md")
    own.add_argument("--sar_range", help="what becomes 0 and 255: -25,0 or, a band, '-25,0;-32.5,0' or p2,p98")
    own.add_argument("--sar_scale", help="linear or amplitude values are brought to dB, for which the range then holds")
    own.add_argument("--sar_bands", type=_bands, help="1,2: the bands that become channels (default: all)")
    own.add_argument("--sar_nodata", type=float, help="-9999: marks pixels without data, where the files do not say so")
    own.add_argument("--optical_range", help="the same for the optical images: 0,3500")
    own.add_argument("--optical_bands", type=_bands, help="4,3,2: those of red, green and blue")
    own.add_argument("--optical_nodata", type=float, help="0: the same for the optical images")
    own.add_argument("--scene_regex", help=r"'^(\w+)_\d+': finds the scene in a file's name")
    own.add_argument("--tile", type=int, help="256: cuts whole scenes into tiles of so many pixels a side")
    own.add_argument("--stride", type=int, help="pixels from one tile to the next (default: tiles do not overlap)")
    own.add_argument("--max_nodata", type=float, help="0.1: share of a tile without data that is kept (default: 0)")
    parser.add_argument(
        "--file_format", help=f"{FILE_FORMATS[0]} (default) or {FILE_FORMATS[1]}, which tfds.load asks for"
    )
    return parser


def _bands(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of bands, expected numbers such as 4,3,2") from None


def _settings(flags: argparse.Namespace) -> "Settings | None":
    """What the flags state about one's own images; None where they state nothing."""

    def stated(prefix: str, names: Sequence[str]) -> dict[str, Any]:
        values = {name: getattr(flags, f"{prefix}{name}", None) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    sar, optical = (stated(prefix, ("range", "scale", "bands", "nodata")) for prefix in ("sar_", "optical_"))
    rest = stated("", ("scene_regex", "tile", "stride", "max_nodata"))
    if not (sar or optical or rest):
        return None
    pairs = own_pairs()
    return pairs.Settings(sar=pairs.Reading(**sar), optical=pairs.Reading(**optical), **rest)


def run() -> None:
    """The entry point, of ``sar2opt prepare``."""
    main()


if __name__ == "__main__":
    run()
