"""The optimiser of all stages against PyTorch's AdamW with diffusers' learning rate, live."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers.optimization import get_cosine_schedule_with_warmup

from sar2opt_jax.run.optimizers import optimizer
from sar2opt_jax.stages.network import Network

SETTINGS = SimpleNamespace(
    learning_rate=1e-2, warmup_steps=3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, clip_norm=1.0, decay="cosine"
)
STEPS = 20


def test_parameters_are_equal_after_every_step():
    generator = np.random.default_rng(0)
    start = generator.standard_normal((4, 5), np.float32)
    # From far below the norm that is clipped to far above it.
    gradients = generator.standard_normal((STEPS, 4, 5), np.float32) * np.geomspace(0.01, 10, STEPS)[:, None, None]
    gradients = gradients.astype(np.float32)

    parameter = torch.nn.Parameter(torch.from_numpy(start.copy()))
    adamw = torch.optim.AdamW(
        [parameter],
        lr=SETTINGS.learning_rate,
        betas=SETTINGS.betas,
        eps=SETTINGS.eps,
        weight_decay=SETTINGS.weight_decay,
    )
    learning_rate = get_cosine_schedule_with_warmup(adamw, SETTINGS.warmup_steps, STEPS)
    transformation = optimizer(SETTINGS, num_steps=STEPS)
    network = Network.create({"kernel": jnp.asarray(start)}, transformation)
    update = jax.jit(lambda network, gradient: network.update({"kernel": gradient}, transformation))

    for step, gradient in enumerate(gradients):
        parameter.grad = torch.from_numpy(gradient.copy())
        torch.nn.utils.clip_grad_norm_([parameter], SETTINGS.clip_norm)
        adamw.step()
        learning_rate.step()
        network = update(network, gradient)
        np.testing.assert_allclose(
            network.params["kernel"], parameter.detach(), atol=1e-6, err_msg=f"after step {step}"
        )
    assert np.abs(np.asarray(network.params["kernel"]) - start).max() > 0.05
