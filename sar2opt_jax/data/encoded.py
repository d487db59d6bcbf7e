"""Images as they are stored, PNG or JPEG, decoded when it is known which part is wanted."""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image


class EncodedImage:
    """The bytes of an image file.

    Attributes:
        shape: height, width and channels in pixels.
    """

    def __init__(self, data: bytes, shape: tuple[int | None, ...]):
        """Keeps the bytes; a shape that is not known beforehand is read from the file's header."""
        self._data = data
        if None in shape[:2]:
            with Image.open(io.BytesIO(data)) as image:
                shape = (image.height, image.width, *shape[2:])
        self.shape: tuple[int, int, int] = tuple(shape)  # pyright: ignore[reportAttributeAccessIssue]

    def window(self, *, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A part of the image, [height, width, channel] uint8.

        Raises:
            ValueError: the file is of another size or number of channels than its dataset says.
            OSError: it is broken.
        """
        bottom, right = top + height, left + width
        decode = _fast_decoder()
        image = decode(self._data, bottom=bottom, right=right) if decode else None
        if image is None:
            with Image.open(io.BytesIO(self._data)) as opened:
                image = np.asarray(opened)
            image = image.reshape(*image.shape[:2], -1)
        window = image[top:bottom, left:right]
        if window.shape != (height, width, self.shape[2]):
            raise ValueError(
                f"An image of {image.shape[2]} channels has {window.shape[0]} x {window.shape[1]} pixels from "
                f"row {top}, column {left}; expected {height} x {width} of a {self.shape[0]} x {self.shape[1]} image "
                f"of {self.shape[2]} channels."
            )
        return window

    def decoded(self) -> np.ndarray:
        """The whole image, [height, width, channel] uint8."""
        height, width, _ = self.shape
        return self.window(top=0, left=0, height=height, width=width)


@functools.cache
def _fast_decoder() -> Callable[..., np.ndarray | None] | None:
    """``png.decode`` where its extra is installed. Pillow gives the same pixels, more slowly."""
    try:
        from sar2opt_jax.data import png
    except ModuleNotFoundError as error:
        if error.name not in ("numba", "isal"):
            raise
        return None
    return png.decode
