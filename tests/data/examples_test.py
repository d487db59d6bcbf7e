import numpy as np
import pytest

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.data.scaling import to_float


def coordinates_source(count=10, size=12, **texts):
    """Pairs whose pixels name themselves: channels are the pair, the row and the column, and `sar` repeats them."""
    row, column = np.mgrid[:size, :size].astype(np.uint8)
    optical = [np.stack([np.full_like(row, number), row, column], -1) for number in range(count)]
    return [
        {"optical": image, "sar": image[..., :2].copy(), "id": f"p{number}".encode()}
        | {name: values[number] for name, values in texts.items()}
        for number, image in enumerate(optical)
    ]


def test_examples_spread_evenly_and_are_cropped_at_the_centre():
    source = coordinates_source()
    examples = Examples(source, num_examples=5, image_size=8)
    assert examples.ids == ["p1", "p3", "p5", "p7", "p9"]
    np.testing.assert_array_equal(examples.optical([2])[0], source[5]["optical"][2:10, 2:10])
    np.testing.assert_array_equal(examples.sar([4, 0]), examples.optical([4, 0])[..., :2])
    batch = examples.batch()
    np.testing.assert_array_equal(batch.index, [1, 3, 5, 7, 9])
    np.testing.assert_array_equal(batch.optical, to_float(examples.optical(range(5))))
    np.testing.assert_array_equal(batch.sar, to_float(examples.sar(range(5))))


def test_examples_are_what_there_is():
    examples = Examples(coordinates_source(3), num_examples=100, image_size=8)
    assert examples.ids == ["p0", "p1", "p2"]
    assert len(examples) == 3


def test_groups_are_those_that_differ():
    source = coordinates_source(3, season=[b"fall", b"spring", b"fall"], terrain=["", "", ""], scene=["1", "2", "3"])
    assert Examples(source, num_examples=3, image_size=8).groups == {"season": ["fall", "spring", "fall"]}
    assert Examples(coordinates_source(3), num_examples=3, image_size=8).groups == {}


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        Examples([], num_examples=1, image_size=8)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Examples(coordinates_source(), num_examples=0, image_size=8)
    with pytest.raises(ValueError, match=r"image_size \(16\)"):
        Examples(coordinates_source(), num_examples=1, image_size=16)
    with pytest.raises(ValueError, match="Two pairs are called 'p0'"):
        Examples([*coordinates_source(1), *coordinates_source(1)], num_examples=2, image_size=8)
