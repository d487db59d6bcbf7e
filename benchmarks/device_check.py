"""One training step on an accelerator against the same step on a CPU, and what lower precisions change.

python -m benchmarks.device_check --record=reference.npz        # on any machine, with JAX_PLATFORMS=cpu
python -m benchmarks.device_check --reference=reference.npz     # on the accelerator
python -m benchmarks.device_check                               # both in one process

One optimiser step of the teacher and one of the adversarial stage start from the same parameters, in float32 with
matrix products of the highest precision. Compared are all metrics, the gradients (the first moment of AdamW after one
step), the updated parameters and the moving averages. Then, on the accelerator alone, the student's x_0 at the noisiest
time and a translation in four steps are computed in each precision and compared with float32, in grey levels of 255.

The command fails where a step differs by more than ``--tolerance``.
"""

import argparse
import os
import shlex
import sys
from typing import Any

from benchmarks import commands, results, timing, workloads  # First: sets up JAX's memory.

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks.workloads import PRECISIONS, STAGES, Size
from sar2opt_jax.diffusion import times
from sar2opt_jax.diffusion.consistency import consistency_function
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.types import Params

Arrays = dict[str, np.ndarray]
"""By name, ``STAGE/GROUP/PARAMETER``, such as ``teacher/unet.gradient/conv_in/kernel``."""
SIZE = Size(network="default", batch_size=4, image_size=32, precision="float32")
TOLERANCE = 1e-3
"""Relative to the length of all gradients of a network; float32 lies orders of magnitude below, TF32 near it."""


def step(stage: str, size: Size, *, device: Any) -> Arrays:
    """Metrics, gradients and parameters of the first step of a stage on one device."""
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        made = STAGES[stage](size)
        parallel = DataParallel(made, devices=[device])
        initial = made.init(jax.random.key(0), {"unet": jax.tree.map(jnp.asarray, workloads.parameters(size))})
        state, metrics = parallel.step(
            parallel.place(initial), parallel.shard(workloads.batch(size)), parallel.place(jax.random.key(1))
        )
    found: Arrays = {f"metrics/{name}": np.asarray(value) for name, value in metrics.items()}
    for name, value in state._asdict().items():
        if name in ("step", "teacher"):  # The adversarial stage's teacher is frozen.
            continue
        trees = {name: value}
        if hasattr(value, "opt_state"):
            trees = {f"{name}.parameters": value.params, f"{name}.gradient": first_moment(value.opt_state)}
        for group, tree in trees.items():
            found |= {f"{group}/{path}": np.asarray(leaf) for path, leaf in flatten_dict(dict(tree), sep="/").items()}
    return {f"{stage}/{name}": value for name, value in found.items()}


def first_moment(opt_state: Any) -> Params:
    """AdamW's mu, a tenth of the clipped gradient after the first step.

    Raises:
        ValueError: for an optimiser that has none.
    """
    for node in jax.tree.leaves(opt_state, is_leaf=lambda node: hasattr(node, "mu")):
        if hasattr(node, "mu"):
            return node.mu
    raise ValueError("The optimiser keeps no first moment: device_check reads gradients from that of AdamW.")


def differences(found: Arrays, expected: Arrays) -> dict[str, dict[str, Any]]:
    """By group, such as ``teacher/unet.gradient``.

    Returns:
        ``relative``: length of the difference over the length of the expected values, all arrays of the group as one
        vector; ``largest``: the largest difference of a single number, relative to the largest number of its array
        (of the group, where all of the array is below 1e-6 of that: zero but for rounding); ``where``: in which array.

    Raises:
        ValueError: where arrays are missing or have other shapes.
    """
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in expected.items()}:
        raise ValueError(
            "The reference holds other arrays: it was recorded with another network or version; record anew."
        )
    groups: dict[str, list[str]] = {}
    for name in expected:
        groups.setdefault("/".join(name.split("/")[:2]), []).append(name)
    report = {}
    for group, names in groups.items():
        errors = {name: found[name].astype(np.float64) - expected[name] for name in names}
        length = np.sqrt(sum(np.sum(np.square(expected[name], dtype=np.float64)) for name in names))
        scale = {name: float(np.abs(expected[name]).max()) for name in names}
        floor = 1e-6 * max(scale.values())
        each = {
            name: float(np.abs(errors[name]).max()) / (scale[name] if scale[name] > floor else max(scale.values()))
            for name in names
        }
        where = max(each, key=lambda name: each[name])
        report[group] = {
            "relative": timing.significant(
                float(np.sqrt(sum(np.sum(e**2) for e in errors.values())) / length), digits=2
            ),
            "largest": timing.significant(each[where], digits=2),
            "where": where.removeprefix(f"{group}/"),
        }
    return report


def grey_levels(size: Size, *, precisions: tuple[str, ...], steps: int = 4) -> dict[str, Any]:
    """What lower precisions change in a student's x_0 at the noisiest time and in its translation in few steps.

    The network's parameters are drawn at random, not trained: what is measured is how errors of rounding grow, through
    the network and the division by alpha, for outputs of unit size.

    Returns:
        By precision, for ``x_0`` and ``translation``: mean and largest difference from float32, in grey levels of 255
        for a range of [-1, 1]; and ``relative``, the length of the difference over that of the float32 image less its
        mean.
    """
    images = {precision: _student(size, precision, steps) for precision in ("float32", *precisions)}
    report: dict[str, Any] = {}
    for precision in precisions:
        for what in ("x_0", "translation"):
            exact = images["float32"][what]
            error = images[precision][what] - exact
            report.setdefault(precision, {})[what] = {
                "mean": timing.significant(float(127.5 * np.abs(error).mean()), digits=3),
                "largest": timing.significant(float(127.5 * np.abs(error).max()), digits=3),
                "relative": timing.significant(
                    float(np.linalg.norm(error) / np.linalg.norm(exact - exact.mean())), digits=2
                ),
            }
    return report


def _student(size: Size, precision: str, steps: int) -> dict[str, np.ndarray]:
    """x_0 at the noisiest time and a translation, with noise that is the same for every precision."""
    dtype, matmul_precision = PRECISIONS[precision]
    schedule = workloads.schedule()
    network = workloads.model(size.unet.clone(dtype=dtype))

    def consistency(params: Params, x: Any, t: Any, sar: Any) -> Any:
        denoise = schedule.denoiser(
            lambda x, t: network(params, x, t, sar), prediction=workloads.PREDICTION, clip=False
        )
        return consistency_function(denoise)(x, t)

    params = jax.device_put(workloads.parameters(size))
    _, sar = workloads.images(size)
    noise = np.random.default_rng(3).standard_normal((steps, size.batch_size, size.image_size, size.image_size, 3))
    noise = noise.astype(np.float32)
    grid = times.consistency(schedule.num_steps, steps, solver_steps=workloads.SOLVER_STEPS)
    x, first = noise[0], None
    with jax.default_matmul_precision(matmul_precision):
        compiled = jax.jit(consistency)
        for i, (t, t_next) in enumerate(zip(*grid, strict=True)):
            x_0 = compiled(params, x, jnp.full(size.batch_size, t), sar)
            first = x_0 if first is None else first
            eps = noise[(i + 1) % steps]
            x = np.asarray(schedule.add_noise(x_0, eps, jnp.asarray(t_next)))
    return {"x_0": np.asarray(first, np.float64), "translation": x.astype(np.float64)}


def main(arguments: list[str] | None = None) -> None:
    """The command: records, or compares and prints what differs; writes JSON; exits with 1 where it is too much."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.device_check", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--stages", type=commands.names, default=tuple(STAGES), help=f"of {', '.join(STAGES)} (default: all)")
    add("--record", help="compute on the CPU and write this file, nothing else")
    add("--reference", help="a file of --record to compare with (default: compute on the CPU here)")
    add("--tolerance", type=float, default=TOLERANCE, help="of gradients and metrics (default: %(default)s)")
    add("--precisions", type=commands.names, default=("tf32", "bfloat16"), help="to measure; none: skip")
    add("--precision_size", default="default:4:32", help="NETWORK:BATCH:SIDE to measure them at (default: %(default)s)")
    add("--output", default="benchmarks/results/device_check.json", help="the JSON file (default: %(default)s)")
    flags = parser.parse_args(arguments)
    precision_size = commands.parse_size(parser, flags.precision_size, precision="float32")

    cpu = jax.devices("cpu")[0]
    if flags.record:
        recorded: Arrays = {}
        for stage in flags.stages:
            recorded |= step(stage, SIZE, device=cpu)
        temporary = f"{flags.record}.part.npz"
        np.savez(temporary, **recorded)
        os.replace(temporary, flags.record)
        return
    device = jax.devices()[0]
    if device.platform == "cpu" and not flags.reference:
        sys.exit("JAX has no accelerator here: there is nothing to compare with the CPU; give --reference=FILE.")

    given = sys.argv[1:] if arguments is None else arguments
    result: dict[str, Any] = {
        "command": shlex.join(["python", "-m", "benchmarks.device_check", *given]),
        **results.circumstances(*workloads.PACKAGES),
        "device": device.device_kind,
        "steps": {"size": str(SIZE), "tolerance": flags.tolerance, "differences": {}},
    }
    too_large = []
    reference: Arrays = {}
    if flags.reference:
        with np.load(flags.reference) as file:
            reference = {name: file[name] for name in file.files}
    for stage in flags.stages:
        found = step(stage, SIZE, device=device)
        expected = {name: value for name, value in reference.items() if name.startswith(f"{stage}/")}
        if not flags.reference:
            expected = step(stage, SIZE, device=cpu)
        report = differences(found, expected)
        result["steps"]["differences"] |= report
        for group, row in report.items():
            timing.say(f"{group}: relative {row['relative']:.1e}, largest {row['largest']:.1e} in {row['where']}")
            # The first step of AdamW moves every parameter by the rate, whatever its gradient's size: by their sign.
            if group.endswith(("gradient", "metrics")) and not row["relative"] <= flags.tolerance:
                too_large.append(group)
        results.write(flags.output, result)
    if flags.precisions:
        report = grey_levels(precision_size, precisions=flags.precisions)
        result["grey_levels"] = {"size": str(precision_size), "parameters": "random, not trained", **report}
        timing.say(f"grey levels: {report}")
        results.write(flags.output, result)
    if too_large:
        sys.exit(f"{', '.join(too_large)} differ from the CPU's by more than {flags.tolerance}.")
    print("The steps agree with the CPU's.")


if __name__ == "__main__":
    main()
