"""Why a config does not fit, and what would."""

from sar2opt_jax.planner.chips import GIB
from sar2opt_jax.planner.programs import Finding
from sar2opt_jax.planner.topology import Target


def refusal(finding: Finding, target: Target) -> str:
    """One sentence on why a program does not fit, and one on what would, for a finding that does not."""
    program, have = finding.program, finding.usage.capacity or target.memory or 0.0
    reason = (
        f"{program.name} does not fit: {program.examples} examples at once take {finding.usage.peak / GIB:.2f} GiB, "
        f"a chip has {have / GIB:.2f}."
    )
    return f"{reason} {' '.join(_ways_out(finding, have, len(target.devices)))}"


def _ways_out(finding: Finding, have: float, num_chips: int) -> list[str]:
    program, law = finding.program, finding.law
    if law is None or finding.most is None:
        return ["Fewer examples at once may fit."]
    if finding.most < 1:
        return [
            f"By a line through two batches, {law.fixed / GIB:.2f} GiB are taken whatever the batch, and "
            f"{law.per_example / GIB:.2f} an example: a chip with more memory is needed, or a smaller network."
        ]
    if program.num_steps is None:
        return [f"--config.evaluation.batch_size={finding.most * num_chips} would fit by a line through two batches."]
    found = []
    share = program.examples * program.micro_batches
    # Gradients are added up in memory of their own as soon as there are two parts.
    room = law.most(have - (program.accumulator_bytes if program.micro_batches == 1 else 0.0)) or 0
    parts = [n for n in range(program.micro_batches + 1, share + 1) if share % n == 0 and share // n <= room]
    if parts:
        found.append(f"--config.train.micro_batches={parts[0]} ({share // parts[0]} at once, the same step, slower)")
    smaller = finding.most * program.micro_batches * num_chips
    found.append(f"--config.train.batch_size={smaller} ({finding.most} at once)")
    return [f"By a line through two batches would fit: {'; or '.join(found)}."]
