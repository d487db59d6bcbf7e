"""The programs of a config: their shapes, and that what is lowered for them is the step that trains."""

import jax
import numpy as np
import pytest

from configs.base import get_base
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.planner import topology
from sar2opt_jax.run import estimate
from sar2opt_jax.run.stages import STAGES
from sar2opt_jax.types import Batch, make_key


def config(*stages: str, **train):
    made = get_base(name="made", stages=stages or ("teacher", "adversarial"), preset="smoke")
    made.model.widths, made.model.attention, made.model.norm_groups = (8, 8), (False, True), 4
    for baseline in ("pix2pix", "cyclegan"):
        made[baseline].discriminator_widths = (8,)
    made.train.update(train)
    return made


def target(devices: int = 2) -> topology.Target:
    return topology.find("cpu")._replace(devices=jax.devices()[:devices])


def test_programs_are_those_of_the_stages_and_of_their_translator():
    found = estimate.programs(config(batch_size=8, micro_batches=2), target(), sar_channels=1)
    assert [program.name for program in found] == ["teacher", "adversarial", "translation, lcm in 4"]
    teacher, adversarial, translation = found
    assert (teacher.examples, teacher.repeats, teacher.num_steps) == (2, 2, 8)
    assert (adversarial.num_steps, translation.num_steps, translation.repeats) == (4, None, 4)
    assert translation.examples == 8  # evaluation.batch_size, 16, over two devices
    assert teacher.savers == ["--config.train.remat=blocks"]
    # The smoke preset's student: its own pass forward and back, those of teacher, target and discriminator besides.
    assert adversarial.flops(2) > 2 * teacher.flops(2)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_baselines_are_programs_too(name):
    stage, translation = estimate.programs(config(name), target(), sar_channels=2)
    assert stage.name == name and translation.name == "translation, direct in 1"


def test_given_teacher_is_started_from_and_not_trained():
    made = config()
    made.teacher.export = "runs/nowhere"
    found = estimate.programs(made, target(), sar_channels=1)
    assert [program.name for program in found] == ["adversarial", "translation, lcm in 4"]


def test_lowered_program_is_the_step_that_trains():
    made = config("teacher", batch_size=8, micro_batches=2)
    program = estimate.programs(made, target(), sar_channels=1)[0]
    stage = STAGES["teacher"].make(made, 1)
    parallel = DataParallel(stage, mapping="shard_map", micro_batches=2, devices=jax.devices()[:2])
    images = np.zeros((8, 32, 32, 4), np.float32)
    batch = Batch(optical=images[..., :3], sar=images[..., 3:], index=np.arange(8, dtype=np.int32))
    state, rng = parallel.place(stage.init(make_key(0))), parallel.place(make_key(1))
    trained = parallel.lower(state, parallel.shard(batch), rng)
    assert program.lower(2).as_text() == trained.as_text()
    assert program.lower(1).as_text() != trained.as_text()


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"batch_size": 6, "micro_batches": 1}, "batch_size=8."),
        ({"batch_size": 4, "micro_batches": 2}, "batch_size=8, or --config.train.micro_batches=1."),
    ],
)
def test_batch_that_cannot_be_divided_is_refused_with_what_can(train, said):
    with pytest.raises(ValueError, match=r"must be divisible by the number of devices \(4\)") as raised:
        estimate.programs(config(**train), target(4), sar_channels=1)
    assert said in str(raised.value)


def test_other_mistakes_of_a_config_are_found():
    made = config()
    made.distill.loss = "l3"
    with pytest.raises(ValueError, match=r"Unknown distill\.loss 'l3'"):
        estimate.programs(made, target(), sar_channels=1)


def test_report_of_a_tiny_network_is_whole(tmp_path):
    made = config("teacher", batch_size=2)
    for _ in range(2):  # Compiled, then read.
        report = estimate.report(made, target(), sar_channels=1, cache=tmp_path)
        stage, _ = report.findings
        assert report.fits and stage.usage.arguments and stage.usage.peak > stage.usage.arguments
        assert stage.usage.collectives["all-reduce"] > 0 and stage.usage.flops == pytest.approx(stage.flops, rel=0.2)
    assert len([*tmp_path.iterdir()]) == 2
