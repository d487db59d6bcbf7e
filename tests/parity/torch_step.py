"""The reference's side of a comparison of a distillation step, written from the formulas in plain PyTorch.

The formulas are those of arXiv 2303.01469, 2310.04378, 2310.14189 and 2407.06095, with T = 1000, 50 solver steps and
``scaled_linear``. All is float64, so that what differs is our rounding. Images have their channels first.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import torch
import torch_networks
from our_networks import UNET
from our_step import Variant
from torch import Tensor, nn
from torch.nn import functional

from sar2opt_jax.interop import diffusers as interop
from sar2opt_jax.types import Params


@dataclasses.dataclass
class Step:
    """The networks of a step, and what is chosen; a network returns its prediction as ``.sample``."""

    teacher: nn.Module
    student: nn.Module
    target: nn.Module
    discriminator: nn.Module
    variant: Variant

    def gradients(
        self, optical: np.ndarray, sar: np.ndarray, i: np.ndarray, eps: np.ndarray
    ) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, float]]:
        """Gradients of student and discriminator by PyTorch's names, and the losses by ours.

        Args:
          optical: [batch, height, width, 3], as our stage is given it.
          sar: [batch, height, width, channel].
          i: solver indices, [batch].
          eps: noise, like ``optical``.
        """
        x_0, sar, eps = (torch_networks.to_torch(np.asarray(a, np.float64)) for a in (optical, sar, eps))
        t = 20 * (torch.from_numpy(np.asarray(i, np.int64)) + 1) - 1
        s = torch.clamp(t - 20, min=0)
        # The pair, and what the student is to answer; nothing of it is differentiated.
        with torch.no_grad():
            alpha_t, sigma_t = alpha_sigma(t)
            x_t = alpha_t * x_0 + sigma_t * eps
            teacher_x_0, teacher_eps = self.x_0_and_eps(self.teacher, x_t, t, sar)
            alpha_s, sigma_s = alpha_sigma(s)
            x_s = alpha_s * teacher_x_0 + sigma_s * teacher_eps
            goal = self.consistency(self.target, x_s, s, sar)

        x_hat = self.consistency(self.student, x_t, t, sar)
        error = x_hat - goal
        huber = torch.sqrt(error**2 + 1e-3**2) - 1e-3
        consistency = (huber if self.variant.loss == "pseudo_huber" else error**2).mean()
        fake = self.discriminator(x_t, t, x_hat, s, sar)
        saturating = {"non_saturating": functional.softplus(-fake), "hinge": -fake, "wasserstein": -fake}
        generator = saturating[self.variant.adversarial_loss].mean()

        real = self.discriminator(x_t, t, {"target": goal, "optical": x_0}[self.variant.real], s, sar)
        fake = self.discriminator(x_t, t, x_hat.detach(), s, sar)
        discriminator = {
            "non_saturating": functional.softplus(-real) + functional.softplus(fake),
            "hinge": functional.relu(1 - real) + functional.relu(1 + fake),
            "wasserstein": fake - real,
        }[self.variant.adversarial_loss].mean()

        total = consistency + self.variant.adversarial_weight * generator
        gradients = {
            "student": torch_networks.gradients(total, self.student),
            "discriminator": torch_networks.gradients(discriminator, self.discriminator),
        }
        losses = {
            "loss/consistency": consistency,
            "loss/generator": generator,
            "loss/discriminator": discriminator,
            "logits/real": real.mean(),
            "logits/fake": fake.mean(),
        }
        return gradients, {name: loss.item() for name, loss in losses.items()}

    def x_0_and_eps(self, network: nn.Module, x: Tensor, t: Tensor, sar: Tensor) -> tuple[Tensor, Tensor]:
        """Both estimates that a network's output amounts to."""
        output = network(torch.cat([x, sar], dim=1), t).sample
        alpha, sigma = alpha_sigma(t)
        if self.variant.prediction == "eps":
            return (x - sigma * output) / alpha, output
        if self.variant.prediction == "v":
            return alpha * x - sigma * output, alpha * output + sigma * x
        return output, (x - alpha * output) / sigma

    def consistency(self, network: nn.Module, x: Tensor, t: Tensor, sar: Tensor) -> Tensor:
        """f(x, t), sigma_data = 0.5."""
        scaled = 10 * t.double().reshape(-1, 1, 1, 1)
        c_skip = 0.5**2 / (scaled**2 + 0.5**2)
        c_out = scaled / torch.sqrt(scaled**2 + 0.5**2)
        return c_skip * x + c_out * self.x_0_and_eps(network, x, t, sar)[0]


def alpha_sigma(t: Tensor) -> tuple[Tensor, Tensor]:
    """Of ``scaled_linear``, [batch, 1, 1, 1]."""
    betas = torch.linspace(8.5e-4**0.5, 1.2e-2**0.5, 1000, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1 - betas, dim=0)[t].reshape(-1, 1, 1, 1)
    return torch.sqrt(alpha_bar), torch.sqrt(1 - alpha_bar)


class Pixelwise(nn.Module):
    """``our_step.pixelwise``, with parameters of the same names and shapes."""

    def __init__(self, params: Params):
        super().__init__()
        for name, value in params.items():
            self.register_parameter(name, nn.Parameter(torch.from_numpy(value).double()))

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        """Channels first, as all here."""
        hidden = torch.tanh(torch.einsum("bihw,io->bohw", x, self.first))
        output = torch.einsum("bihw,io->bohw", hidden, self.second)
        return SimpleNamespace(sample=output + (t.double()[:, None] / 1000 * self.time)[:, :, None, None])


class PixelwiseCritic(Pixelwise):
    """``our_step.pixelwise_discriminator``."""

    def forward(self, x_t: Tensor, t: Tensor, image: Tensor, s: Tensor, sar: Tensor) -> Tensor:
        """Logits, [batch]."""
        hidden = torch.tanh(torch.einsum("bihw,io->bohw", torch.cat([x_t, image, sar], dim=1), self.first))
        logits = torch.einsum("bihw,io->bohw", hidden, self.second).mean(dim=(1, 2, 3))
        return logits + torch.stack([t, s], dim=-1).double() / 1000 @ self.time


def pixelwise_step(params: dict[str, Params], variant: Variant) -> Step:
    """Its gradients have our names already."""
    networks = {name: (PixelwiseCritic if name == "discriminator" else Pixelwise)(p) for name, p in params.items()}
    return Step(**networks, variant=variant)


def unet_step(params: dict[str, Params], variant: Variant) -> Step:
    """With diffusers' networks."""
    networks = {
        name: (torch_networks.Discriminator if name == "discriminator" else torch_networks.unet)(UNET, p).double()
        for name, p in params.items()
    }
    return Step(**networks, variant=variant)


def unet_gradients_to_flax(gradients: dict[str, dict[str, np.ndarray]]) -> dict[str, Params]:
    """Those of ``unet_step`` by our names and in our axes."""
    return {
        "student": interop.to_flax(gradients["student"]),
        "discriminator": interop.discriminator_to_flax(gradients["discriminator"]),
    }
