"""Says what a training takes of a machine that need not be at hand: memory, time and money.

    sar2opt plan --config=acd:sen12 --topology=v5e:2x4
    sar2opt plan --config=acd:sen12 --topology=v5p:2x2x2 --price=4.2 --config.train.batch_size=64
    sar2opt plan --config=acd --topology=cpu                      # or gpu: this machine's own

Compiles the training step of every stage, and the translator, with the target's own compiler; for a TPU slice that
needs the extra `plan` (pip install 'sar2opt-jax[plan]') and no TPU. Large networks take minutes; results are kept. No
data is read, nothing is trained. Exit status 1: something does not fit, and the last lines say what would.
"""

import logging
import sys

from absl import app, flags
from ml_collections import config_flags

from sar2opt_jax.cli import cache, start
from sar2opt_jax.cli.configs import ConfigParser

_CONFIG = config_flags.DEFINE_config_file("config", None, "A config, a preset after a colon: acd:smoke.")
flags.FLAGS["config"].parser = ConfigParser()
_TOPOLOGY = flags.DEFINE_string("topology", None, "A TPU slice, such as v5e:4x4 or v5p:2x2x2; or cpu, or gpu.")
_PRICE = flags.DEFINE_float("price", None, "Dollars an hour of one chip.", lower_bound=0)
_EFFICIENCY = flags.DEFINE_float(
    "efficiency",
    1.0,
    "Share of the roofline's speed that steps reach, for hours and rates; default 1, which no step does.",
    lower_bound=0.001,
    upper_bound=1.0,
)
_LARGEST_BATCH = flags.DEFINE_enum(
    "largest_batch",
    "law",
    ["none", "law", "checked"],
    "none; law (default): by a line through two batches; checked: that, and compiled. A program more each.",
)
_RADAR_BANDS = flags.DEFINE_integer("radar_bands", 1, "Bands of a radar image.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file to write the plan to as well.")


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    start.show_log(logging.INFO)
    from sar2opt_jax import paths  # Here and not above: --help does not wait seconds for these.
    from sar2opt_jax.planner import topology
    from sar2opt_jax.planner.advice import refusal
    from sar2opt_jax.run import estimate

    try:
        output = _OUTPUT.value and paths.local_path(_OUTPUT.value, "--output")
        report = estimate.report(
            _CONFIG.value,
            topology.find(str(_TOPOLOGY.value)),
            sar_channels=_RADAR_BANDS.value or 1,
            effort=str(_LARGEST_BATCH.value),
            cache=cache.default("plans"),
            price=_PRICE.value,
            efficiency=_EFFICIENCY.value or 1.0,
        )
        if output:
            paths.write_json(output, report.to_json())
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(report.text())
    if not report.fits:
        too_large = [refusal(finding, report.target) for finding in report.findings if not finding.fits]
        sys.exit("\n" + "\n".join(too_large))


def run() -> None:
    """The entry point, of ``sar2opt plan``."""
    shown = ("config", "topology", "price", "efficiency", "largest_batch", "radar_bands", "output")
    command = start.Command(module="sar2opt_jax.plan", text=__doc__ or "", shown=shown, required=("config", "topology"))
    start.run(main, command)


if __name__ == "__main__":
    run()
