"""The reference's side of a comparison of networks: diffusers' UNet2DModel, and a discriminator built of it."""

import diffusers
import numpy as np
import torch
from our_networks import filled
from torch import Tensor, nn

from sar2opt_jax.interop import diffusers as interop
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.types import Params


def unet(settings: UNet, params: Params, *, sar_channels: int = 1) -> diffusers.UNet2DModel:
    """diffusers' network with our settings and weights."""
    network = diffusers.UNet2DModel(
        in_channels=3 + sar_channels,
        out_channels=settings.out_channels,
        block_out_channels=settings.widths,
        layers_per_block=settings.blocks_per_level,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in settings.attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(settings.attention)),
        attention_head_dim=settings.head_width,
        norm_num_groups=settings.norm_groups,
    )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in interop.from_flax(params).items()})
    return network


class Discriminator(nn.Module):
    """The encoder and middle of a UNet2DModel, and a head on the features of two images."""

    def __init__(self, settings: UNet, params: Params):
        super().__init__()
        whole = unet(settings, filled(settings, seed=0))
        self.time_proj, self.time_embedding = whole.time_proj, whole.time_embedding
        self.conv_in, self.down_blocks, self.mid_block = whole.conv_in, whole.down_blocks, whole.mid_block
        width = 2 * settings.widths[-1]
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(settings.norm_groups, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            nn.GroupNorm(settings.norm_groups, width),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, 1),
        )
        tensors = interop.discriminator_from_flax(params)
        self.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})

    def encode(self, x: Tensor, t: Tensor) -> Tensor:
        """Features of the coarsest level."""
        time = self.time_embedding(self.time_proj(t).to(x.dtype))
        x = self.conv_in(x)
        for block in self.down_blocks:
            x, _ = block(hidden_states=x, temb=time)
        return self.mid_block(x, time)

    def forward(self, x_t: Tensor, t: Tensor, image: Tensor, s: Tensor, sar: Tensor) -> Tensor:
        """Logits, [batch]."""
        noisy = self.encode(torch.cat([x_t, sar], dim=1), t)
        shown = self.encode(torch.cat([image, sar], dim=1), s)
        return self.head(torch.cat([noisy, shown], dim=1))[:, 0]


def to_torch(array: np.ndarray) -> Tensor:
    """Images with the channels first, in a memory layout that convolutions are fast on; all else as it is."""
    tensor = torch.from_numpy(np.array(array))
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The inverse of ``to_torch``."""
    tensor = tensor.detach()
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).numpy()


def unet_output(network: diffusers.UNet2DModel, x_t: np.ndarray, t: np.ndarray, sar: np.ndarray) -> Tensor:
    """Channels first."""
    return network(torch.cat([to_torch(x_t), to_torch(sar)], dim=1), to_torch(t)).sample


def gradients(loss: Tensor, network: nn.Module) -> dict[str, np.ndarray]:
    """Of every parameter, by PyTorch's name."""
    names, leaves = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, leaves, retain_graph=True)
    return {name: gradient.numpy() for name, gradient in zip(names, found, strict=True)}
