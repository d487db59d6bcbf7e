"""Makes reference/: a folder as diffusers itself writes it, the authors' discriminator, and what both answer.

Run where torch, diffusers and safetensors are installed:  python make_reference.py
"""

import pathlib
import shutil

import diffusers
import numpy as np
import safetensors.torch
import torch

HERE = pathlib.Path(__file__).with_name("reference")
WIDTHS = (4, 8, 8)
GROUPS = 2


class Discriminator(torch.nn.Module):
    """Named and numbered as ``SAR2OptUNetv_as_Dis`` of the authors' ``unet_as_discriminator.py``, but narrow."""

    def __init__(self, unet: diffusers.UNet2DModel):
        super().__init__()
        for part in ("conv_in", "time_proj", "time_embedding", "down_blocks", "mid_block"):
            self.add_module(part, getattr(unet, part))
        width = 2 * WIDTHS[-1]
        self.head = torch.nn.Sequential(
            torch.nn.Conv2d(width, width, 3, padding=1),
            torch.nn.GroupNorm(GROUPS, width),
            torch.nn.SiLU(),
            torch.nn.Conv2d(width, width, 4, stride=2, padding=1),
            torch.nn.GroupNorm(GROUPS, width),
            torch.nn.SiLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(width, 1),
        )

    def features(self, sample, t):
        time = self.time_embedding(self.time_proj(t))
        x = self.conv_in(sample)
        for block in self.down_blocks:
            x, _ = block(hidden_states=x, temb=time)
        return self.mid_block(x, time)

    def forward(self, noisy, t, shown, s):
        return self.head(torch.cat([self.features(noisy, t), self.features(shown, s)], dim=1))[:, 0]


def make_unet() -> diffusers.UNet2DModel:
    return diffusers.UNet2DModel(
        sample_size=16,
        in_channels=4,
        block_out_channels=WIDTHS,
        layers_per_block=2,
        norm_num_groups=GROUPS,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )


def shake(network: torch.nn.Module) -> None:
    """Leaves no parameter at zero or one, where it would hide a mistake."""
    for parameter in network.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    unet, discriminator = make_unet(), Discriminator(make_unet())
    shake(unet)
    shake(discriminator)
    shutil.rmtree(HERE, ignore_errors=True)
    unet.save_pretrained(HERE)
    scheduler = diffusers.LCMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    scheduler.save_pretrained(HERE / "scheduler")
    safetensors.torch.save_file(discriminator.state_dict(), HERE / "discriminator.safetensors")
    x_t, x_hat, sar = (torch.randn(2, channels, 16, 24) for channels in (3, 3, 1))
    t, s = torch.tensor([3, 977]), torch.tensor([0, 500])
    noisy, shown = torch.cat([x_t, sar], dim=1), torch.cat([x_hat, sar], dim=1)
    images = {"x_t": x_t, "x_hat": x_hat, "sar": sar, "prediction": unet(noisy, t).sample}
    np.savez_compressed(
        HERE / "answers.npz",
        **{name: image.numpy().transpose(0, 2, 3, 1) for name, image in images.items()},
        t=t.numpy().astype(np.int32),
        s=s.numpy().astype(np.int32),
        logits=discriminator(noisy, t, shown, s).numpy(),
        torch=torch.__version__.partition("+")[0],
        diffusers=diffusers.__version__,
    )


if __name__ == "__main__":
    main()
