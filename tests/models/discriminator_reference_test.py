"""Against recorded logits of PyTorch's discriminator, of diffusers' encoder (tests/parity/torch_networks.py)."""

import jax
import numpy as np
from our_networks import DISCRIMINATOR, filled, images
from recorded import RECORDED


def test_logits_equal_those_of_pytorch():
    found = jax.jit(DISCRIMINATOR.apply)({"params": filled(DISCRIMINATOR, seed=0)}, *images(8, 12, batch=3))
    np.testing.assert_allclose(found, RECORDED["discriminator/logits"], rtol=0, atol=1e-5)
