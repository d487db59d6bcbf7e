"""The Python interface, with networks that are a formula."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sar2opt_jax
from sar2opt_jax import export, inference
from sar2opt_jax.description import Dataset, Description, ImageFormat, ScheduleSettings, UNetSettings
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.export import Export
from sar2opt_jax.inference import ImageTranslator
from sar2opt_jax.models.init import init_params
from sar2opt_jax.scene.units import as_levels
from sar2opt_jax.translator import Translator
from sar2opt_jax.types import make_key
from tfds_builders import pairs

DIFFUSERS_FOLDER = Path(__file__).parent / "interop" / "reference"
GREY = ImageFormat(bands=("VV",))
DB = ImageFormat(bands=("VV", "VH"), quantity="dB", limits=((-25.0, 0.0), (-32.5, 0.0)), dtype="float32")


def shows_the_radar(params, x_t, t, sar):
    """The mean of all bands as grey; refuses sizes that a U-Net refuses."""
    del t
    assert x_t.shape[1] % 8 == 0 and x_t.shape[2] % 8 == 0
    return params["gain"] * jnp.repeat(sar.mean(axis=-1, keepdims=True), 3, axis=-1)


def shows_the_noise(params, x_t, t, sar):
    del t, sar
    return 0.3 * params["gain"] * x_t


def translator(network=shows_the_radar, *, radar=GREY, student=True):
    trained = SimpleNamespace(
        description=SimpleNamespace(radar=radar, image_size=64, fingerprint="0@1", ground_sampling_m=None),
        translator=Translator(
            model=network,
            schedule=make_schedule("cosine", num_steps=100),
            prediction="x_0",
            solver_steps=50 if student else None,
        ),
        params={"gain": np.float32(1)},
        size_multiple=8,
    )
    return ImageTranslator(trained)


def random_levels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(16, 8), (13, 21), (3, 5), (1, 1), (13, 21, 1)])
def test_an_image_of_any_size_is_translated_pixel_by_pixel(shape):
    sar = random_levels(*shape)
    optical = translator()(sar, steps=1)
    assert optical.dtype == np.uint8
    np.testing.assert_array_equal(optical, np.stack([sar.reshape(shape[:2])] * 3, axis=-1))


def test_what_is_beyond_the_border_is_the_mirror_image():
    seen = []

    def model(params, x_t, t, sar):
        jax.debug.callback(lambda image: seen.append(np.asarray(image)), sar)
        return x_t

    sar = random_levels(6, 8)
    assert translator(model)(sar, steps=1).shape == (6, 8, 3)
    jax.effects_barrier()
    expected = np.pad(sar, ((0, 2), (0, 0)), mode="reflect") / np.float32(127.5) - 1
    np.testing.assert_allclose(seen[0][0, :, :, 0], expected, atol=1e-6)


def test_a_batch_has_other_noise_for_every_image_and_a_seed_repeats_it():
    run = translator(shows_the_noise)
    batch = random_levels(3, 8, 8, 1)
    first = run(batch, steps=1, seed=5)
    assert first.shape == (3, 8, 8, 3)
    np.testing.assert_array_equal(run(batch, steps=1, seed=5), first)
    np.testing.assert_array_equal(run(batch[0], steps=1, seed=5), first[0])
    assert (first[0] != first[1]).mean() > 0.5
    assert (run(batch, steps=1, seed=6) != first).mean() > 0.5


def test_an_image_larger_than_a_tile_depends_on_its_own_key_alone():
    run = translator(shows_the_noise)
    batch = random_levels(2, 70, 100, 1)
    found = run(batch, steps=2, seed=5)
    assert found.shape == (2, 70, 100, 3) and (found[0] != found[1]).mean() > 0.5
    np.testing.assert_array_equal(run(batch[0], steps=2, seed=5), found[0])


def test_the_usual_method_is_taken_where_none_is_given():
    assert translator().method().num_steps == 4
    assert translator(student=False).method(sampler="ddpm").num_steps == 100
    with pytest.raises(ValueError, match="sample it with lcm, not with 'ddim'"):
        translator()(random_levels(8, 8), sampler="ddim")


def test_values_in_the_units_of_the_files_become_what_training_stored():
    rng = np.random.default_rng(0)
    db = rng.uniform(-40, 5, (8, 8, 2)).astype(np.float32)
    db[0, 0, 0] = np.nan
    levels = as_levels(np.ma.asarray(db), DB)
    low, high = np.array(DB.limits).T
    expected = np.round(255 * ((db.astype(np.float64) - low) / (high - low)).clip(0, 1))
    expected[0, 0, 0] = 0
    np.testing.assert_array_equal(levels, expected)
    power = dataclasses.replace(DB, scale="linear", quantity="linear")
    np.testing.assert_allclose(as_levels(np.ma.asarray(10 ** (db / 10)), power), expected, atol=1)
    assert as_levels(np.ma.zeros((1, 1, 2), np.float32), power).tolist() == [[[0, 0]]]  # No echo.


def test_masked_and_nodata_pixels_become_the_masked_value():
    radar = dataclasses.replace(DB, nodata=-9999.0, masked_value=7)
    values = np.ma.masked_equal(np.array([[[-9999.0, -32.5], [-25.0, 1.0]]]), 1.0)
    assert as_levels(values, radar).tolist() == [[[7, 0], [0, 7]]]


def test_limits_of_8_bit_files_are_applied():
    """Prepared with --sar_range=p2,p98, an 8-bit file was translated 75 grey levels off."""
    stretched = dataclasses.replace(GREY, limits=((20.0, 220.0),))
    assert as_levels(np.ma.asarray(np.array([[[20], [120], [255]]], np.uint8)), stretched).tolist() == [
        [[0], [128], [255]]
    ]


def test_levels_that_are_scaled_already_are_taken_as_they_are():
    levels = random_levels(4, 4, 2)
    np.testing.assert_array_equal(as_levels(np.ma.asarray(levels), DB), levels)


@pytest.mark.parametrize("scale", ["file", "linear", "amplitude"])
def test_scaling_is_that_of_the_builder(scale):
    rng = np.random.default_rng(0)
    values = rng.uniform(-30, 2, (16, 16, 2)) if scale == "file" else rng.uniform(0, 1, (16, 16, 2))
    radar = dataclasses.replace(DB, scale=scale)
    scaled = pairs.settings.SCALES[scale](np.ma.asarray(values))
    low, high = np.array(DB.limits).T
    share = (np.ma.getdata(scaled).astype(np.float64) - low) / (high - low)
    expected = np.where(np.ma.getmaskarray(scaled), 0, np.round(255 * share.clip(0, 1)))
    np.testing.assert_array_equal(as_levels(np.ma.asarray(values), radar), expected)


@pytest.mark.parametrize(
    ("sar", "radar", "message"),
    [
        (np.zeros(8), GREY, r"has shape \(8,\); expected \[height, width, 1\].* bands VV"),
        (np.zeros((8, 8), np.uint8), DB, r"has shape \(8, 8\); expected \[height, width, 2\].* bands VV, VH"),
        (np.zeros((0, 8, 1), np.uint8), GREY, r"has shape \(0, 8, 1\)"),
        (np.zeros((8, 8), np.float32), GREY, "has float32 values; expected 8-bit grey levels"),
        (np.zeros((8, 8, 2), np.complex64), DB, "has complex64 values; expected real numbers"),
    ],
)
def test_arrays_of_another_kind_are_refused(sar, radar, message):
    with pytest.raises(ValueError, match=message):
        translator(radar=radar)(sar)


def test_decibels_with_a_range_are_what_their_grey_levels_are():
    decibels = np.random.default_rng(0).uniform(-30, 5, (8, 8)).astype(np.float32)
    grey = np.round(255 * ((decibels + 25) / 25).clip(0, 1)).astype(np.uint8)
    grey_network = translator(radar=GREY)
    np.testing.assert_array_equal(grey_network(decibels, sar_range=(-25, 0)), grey_network(grey))
    np.testing.assert_array_equal(grey_network(decibels, sar_range=((-25.0, 0.0),)), grey_network(grey))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A workdir with a teacher of two bands that was never trained."""
    unet = UNetSettings(widths=(8, 8), blocks_per_level=1, attention=(False, False), head_width=8, norm_groups=2)
    about = Description(
        stage="teacher",
        kind="teacher",
        rank=2,
        unet=unet,
        prediction="x_0",
        schedule=ScheduleSettings(name="cosine", num_steps=20, rescale_zero_snr=False),
        consistency=None,
        radar=DB,
        optical=ImageFormat(bands=("red", "green", "blue")),
        image_size=16,
        dataset=Dataset(name="mine"),
        settings={},
        preset="test",
    )
    params = init_params(unet.make(), make_key(0), image_size=16, sar_channels=2)
    path = tmp_path_factory.mktemp("runs") / "run"
    export.save(path / "teacher" / "checkpoints", Export(networks={"unet": params}, description=about))
    return path


def test_a_workdir_is_loaded_and_translates(workdir):
    loaded = sar2opt_jax.load(workdir)
    assert loaded.description.radar == DB
    optical = loaded(np.full((9, 10, 2), -12.0, np.float32), steps=2)
    assert optical.shape == (9, 10, 3) and optical.dtype == np.uint8


def test_a_folder_of_diffusers_is_loaded_and_translates():
    loaded = sar2opt_jax.load(DIFFUSERS_FOLDER)
    assert (loaded.description.kind, loaded.description.radar.bands) == ("student", ("band 1",))
    assert loaded(random_levels(16, 20), steps=1).shape == (16, 20, 3)


def test_nothing_to_load_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: expected STAGE/checkpoints/STEP below it"):
        inference.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="gs://bucket/run is an address"):
        inference.load("gs://bucket/run")
