"""What a prepared dataset says about itself, in ``info.metadata``: how its images were scaled, and what they contain.

``images`` describes radar and optical images, ``ground_sampling_m`` is the pixel size, ``content`` a digest of every
split. All of it is plain JSON; datasets prepared before these keys existed lack them.
"""

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

Quantity = Literal["dB", "linear", "amplitude", "reflectance", "8-bit", "unknown"]
RGB = ("red", "green", "blue")
MASKED_VALUE = 0
"""Stored, of 0 .. 255, where a pixel has no value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageDescription:
    """How the images of one kind were brought from their files to 0 .. 255.

    Attributes:
        bands: their names in stored order.
        quantity: the physical quantity of the values in the files; ``8-bit`` are grey levels of unstated scaling.
        scale: how file values were brought to the unit of ``limits``: ``file`` (unchanged), ``linear`` (10 log10) or
            ``amplitude`` (20 log10).
        limits: what became 0 and 255, a band, in the unit after ``scale``; None for 8-bit values stored unchanged.
        dtype: NumPy's name of the data type of the files.
        nodata: the value that marks a missing pixel in the files, where one is stated.
    """

    bands: tuple[str, ...]
    quantity: Quantity = "8-bit"
    scale: str = "file"
    limits: tuple[tuple[float, float], ...] | None = None
    dtype: str = "uint8"
    nodata: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, with ``masked_value``."""
        return {
            **dataclasses.asdict(self),
            "bands": list(self.bands),
            "limits": None if self.limits is None else [list(pair) for pair in self.limits],
            "masked_value": MASKED_VALUE,
        }


def image_digest(values: np.ndarray) -> bytes:
    """SHA-256 of an image as it is stored, [height, width, channel] uint8: of its shape and its values."""
    digest = hashlib.sha256(np.array(values.shape, "<u4").tobytes())
    digest.update(np.ascontiguousarray(np.ma.getdata(values)).data)
    return digest.digest()


def content_digest(examples: Iterable[tuple[str, bytes, bytes]]) -> str:
    """SHA-256, in hex, of what a split contains, wherever its files are and however they are compressed.

    Args:
        examples: id and ``image_digest`` of the radar and the optical image of every example, in any order: they are
            sorted by id.
    """
    digest = hashlib.sha256()
    for name, sar, optical in sorted(examples):
        digest.update(hashlib.sha256(name.encode()).digest() + sar + optical)
    return digest.hexdigest()
