"""Which networks of diffusers' ``UNet2DModel`` our U-Net is, and how a ``config.json`` describes them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

VERSION = "0.42.1"
"""The release of diffusers whose settings these are."""
CLASSES = ("UNet2DModel", "SAR2OptUNetv3")
"""Classes of a ``config.json`` with this architecture: diffusers' own, and the authors' subclass that adds nothing."""
DEFAULTS: dict[str, Any] = {
    "sample_size": None,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [224, 448, 672, 896],
    "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": 8,
    "norm_num_groups": 32,
}
"""What describes a network of the family, with what diffusers takes where ``config.json`` says nothing."""
FIXED: dict[str, Any] = {
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "freq_shift": 0,
    "flip_sin_to_cos": True,
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "downsample_padding": 1,
    "downsample_type": "conv",
    "upsample_type": "conv",
    "dropout": 0.0,
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "resnet_time_scale_shift": "default",
    "add_attention": True,
    "class_embed_type": None,
    "num_class_embeds": None,
}
"""What our U-Net has no choice about; these are diffusers' defaults too."""
DERIVED = ("time_embedding_dim", "attn_norm_num_groups", "num_train_timesteps")
"""Settings that are None, or say again what follows from others; the last one serves learned time embeddings only."""
DOWN = {"DownBlock2D": False, "AttnDownBlock2D": True}
UP = {"UpBlock2D": False, "AttnUpBlock2D": True}
"""Types of levels, and whether they have attention."""
OUT_CHANNELS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network of the family; see ``models.unet.UNet`` for all but the last.

    Attributes:
      widths: channels of each level, finest first.
      blocks_per_level: residual blocks of a level on the way down.
      attention: for each level, whether it has attention.
      head_width: channels of an attention head; not to be read off the tensors.
      norm_groups: groups of the norms; not to be read off the tensors.
      sar_channels: channels of the condition, which follow the three of the noisy image.
    """

    widths: tuple[int, ...]
    blocks_per_level: int
    attention: tuple[bool, ...]
    head_width: int
    norm_groups: int
    sar_channels: int


def from_config(config: Mapping[str, Any], *, where: str) -> Architecture:
    """The network that a ``config.json`` of diffusers describes.

    Args:
      config: its content.
      where: its file, for messages.

    Raises:
      ValueError: for a network that our U-Net is not, with the first setting that does not fit and its value.
    """

    def refuse(key: str, value: Any, expected: str) -> ValueError:
        return ValueError(f"{where}: {key} = {value!r}; expected {expected}.")

    if (kind := config.get("_class_name", CLASSES[0])) not in CLASSES:
        raise refuse("_class_name", kind, " or ".join(CLASSES))
    for key, value in config.items():
        if not (key.startswith("_") or key in DEFAULTS or key in FIXED or key in DERIVED):
            raise refuse(key, value, f"no such setting: UNet2DModel of diffusers {VERSION} has none")
        if key in FIXED and value != FIXED[key]:
            raise refuse(key, value, f"{FIXED[key]!r}, all that this U-Net has")
    settings = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    for key in ("in_channels", "layers_per_block", "attention_head_dim", "norm_num_groups"):
        if not _is_count(settings[key]):
            raise refuse(key, settings[key], "a number above zero, the same for all levels")
    widths = settings["block_out_channels"]
    if not isinstance(widths, list) or not widths or not all(map(_is_count, widths)):
        raise refuse("block_out_channels", widths, "one number above zero a level")
    for key in ("down_block_types", "up_block_types"):
        if not isinstance(settings[key], list) or len(settings[key]) != len(widths):
            raise refuse(key, settings[key], f"a list of {len(widths)} types, one a level")
    down, up = settings["down_block_types"], settings["up_block_types"]
    for level, kind in enumerate(down):
        if kind not in DOWN:
            raise refuse(f"down_block_types[{level}]", kind, " or ".join(DOWN))
        mirror = next(name for name, attention in UP.items() if attention == DOWN[kind])
        if up[-1 - level] != mirror:
            raise refuse(f"up_block_types[{len(up) - 1 - level}]", up[-1 - level], f"{mirror}, as the way down")
    if settings["out_channels"] != OUT_CHANNELS:
        raise refuse("out_channels", settings["out_channels"], f"{OUT_CHANNELS}, those of an optical image")
    if settings["in_channels"] <= OUT_CHANNELS:
        raise refuse("in_channels", settings["in_channels"], f"more than {OUT_CHANNELS}: an image and its SAR channels")
    derived = {"time_embedding_dim": 4 * widths[0], "attn_norm_num_groups": settings["norm_num_groups"]}
    for key, value in derived.items():
        if config.get(key) not in (None, value):
            raise refuse(key, config[key], f"None or {value}")
    return Architecture(
        widths=tuple(widths),
        blocks_per_level=settings["layers_per_block"],
        attention=tuple(DOWN[kind] for kind in down),
        head_width=settings["attention_head_dim"],
        norm_groups=settings["norm_num_groups"],
        sar_channels=settings["in_channels"] - OUT_CHANNELS,
    )


def to_config(architecture: Architecture, *, image_size: int | None) -> dict[str, Any]:
    """The ``config.json`` that ``from_config`` reads as ``architecture``; ``image_size`` is a side in pixels."""
    down, up = ({attention: name for name, attention in table.items()} for table in (DOWN, UP))
    return {
        "_class_name": CLASSES[0],
        "_diffusers_version": VERSION,
        "sample_size": image_size,
        "in_channels": OUT_CHANNELS + architecture.sar_channels,
        "out_channels": OUT_CHANNELS,
        "block_out_channels": list(architecture.widths),
        "layers_per_block": architecture.blocks_per_level,
        "down_block_types": [down[attention] for attention in architecture.attention],
        "up_block_types": [up[attention] for attention in reversed(architecture.attention)],
        "attention_head_dim": architecture.head_width,
        "norm_num_groups": architecture.norm_groups,
        **FIXED,
        **dict.fromkeys(DERIVED),
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
