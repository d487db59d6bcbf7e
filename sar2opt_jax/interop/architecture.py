"""Which networks of diffusers' ``UNet2DModel`` our U-Net is, and how a ``config.json`` describes them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sar2opt_jax.interop.json_file import shown

FILE = "config.json"
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
AVERAGING = (
    "decay",
    "min_decay",
    "optimization_step",
    "update_after_step",
    "use_ema_warmup",
    "inv_gamma",
    "power",
    "max_value",
    "min_value",
    "collected_params",
)
"""What ``EMAModel.save_pretrained`` of diffusers, of today and of old, writes of its own into the network's config."""
MAX_LEVELS, MAX_BLOCKS, MAX_CHANNELS, MAX_IMAGE_SIZE = 16, 64, 2**16, 2**16
"""Far above any network, so that a malformed config is refused before anything is made of its size."""
COUNTS = {
    "in_channels": MAX_CHANNELS,
    "layers_per_block": MAX_BLOCKS,
    "attention_head_dim": MAX_CHANNELS,
    "norm_num_groups": MAX_CHANNELS,
}
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
        return ValueError(f"{where}: {shown(key)[1:-1]} = {shown(value)}; expected {expected}.")

    if (kind := config.get("_class_name", CLASSES[0])) not in CLASSES:
        way_out = f"of a subclass that changes nothing, write {CLASSES[0]} there"
        raise refuse("_class_name", kind, f"{' or '.join(CLASSES)} ({way_out})")
    for key in _unknown(config):
        if config[key] is not None:
            raise refuse(key, config[key], f"no such setting: UNet2DModel of diffusers {VERSION} has none")
    for key, value in FIXED.items():
        if config.get(key, value) != value:
            raise refuse(key, config[key], f"{value!r}, all that this U-Net has")
    settings = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    widths = settings["block_out_channels"]
    if not isinstance(widths, list) or not widths or not all(is_count(width, most=MAX_CHANNELS) for width in widths):
        raise refuse("block_out_channels", widths, "one number above zero a level")
    if len(widths) > MAX_LEVELS:
        raise refuse("block_out_channels", widths, f"at most {MAX_LEVELS} levels")
    for key in ("down_block_types", "up_block_types"):
        if not isinstance(settings[key], list) or len(settings[key]) != len(widths):
            raise refuse(key, settings[key], f"a list of {len(widths)} types, one a level")
    down, up = settings["down_block_types"], settings["up_block_types"]
    for level, kind in enumerate(down):
        if not isinstance(kind, str) or kind not in DOWN:
            raise refuse(f"down_block_types[{level}]", kind, " or ".join(DOWN))
        mirror = next(name for name, attention in UP.items() if attention == DOWN[kind])
        if up[-1 - level] != mirror:
            raise refuse(f"up_block_types[{len(up) - 1 - level}]", up[-1 - level], f"{mirror}, as the way down")
    attention = tuple(DOWN[kind] for kind in down)
    if settings["attention_head_dim"] is None:  # One head a layer, of all its channels.
        attended = {width for width, has in zip(widths, attention, strict=True) if has} | {widths[-1]}
        if len(attended) > 1:
            sizes = " and ".join(map(str, sorted(attended)))
            raise refuse("attention_head_dim", None, f"a number, for layers with attention have {sizes} channels here")
        settings["attention_head_dim"] = widths[-1]
    for key, most in COUNTS.items():
        if not is_count(settings[key], most=most):
            raise refuse(key, settings[key], f"a number above zero and at most {most}, the same for all levels")
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
        attention=attention,
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


def describes_network(config: Mapping[str, Any], *, where: str) -> bool:
    """Whether a ``config.json`` is diffusers': training runs of this package, and others, have files of that name.

    Raises:
      ValueError: for one that has a network's settings inside another setting.
    """
    if not {"_class_name", "block_out_channels"}.isdisjoint(config):
        return True
    wrapped = [name for name, value in config.items() if isinstance(value, dict) and "block_out_channels" in value]
    if wrapped:
        raise ValueError(
            f"{where} has the network's settings inside {shown(wrapped[0])}; expected them at the top: "
            "write that part alone into the file."
        )
    return False


def notes(config: Mapping[str, Any], *, where: str) -> list[str]:
    """Sentences on settings of a ``config.json`` that were passed over and might matter."""
    if not (unknown := _unknown(config)):
        return []
    names = ", ".join(shown(key)[1:-1] for key in unknown[:8])
    return [f"{where} has {names} without a value, which diffusers {VERSION} does not know: passed over."]


def is_count(value: Any, *, most: int) -> bool:
    """Whether this is a whole number from 1 to ``most``."""
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _unknown(config: Mapping[str, Any]) -> list[str]:
    known = {*DEFAULTS, *FIXED, *DERIVED, *AVERAGING}
    return [key for key in config if key not in known and not key.startswith("_")]
