import io

import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.data import encoded
from sar2opt_jax.data.encoded import EncodedImage


@pytest.fixture(name="decoder", params=["fast", "pillow"])
def either_decoder(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(encoded, "_fast_decoder", lambda: None)
    elif encoded._fast_decoder() is None:
        pytest.skip("needs the extra `fast`")
    return request.param


def image_file(values, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(values.squeeze()).save(file, format=form)
    return file.getvalue()


def random_image(channels, size=24):
    return np.random.default_rng(channels).integers(256, size=(size, size, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_window_is_that_part_of_the_image(channels, decoder):
    values = random_image(channels)
    image = EncodedImage(image_file(values), values.shape)
    np.testing.assert_array_equal(image.decoded(), values)
    for top, left, height, width in ((0, 0, 1, 1), (5, 9, 8, 3), (16, 16, 8, 8)):
        window = image.window(top=top, left=left, height=height, width=width)
        np.testing.assert_array_equal(window, values[top : top + height, left : left + width])


def test_jpeg_is_decoded_by_pillow(decoder):
    data = image_file(random_image(3), form="JPEG")
    np.testing.assert_array_equal(EncodedImage(data, (24, 24, 3)).decoded(), np.asarray(Image.open(io.BytesIO(data))))


def test_unknown_size_is_read_from_the_file():
    values = random_image(3)
    assert EncodedImage(image_file(values), (None, None, 3)).shape == (24, 24, 3)


@pytest.mark.parametrize("shape", [(32, 24, 3), (24, 32, 3), (24, 24, 1)])
def test_image_unlike_its_dataset_is_refused(shape, decoder):
    with pytest.raises(ValueError, match=r"3 channels has 24 x 24 pixels .* expected \d+ x \d+ of a"):
        EncodedImage(image_file(random_image(3)), shape).decoded()


def test_broken_file_is_refused(decoder):
    data = image_file(random_image(3))
    with pytest.raises(OSError):
        EncodedImage(data[: len(data) // 2], (24, 24, 3)).decoded()
