"""Writes references.npz, the answers of torch and diffusers that tests compare with where neither is installed.

Run it where ``make parity`` has made its environment, and only if what is recorded changes:

  .venv-parity/bin/python tests/parity/record.py
"""

import os
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import diffusers
import numpy as np
import our_networks
import our_sampling
import our_step
import torch
import torch_networks
import torch_sampling
import torch_step

SCHEDULES = ("linear", "scaled_linear", "cosine")
SNR_TIMES = np.array([0, 1, 19, 100, 250, 500, 750, 999])


def main() -> None:
    """Writes the file beside this one."""
    arrays = {
        "version/torch": torch.__version__.partition("+")[0],
        "version/diffusers": diffusers.__version__,
        "snr/t": SNR_TIMES,
    }
    for name in SCHEDULES:
        for rescale in (False, True):
            reference = torch_sampling.noise_schedule(name, rescale_zero_snr=rescale)
            arrays[f"alphas_bar/{name}/{rescale}"] = reference.alphas_cumprod.numpy()
    for prediction in torch_sampling.PREDICTIONS:
        arrays[f"snr/{prediction}"] = torch_sampling.min_snr_weight(
            "scaled_linear", SNR_TIMES, gamma=5.0, prediction=prediction
        )
    for case in our_sampling.cases():
        path, (t, t_next) = torch_sampling.their_path(case)
        arrays |= {f"path/{case.name}": path, f"t/{case.name}": t, f"t_next/{case.name}": t_next}

    examples = our_step.batch()
    for variant in our_step.VARIANTS:
        step = torch_step.pixelwise_step(our_step.pixelwise_parameters(), variant)
        gradients, losses = step.gradients(examples.optical, examples.sar, *our_step.draws())
        arrays |= {f"step/{variant.name}/{name}": loss for name, loss in losses.items()}
        arrays |= {
            f"step/{variant.name}/{network}/{name}": gradient.astype(np.float32)
            for network, parameters in gradients.items()
            for name, gradient in parameters.items()
        }

    discriminator = torch_networks.Discriminator(
        our_networks.UNET, our_networks.filled(our_networks.DISCRIMINATOR, seed=0)
    )
    inputs = our_networks.images(8, 12, batch=3)
    arrays["discriminator/logits"] = torch_networks.to_numpy(discriminator(*map(torch_networks.to_torch, inputs)))
    np.savez_compressed(Path(__file__).with_name("references.npz"), **arrays)


if __name__ == "__main__":
    main()
