"""Writes a trained network as one program that runs without this package:

    sar2opt export --model=runs/acd-simulated --output=exported --steps=4
    python exported/run.py RADAR.npy OPTICAL.png

The folder holds the sampler with its network as StableHLO (jax.export), for images of any size in batches of any
size, on CPU, NVIDIA GPU and TPU; the parameters (safetensors); the description; and a short script that runs them.
Needs the extra export: pip install 'sar2opt-jax[export]'.
"""

import importlib.util
import sys

from absl import app, flags

from sar2opt_jax import paths
from sar2opt_jax.cli import start
from sar2opt_jax.cli.network_flags import MODEL, SAMPLER, STAGE, STEPS
from sar2opt_jax.interop import anywhere

_OUTPUT = flags.DEFINE_string("output", None, "A folder that does not exist yet, or is empty.")
_DTYPE = flags.DEFINE_enum(
    "dtype", "float32", ["float32", "bfloat16"], "Of the parameters: bfloat16 halves their file."
)


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    start.show_log()
    if importlib.util.find_spec("flatbuffers") is None:
        sys.exit("jax.export needs the package flatbuffers: pip install 'sar2opt-jax[export]'.")
    from sar2opt_jax.interop import artifact  # Late: an extra that is missing is said first.

    try:
        trained = anywhere.read(str(MODEL.value), stage=STAGE.value)
        method = trained.translator.method(sampler=SAMPLER.value, num_steps=STEPS.value)
        target = paths.local_path(str(_OUTPUT.value), "--output")
        with paths.atomic_directory(target) as directory:
            artifact.write(directory, trained, method=method, dtype=_DTYPE.value)
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    steps = "step" if method.num_steps == 1 else "steps"
    print(f"Wrote {target}: {trained.description.stage}, {method.num_steps} {steps} of {method.sampler}.")
    print(f"Try it without this package: python {target / 'run.py'} RADAR.npy OPTICAL.png")


def run() -> None:
    """The entry point, of ``sar2opt export``."""
    required = ("model", "output")
    shown = (*required, "steps", "sampler", "stage", "dtype")
    start.run(main, start.Command(module="sar2opt_jax.deploy", text=__doc__ or "", shown=shown, required=required))


if __name__ == "__main__":
    run()
