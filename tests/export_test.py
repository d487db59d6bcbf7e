import jax
import numpy as np
import pytest

from sar2opt_jax import export as exports
from sar2opt_jax.diffusion.input_gain import wiener_weights
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.engine import checkpoint
from sar2opt_jax.models.init import init_params

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


def test_input_gain_of_an_export_is_applied_where_it_is_sampled(tmp_path):
    network = exports.unet(MODEL, dtype="float32")
    params = init_params(network, jax.random.key(0), image_size=4, sar_channels=1)
    x_t, t, sar = np.ones((1, 4, 4, 3), np.float32), np.array([60]), np.zeros((1, 4, 4, 1), np.float32)

    def output(gain, x_t):
        model = {} if gain is None else {"input_gain": gain}
        meta = META | {"model": MODEL | model}
        return exports.translator(meta, network).model(params, x_t, t, sar)

    np.testing.assert_array_equal(output(None, x_t), output("none", x_t))  # Exports from before say nothing of it.
    weight = wiener_weights(make_schedule("linear", num_steps=100))[60]
    np.testing.assert_allclose(output("wiener", x_t), output("none", np.float32(weight) * x_t), rtol=1e-5)
    with pytest.raises(ValueError, match=r"Unknown model.input_gain 'later'"):
        output("later", x_t)
