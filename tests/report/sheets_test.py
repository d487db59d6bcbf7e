import numpy as np
import pytest

from sar2opt_jax.metrics import colour
from sar2opt_jax.report import sheets


def test_blocks_are_mean_colours():
    image = np.zeros((1, 16, 24, 3), np.uint8)
    image[0, :8, 8:16] = [10, 20, 30]
    image[0, 8:, 16:20] = [200, 100, 50]
    expected = np.zeros((1, 2, 3, 3), np.uint8)
    expected[0, 0, 1], expected[0, 1, 2] = [10, 20, 30], [100, 50, 25]
    np.testing.assert_array_equal(sheets.blocks(image), expected)


def test_blocks_are_those_of_the_colour_shift(monkeypatch):
    monkeypatch.setattr(colour, "COLOUR_BLOCK", 4)
    assert sheets.blocks(np.zeros((1, 16, 24, 3), np.uint8)).shape == (1, 4, 6, 3)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_rounded_means(seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, 8, 16, 3), np.uint8)
    expected = np.rint(images.reshape(2, 1, 8, 2, 8, 3).mean(axis=(2, 4)))
    np.testing.assert_array_equal(sheets.blocks(images), expected)


def test_blocks_drop_what_is_left_at_the_edges_and_take_small_images_whole():
    assert sheets.blocks(np.zeros((2, 19, 33, 3), np.uint8)).shape == (2, 2, 4, 3)
    assert sheets.blocks(np.full((1, 5, 12, 3), 7, np.uint8)).tolist() == [[[[7, 7, 7]]]]


def test_the_first_of_several_radar_channels_is_shown(fabricate):
    results = fabricate(channels=2)
    two = np.stack([np.full((16, 16), 40), np.full((16, 16), 90)], axis=-1).astype(np.uint8)
    object.__setattr__(results, "sar", lambda positions: np.stack([two] * len(positions)))
    radar = sheets.samplers(results, figure_steps=8, rows=2).columns[0]
    np.testing.assert_array_equal(radar.images, np.full((2, 16, 16, 3), 40))


def test_examples_are_those_of_the_ranking_with_their_numbers(fabricate):
    sheet = sheets.examples(fabricate(), figure_steps=8)
    assert sheet.rows == (
        ("Best", "rank 1 of 4 · image0"),
        ("Median", "rank 2 of 4 · image1"),
        ("Worst", "rank 4 of 4 · image3"),
    )
    names = [column.name for column in sheet.columns]
    assert names == ["SAR, input", "Truth, optical", "Original, 1,000 steps", "DDIM, 8 steps", "Student, 4 steps"]
    assert sheet.columns[-1].captions == ("22.00 dB · LPIPS 0.430", "23.00 dB · LPIPS 0.530", "25.00 dB · LPIPS 0.730")
    assert [image[0, 0, 0] for image in sheet.columns[-1].images] == [130, 131, 133]


def test_every_sheet_asks_for_the_images_of_a_method_once(fabricate):
    results = fabricate()
    asked = []
    for result in results.methods:
        images = result.images
        object.__setattr__(result, "images", lambda places, images=images: asked.append(list(places)) or images(places))
    sheets.make(results, figure_steps=8, rows=3)
    assert asked.count([0, 1, 2]) == 5  # Columns of figure 1.
    assert len(asked) == 5 + 3 * 3


def test_long_names_lose_their_middle():
    assert sheets.short("a" * 60) == "a" * 60
    short = sheets.short("begin" + "x" * 100 + "end")
    assert len(short) <= 60 and short.startswith("begin") and short.endswith("end") and "…" in short
