"""The page to try a network on: what it shows, and, where Gradio is installed, the page itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from sar2opt_jax import demo, inference
from sar2opt_jax.scene import previews

REFERENCE = Path(__file__).parent / "interop" / "reference"


@pytest.fixture(scope="module")
def load():
    translator = inference.load_scenes(REFERENCE)
    return lambda name: translator


def translated(load, folder, file, *, steps=1, sar_range="", with_spread=False):
    return demo.translate(load, folder, file and str(file), "tiny", steps, 0, sar_range, with_spread)


@pytest.fixture
def grey(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    return levels


def test_image_is_shown_beside_its_translation_and_can_be_downloaded(load, grey, tmp_path):
    shown = translated(load, tmp_path, tmp_path / "grey.png")
    radar, optical = shown.pair
    np.testing.assert_array_equal(radar, np.repeat(grey[..., None], 3, axis=-1))
    np.testing.assert_array_equal(previews.of_raster(shown.file), optical)
    with Image.open(shown.file) as file:
        assert file.size == (50, 40)
    assert optical.shape == (40, 50, 3) and shown.spread is None
    assert shown.text.startswith("40 x 50 pixels, 1 step, ") and "coordinate" not in shown.text


def test_grey_in_three_equal_channels_is_grey(load, grey, tmp_path):
    Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).save(tmp_path / "colour.png")
    one, three = (translated(load, tmp_path, tmp_path / name) for name in ("grey.png", "colour.png"))
    np.testing.assert_array_equal(one.pair, three.pair)


def test_scene_in_decibels_takes_a_range(load, tmp_path):
    path = tmp_path / "scene.tif"
    decibels = np.random.default_rng(0).uniform(-25, 0, (1, 32, 48)).astype(np.float32)
    profile = {"driver": "GTiff", "height": 32, "width": 48, "count": 1, "dtype": "float32"}
    with rasterio.open(
        path, "w", crs="EPSG:32631", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **profile
    ) as file:
        file.write(decibels)
    with pytest.raises(ValueError, match="state the dB that become 0 and 255"):
        translated(load, tmp_path, path)
    shown = translated(load, tmp_path, path, sar_range=" -25,0 ", with_spread=True, steps=2)
    np.testing.assert_array_equal(shown.pair[0][..., 0], np.round(255 * (decibels[0] + 25) / 25))
    assert shown.spread is not None and shown.spread.shape == (32, 48, 3) and "over 4 noises" in shown.text
    with rasterio.open(shown.file) as file:
        assert file.crs.to_epsg() == 32631


def test_without_an_image_the_way_on_is_said(load, tmp_path):
    with pytest.raises(ValueError, match="drop one, or choose an example"):
        translated(load, tmp_path, None)


def test_previews_of_large_scenes_are_small(load, grey, tmp_path):
    shown = translated(load, tmp_path, tmp_path / "grey.png")
    assert previews.of_raster(shown.file, side=10).shape == (8, 10, 3)
    translator, settings = load("tiny"), demo.SceneSettings()
    radar = previews.of_radar(tmp_path / "grey.png", translator, settings, side=10)
    np.testing.assert_array_equal(radar[..., 0], grey[::5, ::5])


def test_spread_is_black_where_there_is_none():
    colours = demo.heat(np.array([[0.0, demo.MAX_SPREAD / 2, 2 * demo.MAX_SPREAD]]))
    assert colours.dtype == np.uint8 and np.all(np.diff(colours.sum(axis=-1)) > 0) and colours[0, 0].max() < 5


def test_examples_are_radar_images_that_come_with_the_package():
    paths = demo.examples()
    assert len(paths) == 2
    for path in paths:
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (256, 256))


def test_without_gradio_the_extra_is_named():
    code = "import sys\nsys.modules['gradio'] = None\nsys.argv = ['sar2opt demo', '--port=1']\n"
    code += "import importlib.util as u\nu.find_spec = lambda name: None\nfrom sar2opt_jax import demo\ndemo.run()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "pip install 'sar2opt-jax[demo]'" in done.stderr


def test_page_translates_over_http(load, grey, tmp_path):
    pytest.importorskip("gradio", reason="Gradio, of the extra demo, is not installed")
    from gradio_client import Client, handle_file

    page = demo.page(["tiny"], load, tmp_path)
    try:
        _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
        client = Client(url, verbose=False)
        given = (handle_file(tmp_path / "grey.png"), "tiny", 1, 0, "", False)
        pair, _, _, text = client.predict(*given, api_name="/translate")
        assert len(pair) == 2 and str(text).startswith("40 x 50 pixels, 1 step")
        with pytest.raises(Exception, match="drop one, or choose an example"):
            client.predict(None, *given[1:], api_name="/translate")
    finally:
        page.close()
