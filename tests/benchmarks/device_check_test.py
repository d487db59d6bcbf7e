import json

import jax
import numpy as np
import pytest

from benchmarks import device_check, workloads
from benchmarks.device_check import differences
from sar2opt_jax.models.unet import UNet

TINY = UNet(widths=(8, 16), blocks_per_level=1, attention=(False, True), norm_groups=4)


@pytest.fixture(name="tiny")
def tiny_network(monkeypatch):
    monkeypatch.setitem(workloads.NETWORKS, "default", TINY)
    monkeypatch.setattr(device_check, "SIZE", workloads.Size(**{**vars(device_check.SIZE), "image_size": 8}))


def check(tmp_path, *arguments):
    device_check.main(
        ["--stages=teacher", f"--output={tmp_path / 'result.json'}", "--precision_size=default:1:8", *arguments]
    )


def test_difference_is_relative_to_the_group_and_to_the_array():
    expected = {"s/g/a": np.array([3.0, 0.0]), "s/g/b": np.array([4.0]), "s/h/c": np.array([2.0])}
    found = {"s/g/a": np.array([3.0, 0.45]), "s/g/b": np.array([4.0 + 0.2179449]), "s/h/c": np.array([2.0])}
    report = differences(found, expected)
    assert report["s/g"] == {"relative": 0.1, "largest": 0.15, "where": "a"}  # 0.5 of 5; 0.45 of 3
    assert report["s/h"]["relative"] == 0


def test_rounding_of_what_is_zero_is_seen_at_the_scale_of_its_group():
    expected = {"s/g/zero": np.array([1e-9]), "s/g/one": np.array([1.0])}
    assert differences({"s/g/zero": np.array([-1e-9]), "s/g/one": np.array([1.0])}, expected)["s/g"]["largest"] == 2e-9


def test_not_a_number_is_a_difference():
    report = differences({"s/g/a": np.array([np.nan])}, {"s/g/a": np.array([1.0])})["s/g"]
    assert not report["relative"] <= 1


def test_reference_of_other_arrays_is_refused():
    with pytest.raises(ValueError, match="record anew"):
        differences({"s/g/a": np.zeros(2)}, {"s/g/a": np.zeros(3)})


def test_step_agrees_with_what_was_recorded_and_not_with_anything_else(tiny, tmp_path):
    reference = tmp_path / "reference.npz"
    check(tmp_path, f"--record={reference}")
    check(tmp_path, f"--reference={reference}", "--precisions=bfloat16")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["steps"]["differences"]["teacher/unet.gradient"]["relative"] == 0
    assert 0 < result["grey_levels"]["bfloat16"]["x_0"]["relative"] < 0.1

    with np.load(reference) as file:
        arrays = dict(file)
    arrays["teacher/unet.gradient/conv_out/kernel"] *= 1.1
    np.savez(reference, **arrays)
    with pytest.raises(SystemExit, match=r"teacher/unet.gradient differ from the CPU's by more than 0.001"):
        check(tmp_path, f"--reference={reference}", "--precisions=none")


def test_gradients_are_those_of_the_stage(tiny):
    """The first moment of AdamW after a step is a tenth of the gradient, whose norm is clipped to one."""
    found = device_check.step("teacher", device_check.SIZE, device=jax.devices()[0])
    gradient = [value for name, value in found.items() if name.startswith("teacher/unet.gradient/")]
    norm = np.sqrt(sum(np.sum(np.square(value)) for value in gradient))
    assert norm == pytest.approx(0.1 * min(1.0, found["teacher/metrics/grad_norm/unet"]), rel=1e-4)


def test_cpu_alone_has_nothing_to_compare_with(tiny, tmp_path):
    with pytest.raises(SystemExit, match=r"no accelerator here.*--reference=FILE"):
        check(tmp_path)
