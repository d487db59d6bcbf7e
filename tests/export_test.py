import numpy as np
import pytest

from sar2opt_jax import export as exports
from sar2opt_jax.engine import checkpoint

MODEL = {
    "widths": [8, 8],
    "blocks_per_level": 1,
    "attention": [False, False],
    "head_width": 8,
    "norm_groups": 2,
    "prediction": "x_0",
}
META = {
    "stage": "teacher",
    "model": MODEL,
    "schedule": {"name": "linear", "num_steps": 100, "rescale_zero_snr": False},
    "consistency": None,
}
STUDENT = {"solver_steps": 25, "sigma_data": 0.4}


def loaded(directory, meta):
    export = {"unet": {"kernel": np.arange(3.0, dtype=np.float32)}}
    checkpoint.save_export(directory, export, meta=META | meta, step=7)
    return exports.load_model(directory)


@pytest.mark.parametrize(
    ("meta", "kind"),
    [
        ({}, "teacher"),  # The first two are from before an export said its kind.
        ({"consistency": STUDENT}, "student"),
        ({"kind": "teacher"}, "teacher"),
        ({"kind": "student", "consistency": STUDENT}, "student"),
        ({"kind": "generator", "stage": "pix2pix"}, "generator"),
    ],
)
def test_export_says_what_kind_of_network_it_is(tmp_path, meta, kind):
    model = loaded(tmp_path / "run", meta)
    assert model.translator.kind == exports.kind(model.meta) == kind
    assert model.translator.solver_steps == (25 if kind == "student" else None)
    assert (model.size_multiple, model.meta["step"]) == (2, 7)
    np.testing.assert_array_equal(model.params["kernel"], [0, 1, 2])


def test_kind_of_a_later_version_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Unknown kind of network 'flow'; known: teacher, student, generator"):
        loaded(tmp_path / "run", {"kind": "flow"})
