"""Makes unet_reference.npz: what diffusers' UNet2DModel answers, for unet_test.py to compare with.

Run where torch, diffusers and this package are installed:  python make_unet_reference.py

Parameters are not stored: ``fill`` makes them from their names, here in diffusers' layout and in the test in ours.
"""

import math
import pathlib
import zlib

import numpy as np

from sar2opt_jax.interop.diffusers import our_name

WIDTHS = (32, 32, 64, 64, 96, 96)  # The levels of the paper's network, narrower.
TIMES = (3, 977)
SHAPE = (2, 64, 96)  # Not square, so that exchanged axes are seen.


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter's values from its name and shape (both ours), none of them zero or one."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, np.float32)
    if name.endswith("kernel"):
        return values / np.float32(math.sqrt(math.prod(shape[:-1])))
    return values * np.float32(0.2) + np.float32(name.endswith("scale"))


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``x_t``, ``t`` and ``sar``."""
    generator = np.random.default_rng(0)
    x_t = generator.standard_normal((*SHAPE, 3), np.float32)
    return x_t, np.array(TIMES, np.int32), generator.uniform(-1, 1, (*SHAPE, 1)).astype(np.float32)


def diffusers_output(widths: tuple[int, ...], x_t: np.ndarray, t: np.ndarray, sar: np.ndarray) -> np.ndarray:
    """What diffusers answers with the parameters of ``fill``."""
    import diffusers
    import torch

    down, up = "DownBlock2D", "UpBlock2D"
    network = diffusers.UNet2DModel(
        in_channels=4,
        out_channels=3,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=(down, down, down, down, "AttnDownBlock2D", down),
        up_block_types=(up, "AttnUpBlock2D", up, up, up, up),
    )
    from_ours = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            axes = from_ours[parameter.ndim]
            shape = tuple(parameter.shape[i] for i in np.argsort(axes))
            parameter.copy_(torch.from_numpy(fill(our_name(name), shape).transpose(axes).copy()))
        sample = torch.from_numpy(np.concatenate([x_t, sar], axis=-1).transpose(0, 3, 1, 2).copy())
        output = network(sample, torch.from_numpy(t)).sample
    return output.numpy().transpose(0, 2, 3, 1)


def main() -> None:
    """Writes the file beside this one."""
    import diffusers
    import torch

    np.savez_compressed(
        pathlib.Path(__file__).with_name("unet_reference.npz"),
        output=diffusers_output(WIDTHS, *inputs()),
        torch=torch.__version__.partition("+")[0],
        diffusers=diffusers.__version__,
    )


if __name__ == "__main__":
    main()
