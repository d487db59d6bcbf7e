import jax
import numpy as np
import optax
import pytest

from benchmarks import workloads
from benchmarks.workloads import NETWORKS, Size
from configs import acd
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.planner import flops

TINY = UNet(widths=(8, 16), blocks_per_level=1, attention=(False, True), norm_groups=4)
SIZE = Size(network="tiny", batch_size=2, image_size=8, precision="float32")


@pytest.fixture(name="tiny", autouse=True)
def tiny_network(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", TINY)


@pytest.mark.parametrize(("network", "preset"), [("default", "simulated"), ("paper", "sen12")])
def test_networks_are_those_of_the_presets(network, preset):
    config = acd.get_config(preset)
    measured = NETWORKS[network]
    for name, value in config.model.items():
        if name not in ("prediction", "input_gain"):
            assert getattr(measured, name) == value, name


def test_settings_are_those_of_the_papers_recipe():
    config = acd.get_config("sen12")
    assert (config.model.prediction, config.model.input_gain) == (workloads.PREDICTION, "none")
    assert config.schedule.name == workloads.SCHEDULE
    assert config.distill.solver_steps == workloads.SOLVER_STEPS
    assert config.distill.target_decay == workloads.TARGET_DECAY
    assert config.teacher.max_ema_decay == workloads.EMA_DECAY
    settings = config.teacher.optimizer
    assert (settings.learning_rate, settings.weight_decay) == (workloads.LEARNING_RATE, workloads.WEIGHT_DECAY)
    assert settings.clip_norm == workloads.CLIP_NORM


def test_teacher_step_needs_what_its_gradients_are_made_of():
    """Nearly: the first layer needs no gradient of its input."""
    stage = workloads.teacher(SIZE)
    state = jax.eval_shape(stage.init, jax.random.key(0))
    batch = jax.eval_shape(lambda: workloads.batch(SIZE))
    traced = flops.count(stage.gradients, state, batch, jax.random.key(1))
    assert workloads.step_flops("teacher", SIZE) == pytest.approx(traced, rel=0.02)


def test_adversarial_step_needs_less_than_is_written_down():
    """As written x_t is encoded for each of three judgements, and once is enough: 2 E and, backward, 2 E more."""
    stage = workloads.adversarial(SIZE)
    export = {"unet": jax.eval_shape(lambda: workloads.parameters(SIZE))}
    state = jax.eval_shape(lambda export: stage.init(jax.random.key(0), export), export)
    batch = jax.eval_shape(lambda: workloads.batch(SIZE))
    traced = flops.count(stage.gradients, state, batch, jax.random.key(1))
    inputs = TINY.input_shapes(image_size=SIZE.image_size, sar_channels=1)
    variables = jax.eval_shape(TINY.init, jax.random.key(0), *inputs)
    encoder = SIZE.batch_size * flops.count(lambda *given: TINY.apply(*given, method="encode"), variables, *inputs)
    needed = workloads.step_flops("adversarial", SIZE)
    assert needed < traced < needed + 7 * encoder


@pytest.mark.parametrize("stage", workloads.STAGES)
def test_step_descends_with_the_optimiser_of_the_stage(stage):
    made = workloads.STAGES[stage](SIZE)
    params = {"w": np.ones(3, np.float32)}
    updates, _ = made.optimizer.update({"w": np.full(3, 5.0, np.float32)}, made.optimizer.init(params), params)
    expected = -workloads.LEARNING_RATE * (1 + workloads.WEIGHT_DECAY)
    np.testing.assert_allclose(optax.apply_updates(params, updates)["w"], 1 + expected, rtol=1e-6)


def test_step_that_is_not_finite_is_no_measurement(monkeypatch):
    broken = jax.tree.map(lambda leaf: leaf * np.float32("nan"), workloads.parameters(SIZE))
    monkeypatch.setattr(workloads, "parameters", lambda size, **settings: broken)
    call = workloads.training_step("teacher", SIZE)
    with pytest.raises(FloatingPointError, match=r"teacher \(tiny, 2 x 8 x 8, float32\) was not finite"):
        call(1)
