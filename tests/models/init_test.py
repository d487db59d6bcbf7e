import jax
import numpy as np

from sar2opt_jax.models.init import init_params
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.types import make_key

TINY = UNet(widths=(8,), blocks_per_level=1, attention=(False,), norm_groups=4)


def fresh(rng):
    return init_params(TINY, rng, image_size=8, sar_channels=1)


def test_parameters_under_jit_are_the_same():
    eager, jitted = fresh(make_key(3)), jax.jit(fresh)(make_key(3))
    jax.tree.map(np.testing.assert_array_equal, eager, jitted)
    other = fresh(make_key(4))
    assert not np.array_equal(eager["conv_in"]["kernel"], other["conv_in"]["kernel"])


def test_shapes_alone_are_those_of_the_parameters():
    shapes, params = jax.eval_shape(fresh, make_key(0)), fresh(make_key(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), shapes) == jax.tree.map(lambda x: (x.shape, x.dtype), params)
