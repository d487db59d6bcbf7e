"""The tensors of a ``UNet2DModel`` and of the authors' discriminator: which there are, and of what shape."""

import itertools
from collections.abc import Mapping

from sar2opt_jax.interop.architecture import OUT_CHANNELS, Architecture
from sar2opt_jax.interop.diffusers import our_name

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
"""Shapes in PyTorch's axes, by diffusers' name."""


def from_shapes(shapes: Shapes, *, head_width: int, norm_groups: int, where: str) -> Architecture:
    """The network whose tensors have these shapes, as far as they tell; ``check_shapes`` says whether all fit.

    Args:
      shapes: of a file's tensors.
      head_width: to take.
      norm_groups: to take.
      where: their file, for messages.

    Raises:
      ValueError: where a tensor is missing without which nothing can be told.
    """

    def size(name: str, axis: int) -> int:
        if len(shape := shapes.get(name, ())) != 4:
            there = _alike(name, shapes) or f"; there: {', '.join(list(shapes)[:3]) or 'nothing'}"
            what = f"is {shape}" if name in shapes else f"is missing{there}"
            raise ValueError(f"{where}: a UNet2DModel has a convolution {name}, which here {what}.")
        return shape[axis]

    inputs = size("conv_in.weight", 1)
    if inputs <= OUT_CHANNELS:
        raise ValueError(
            f"{where}: conv_in.weight takes {inputs} channels; expected more than {OUT_CHANNELS}: "
            "an image and its SAR channels."
        )

    names = [name.split(".") for name in shapes]
    prefixes = {".".join(parts[:end]) for parts in names for end in (2, 4)}  # down_blocks.0, down_blocks.0.resnets.0

    def count(part: str) -> int:
        return next(i for i in itertools.count() if f"{part}.{i}" not in prefixes)

    levels = max(count("down_blocks"), 1)
    return Architecture(
        widths=tuple(size(f"down_blocks.{level}.resnets.0.conv1.weight", 0) for level in range(levels)),
        blocks_per_level=count("down_blocks.0.resnets"),
        attention=tuple(count(f"down_blocks.{level}.attentions") > 0 for level in range(levels)),
        head_width=head_width,
        norm_groups=norm_groups,
        sar_channels=inputs - OUT_CHANNELS,
    )


def unet_shapes(architecture: Architecture) -> dict[str, Shape]:
    """The tensors of a network, in the order in which data pass through them."""
    shapes, skips = _encoder(architecture)
    widths = architecture.widths
    channels = widths[-1]
    for level, (width, attention) in enumerate(zip(reversed(widths), reversed(architecture.attention), strict=True)):
        block = f"up_blocks.{level}"
        for i in range(architecture.blocks_per_level + 1):
            shapes |= _resnet(f"{block}.resnets.{i}", channels + skips.pop(), width, time=4 * widths[0])
            channels = width
            if attention:
                shapes |= _attention(f"{block}.attentions.{i}", width)
        if level < len(widths) - 1:
            shapes |= _layer(f"{block}.upsamplers.0.conv", width, width, size=3)
    shapes |= _norm("conv_norm_out", widths[0])
    return shapes | _layer("conv_out", widths[0], OUT_CHANNELS, size=3)


def discriminator_shapes(architecture: Architecture) -> dict[str, Shape]:
    """The tensors of the authors' discriminator on the encoder of this network; its head is twice the last width."""
    encoder, _ = _encoder(architecture)
    width = 2 * architecture.widths[-1]
    return {
        **encoder,
        **_layer("head.0", width, width, size=3),
        **_norm("head.1", width),
        **_layer("head.3", width, width, size=4),
        **_norm("head.4", width),
        **_layer("head.8", width, 1),
    }


def check_shapes(shapes: Shapes, expected: Shapes, *, where: str) -> None:
    """Raises ValueError with the first tensor that is missing, of another shape, double, or too many.

    Args:
      shapes: a file's; names of old releases of diffusers count as their new ones.
      expected: those of the network.
      where: their file, for messages.
    """
    names: dict[str, str] = {}
    for name in shapes:
        if (other := names.setdefault(our_name(name), name)) != name:
            raise ValueError(f"{where}: {name} and {other} are one tensor under its old and its new name.")
    for name, shape in expected.items():
        given = names.pop(our_name(name), None)
        if given is None:
            raise ValueError(
                f"{where}: tensor {name} is missing; expected it with shape {shape}{_alike(name, shapes)}."
            )
        if tuple(shapes[given]) != shape:
            raise ValueError(f"{where}: tensor {given} has shape {tuple(shapes[given])}; expected {shape}.")
    if names:
        name = next(iter(names.values()))
        raise ValueError(f"{where}: tensor {name} {tuple(shapes[name])} belongs to no layer that this network has.")


def _alike(name: str, found: Shapes) -> str:
    """What to do where a tensor is there after a beginning of its name that not all have."""
    other = next((other for other in found if other.endswith(f".{name}")), None)
    prefix = (other or "").removesuffix(name)
    beside = next((other for other in found if not other.startswith(prefix)), None)
    if other is None or beside is None:
        return ""
    return f"; there are {other} and, beside its network, {beside}: write the network alone to a file of its own"


def _encoder(architecture: Architecture) -> tuple[dict[str, Shape], list[int]]:
    """The way down and the middle, and the channels of what the way up joins in, finest first."""
    widths, time = architecture.widths, 4 * architecture.widths[0]
    shapes = _layer("conv_in", OUT_CHANNELS + architecture.sar_channels, widths[0], size=3)
    shapes |= _layer("time_embedding.linear_1", widths[0], time)
    shapes |= _layer("time_embedding.linear_2", time, time)
    skips = [widths[0]]
    for level, (width, attention) in enumerate(zip(widths, architecture.attention, strict=True)):
        block = f"down_blocks.{level}"
        for i in range(architecture.blocks_per_level):
            shapes |= _resnet(f"{block}.resnets.{i}", skips[-1], width, time=time)
            skips.append(width)
            if attention:
                shapes |= _attention(f"{block}.attentions.{i}", width)
        if level < len(widths) - 1:
            shapes |= _layer(f"{block}.downsamplers.0.conv", width, width, size=3)
            skips.append(width)
    shapes |= _resnet("mid_block.resnets.0", widths[-1], widths[-1], time=time)
    shapes |= _attention("mid_block.attentions.0", widths[-1])
    shapes |= _resnet("mid_block.resnets.1", widths[-1], widths[-1], time=time)
    return shapes, skips


def _resnet(name: str, inputs: int, width: int, *, time: int) -> dict[str, Shape]:
    shortcut = _layer(f"{name}.conv_shortcut", inputs, width, size=1) if inputs != width else {}
    return {
        **_norm(f"{name}.norm1", inputs),
        **_layer(f"{name}.conv1", inputs, width, size=3),
        **_layer(f"{name}.time_emb_proj", time, width),
        **_norm(f"{name}.norm2", width),
        **_layer(f"{name}.conv2", width, width, size=3),
        **shortcut,
    }


def _attention(name: str, width: int) -> dict[str, Shape]:
    shapes = _norm(f"{name}.group_norm", width)
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        shapes |= _layer(f"{name}.{part}", width, width)
    return shapes


def _norm(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _layer(name: str, inputs: int, outputs: int, *, size: int | None = None) -> dict[str, Shape]:
    """A dense layer, or a convolution where it has a size."""
    window = () if size is None else (size, size)
    return {f"{name}.weight": (outputs, inputs, *window), f"{name}.bias": (outputs,)}
