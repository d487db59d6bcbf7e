import numpy as np
import pytest

from tfds_builders import values


def masked(data, mask=None):
    data = np.asarray(data)
    return np.ma.array(data, mask=np.zeros(data.shape, bool) if mask is None else mask)


def test_shares_are_those_of_all_values_that_are_there():
    tally = values.Tally()
    assert tally.shares() == []
    image = np.array([[0, 0, 255, 9], [9, 9, 7, 1]], np.uint8)[..., None]
    mask = image == 1
    tally.add(values.counts(values.Decoded(masked(image, mask), clipped=np.array([[2, 1]]))))
    tally.add(values.counts(values.Decoded(np.full((1, 3, 1), 9, np.uint8), clipped=np.array([[0, 0]]))))
    [share] = tally.shares()
    assert share == values.Shares(below=2 / 10, above=1 / 10, value=9, equal=6 / 10)
    assert share.as_json() == {"below": 0.2, "above": 0.1, "value": 9, "equal": 0.6}


def test_bands_are_counted_by_themselves():
    image = np.stack([np.full((4, 4), 3, np.uint8), np.arange(16, dtype=np.uint8).reshape(4, 4)], axis=-1)
    tally = values.Tally()
    tally.add(values.counts(values.Decoded(image)))
    first, second = tally.shares()
    assert (first.value, first.equal, second.equal) == (3, 1, 1 / 16) and first.below == first.above == 0


def test_band_without_variety_is_refused():
    image = np.stack([np.arange(16.0).reshape(4, 4), np.full((4, 4), -25.0)], axis=-1)
    with pytest.raises(ValueError, match="every pixel has the value -25 in VH, expected an image"):
        values.check_varies(image, ("VV", "VH"))
    mask = np.zeros(image.shape, bool)
    mask[..., 1] = True
    with pytest.raises(ValueError, match="no pixel has a value in VH"):
        values.check_varies(masked(image, mask), ("VV", "VH"))
    mask[..., 1] = False
    mask[0, 0] = True
    image[0, 0, 1] = 7  # What lies under a mask is no variety.
    with pytest.raises(ValueError, match="value -25 in VH"):
        values.check_varies(masked(image, mask), ("VV", "VH"))
    values.check_varies(image, ("VV", "VH"))
    with pytest.raises(ValueError, match="value 5, expected"):
        values.check_varies(np.full((4, 4, 1), 5, np.uint8), ("band 1",))


def noise(dtype=np.float32, size=64):
    values = np.random.default_rng(0).uniform(10, 200, (size, size, 1))
    return masked(values.astype(dtype))


@pytest.mark.parametrize("edge", [np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1], np.s_[:, :20], np.s_[:20, 0]])
@pytest.mark.parametrize("value", [0, -9999, 12.5])
def test_value_that_fills_a_stretch_of_an_edge_is_suspect(edge, value):
    image = noise()
    image[edge] = value
    assert values.suspects(image) == (value,)


def test_natural_images_have_no_suspects():
    for dtype in (np.float32, np.uint16, np.uint8):
        assert values.suspects(noise(dtype)) == ()
    # Eight bits are clipped where water is dark: a part of an edge says nothing, a whole one does.
    image = noise(np.uint8)
    image[:40, 0] = 0
    assert values.suspects(image) == ()
    image[:, 0] = 0
    assert values.suspects(image) == (0,)


def test_hole_inside_is_suspect_where_it_is_the_lowest_or_highest_value():
    for value in (-9999, 65535):
        image = noise()
        image[20:30, 20:30] = value
        assert values.suspects(image) == (value,)
    image = noise(np.uint16)
    image[20:30, 20:30] = 4095  # A saturated sensor.
    assert values.suspects(image) == ()
    image[20:30, 20:30] = 65535
    assert values.suspects(image) == (65535,)
    image = noise()
    image[20:23, 20:23] = 0  # Nine pixels are nothing.
    assert values.suspects(image) == ()


def test_masked_pixels_are_no_suspects():
    image = noise()
    image[:, :20] = -9999
    image[:, :20] = np.ma.masked
    assert values.suspects(image) == ()
