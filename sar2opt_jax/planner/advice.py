"""Why a config does not fit, and what would."""

from sar2opt_jax.planner.chips import GIB
from sar2opt_jax.planner.programs import Finding
from sar2opt_jax.planner.topology import Target


def refusal(finding: Finding, target: Target) -> str:
    """Why a program does not fit, and what would; for a finding that does not."""
    program, have = finding.program, finding.usage.capacity or target.memory or 0.0
    reason = (
        f"{program.name} does not fit: {program.examples} examples at once take {finding.usage.peak / GIB:.2f} GiB, "
        f"a chip has {have / GIB:.2f}."
    )
    by_line = _by_line(finding, have, len(target.devices))
    savers = [f"{' or '.join(program.savers)} saves memory as well: plan again with it."] if program.savers else []
    return " ".join([reason, *by_line, *savers])


def _by_line(finding: Finding, have: float, num_chips: int) -> list[str]:
    """What would fit by the line through two batches, where there is one."""
    program, law, most = finding.program, finding.law, finding.most
    if law is None or most is None:
        return []
    if most < 1:
        return [
            f"By a line through two batches, {law.fixed / GIB:.2f} GiB are taken whatever the batch, and "
            f"{law.per_example / GIB:.2f} an example: it takes a chip with more memory, or a smaller network."
        ]
    if program.num_steps is None:
        found = [f"--config.evaluation.batch_size={most * num_chips}"]
    else:
        share = program.examples * program.micro_batches
        # Gradients are added up in memory of their own as soon as there are two parts.
        fitting = law.most(have - (program.accumulator_bytes if program.micro_batches == 1 else 0.0)) or 0
        parts = (n for n in range(program.micro_batches + 1, share + 1) if share % n == 0 and share // n <= fitting)
        found = [f"--config.train.micro_batches={n} ({share // n} at once; the same step, slower)" for n in parts][:1]
        found.append(f"--config.train.batch_size={most * program.micro_batches * num_chips} ({most} at once)")
    return [f"By a line through two batches would fit: {'; or '.join(found)}."]
