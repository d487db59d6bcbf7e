from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import rasterio
from absl import app, flags
from absl.testing import flagsaver
from PIL import Image

from sar2opt_jax import inference, translate
from sar2opt_jax.description import ImageFormat
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.inference import ImageTranslator
from sar2opt_jax.interop import pretrained
from sar2opt_jax.translator import Translator
from sar2opt_jax.types import Array, Params

MULTIPLE = 8


def grey(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
    """Translates every SAR value to the same grey; takes only sizes that a U-Net takes."""
    del t
    assert x_t.shape[1] % MULTIPLE == 0
    assert x_t.shape[2] % MULTIPLE == 0
    return params["gain"] * jnp.repeat(sar, 3, axis=-1)


def noise(params: Params, x_t: Array, t: Array, sar: Array) -> Array:
    del t, sar
    return 0.3 * params["gain"] * x_t


def model(
    network=grey,
    *,
    student: bool = False,
    radar: ImageFormat = ImageFormat(bands=("VV",)),  # noqa: B008
) -> ImageTranslator:
    schedule = make_schedule("cosine", num_steps=100)
    translator = Translator(model=network, schedule=schedule, prediction="x_0", solver_steps=50 if student else None)
    trained = SimpleNamespace(
        description=SimpleNamespace(radar=radar, image_size=64, fingerprint="0@1", ground_sampling_m=None),
        translator=translator,
        params={"gain": np.float32(1)},
        size_multiple=MULTIPLE,
    )
    return ImageTranslator(trained)


def random_sar(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def save(path: Path, image: np.ndarray, **kw) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **kw)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def command(monkeypatch, source: Path, target: Path, *, loaded: ImageTranslator, **settings) -> None:
    monkeypatch.setattr(inference, "load", lambda path, stage=None: loaded)
    values = {"model": "run", "input": str(source), "output": str(target), **settings}
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**values):
        translate.main(["translate"])


@pytest.mark.parametrize("shape", [(16, 8), (13, 21), (3, 5), (1, 1)])
def test_an_image_of_any_size_is_translated_pixel_by_pixel(monkeypatch, tmp_path, shape):
    sar = random_sar(*shape)
    source, target = save(tmp_path / "sar.png", sar), tmp_path / "new" / "optical.png"
    command(monkeypatch, source, target, loaded=model(), steps=1)
    np.testing.assert_array_equal(read(target), np.stack([sar] * 3, axis=-1))


def test_a_folder_is_translated_to_a_folder_with_the_same_names(monkeypatch, tmp_path, capsys):
    for name in ("b.png", "a.PNG", "._a.png", "notes.txt"):
        save(tmp_path / "in" / name, random_sar(8, 8), format="PNG")
    command(monkeypatch, tmp_path / "in", tmp_path / "out", loaded=model(), steps=1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.PNG", "b.png"}
    assert "Translated 2 of 2 images" in capsys.readouterr().out


def test_noise_depends_on_name_and_seed_alone(monkeypatch, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name, random_sar(8, 8))
    loaded = model(noise, student=True)
    command(monkeypatch, tmp_path / "in", tmp_path / "all", loaded=loaded)
    command(monkeypatch, tmp_path / "in" / "b.png", tmp_path / "alone.png", loaded=loaded)
    command(monkeypatch, tmp_path / "in" / "b.png", tmp_path / "other.png", loaded=loaded, seed=1)
    b = read(tmp_path / "all" / "b.png")
    np.testing.assert_array_equal(read(tmp_path / "alone.png"), b)
    assert (read(tmp_path / "other.png") != b).mean() > 0.5
    assert (read(tmp_path / "all" / "a.png") != b).mean() > 0.5


def test_bad_files_are_named_and_the_others_are_done(monkeypatch, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    save(source / "good.png", random_sar(8, 8))
    save(source / "z_good.png", random_sar(9, 9))
    save(source / "colour.png", np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    save(source / "deep.png", np.full((8, 8), 40_000, np.uint16))
    save(source / "jpeg.png", random_sar(8, 8), format="JPEG")
    (source / "text.png").write_text("not an image")
    whole = (source / "good.png").read_bytes()
    (source / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, source, target, loaded=model(), steps=1)
    lines = str(stopped.value).splitlines()
    assert lines[0] == "5 could not be translated:"
    reasons = {Path(line.split(": ")[0].strip()).name: line for line in lines[1:]}
    assert "it is a colour image; expected one grey SAR channel" in reasons["colour.png"]
    assert "expected 8-bit grey" in reasons["deep.png"]
    assert "not a PNG image" in reasons["jpeg.png"]
    assert "not a PNG image" in reasons["text.png"]
    assert "truncated" in reasons["cut.png"]
    # Nothing else: no empty and no temporary files.
    assert {path.name for path in target.iterdir()} == {"good.png", "z_good.png"}


def test_a_failed_write_leaves_the_old_file_and_no_other(monkeypatch, tmp_path):
    source, target = save(tmp_path / "sar.png", random_sar(8, 8)), tmp_path / "out" / "optical.png"
    save(target, np.zeros((8, 8), np.uint8))

    def fail(self: Image.Image, path: Path, **kw) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(SystemExit, match="No space left on device"):
        command(monkeypatch, source, target, loaded=model(), steps=1)
    assert [path.name for path in target.parent.iterdir()] == ["optical.png"]
    np.testing.assert_array_equal(read(target), 0)


def test_the_input_is_never_overwritten(monkeypatch, tmp_path):
    source = save(tmp_path / "in" / "sar.png", random_sar(8, 8))
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for given, target in ((source, source), (source.parent, source.parent), (source, tmp_path / "link")):
        with pytest.raises(SystemExit, match="would overwrite the input"):
            command(monkeypatch, given, target, loaded=model(), steps=1)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("absent.png", "out.png", "absent.png does not exist"),
        ("empty", "out", "empty is a folder without PNG, JPEG or TIFF files"),
        ("in", "in/a.png", "is a folder, so --output must be one too"),
        ("in/a.png", "out.jpg", "must end in .png or .tif"),
    ],
)
def test_paths_that_do_not_fit_are_refused(monkeypatch, tmp_path, source, target, message):
    save(tmp_path / "in" / "a.png", random_sar(8, 8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=message):
        command(monkeypatch, tmp_path / source, tmp_path / target, loaded=model())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "lcm"}, "This model is a teacher"),
        ({"sampler": "euler"}, "Unknown sampler 'euler'; known: ddpm"),
        ({"steps": 0}, "must be 1 to 100; got 0"),
        ({"steps": 101}, "must be 1 to 100; got 101"),
    ],
)
def test_methods_that_do_not_fit_are_refused(monkeypatch, tmp_path, settings, message):
    source = save(tmp_path / "sar.png", random_sar(8, 8))
    with pytest.raises(SystemExit, match=message):
        command(monkeypatch, source, tmp_path / "out.png", loaded=model(), **settings)
    assert not (tmp_path / "out.png").exists()


def test_a_grey_image_for_a_model_of_several_bands_is_refused(monkeypatch, tmp_path):
    source = save(tmp_path / "sar.png", random_sar(8, 8))
    with pytest.raises(SystemExit, match="it has one grey band; the network takes 2: VV, VH"):
        command(monkeypatch, source, tmp_path / "out.png", loaded=model(radar=ImageFormat(bands=("VV", "VH"))))


def test_what_is_skipped_in_a_folder_is_said(monkeypatch, tmp_path, capsys):
    save(tmp_path / "in" / "a.jpg", random_sar(8, 8), format="JPEG", quality=100)
    (tmp_path / "in" / "notes.txt").write_text("")
    (tmp_path / "in" / "more").mkdir()
    command(monkeypatch, tmp_path / "in", tmp_path / "out", loaded=model(), steps=1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.png"}
    said = capsys.readouterr().out
    assert "Skipped 2 in" in said and "that are no PNG, JPEG or TIFF files: more, notes.txt." in said


def test_two_sources_of_one_output_are_refused(monkeypatch, tmp_path):
    save(tmp_path / "in" / "a.png", random_sar(8, 8))
    save(tmp_path / "in" / "a.jpg", random_sar(8, 8), format="JPEG")
    with pytest.raises(SystemExit, match=r"a\.jpg and .*a\.png would both be translated to"):
        command(monkeypatch, tmp_path / "in", tmp_path / "out", loaded=model())
    assert not (tmp_path / "out").exists()


def test_images_larger_than_a_tile_are_translated_tile_by_tile(monkeypatch, tmp_path):
    seen = []

    def model_of_tiles(params, x_t, t, sar):
        seen.append(sar.shape[1:3])
        return grey(params, x_t, t, sar)

    sar = random_sar(90, 150)
    source, target = save(tmp_path / "sar.png", sar), tmp_path / "optical.png"
    command(monkeypatch, source, target, loaded=model(model_of_tiles), steps=1)
    np.testing.assert_array_equal(read(target), np.stack([sar] * 3, axis=-1))
    assert {*seen} == {(64, 64)}


@pytest.mark.parametrize(
    ("radar", "flags_of_radar"),
    [
        (ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32"), {}),
        (ImageFormat(bands=("VV",)), {"sar_range": "-25,0"}),
    ],
    ids=["network of dB", "network of grey levels"],
)
def test_image_in_linear_power_is_converted_or_refused_and_not_taken_for_decibels(
    radar, flags_of_radar, monkeypatch, tmp_path
):
    decibels = np.random.default_rng(0).uniform(-25, -1, (8, 8)).astype(np.float32)
    profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "float32"}
    for name, values in (("db.tif", decibels), ("linear.tif", 10 ** (decibels / 10))):
        with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
            file = rasterio.open(tmp_path / name, "w", **profile)
        with file:
            file.write(values[None])

    def translated(source, **settings):
        target = tmp_path / "out.png"
        command(
            monkeypatch, tmp_path / source, target, loaded=model(radar=radar), steps=1, **flags_of_radar, **settings
        )
        return read(target)[..., 0]

    expected = np.round(255 * (decibels + 25) / 25)
    np.testing.assert_array_equal(translated("db.tif"), expected)
    np.testing.assert_allclose(translated("linear.tif", units="linear").astype(int), expected, atol=1)
    with pytest.raises(SystemExit, match="state that with --units=linear or --units=amplitude"):
        translated("linear.tif")


def test_range_of_another_form_is_refused(monkeypatch, tmp_path):
    source = save(tmp_path / "sar.png", random_sar(8, 8))
    with pytest.raises(SystemExit, match="expected the dB that become 0 and 255"):
        command(monkeypatch, source, tmp_path / "out.png", loaded=model(), sar_range="0")


def test_an_output_of_geotiff_is_a_scene(monkeypatch, tmp_path, capsys):
    source = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "height": 80, "width": 70, "count": 2, "dtype": "float32", "crs": "EPSG:32630"}
    db = np.random.default_rng(0).normal(-12, 4, (2, 80, 70)).astype(np.float32)
    with rasterio.open(source, "w", **profile, transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)) as image:
        image.write(db)
    radar = ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32")
    settings = {"steps": 1, "bands": ["2"], "samples": 2, "tile": 16}
    command(monkeypatch, source, tmp_path / "out.tif", loaded=model(noise, student=True, radar=radar), **settings)
    with rasterio.open(tmp_path / "out.tif") as image, rasterio.open(tmp_path / "out.uncertainty.tif") as deviation:
        assert (image.count, image.shape, image.crs.to_epsg()) == (3, (80, 70), 32630)
        assert deviation.read().mean() > 5
    assert "Translated 80 x 70 pixels (0.0056 MP)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"scene\.tif was not translated: --output .*out\.tif exists; --overwrite"):
        command(monkeypatch, source, tmp_path / "out.tif", loaded=model(radar=radar), **settings)


def scenes(folder: Path, *names: str) -> ImageTranslator:
    """Scenes in a folder, and a network that takes them."""
    folder.mkdir()
    profile = {"driver": "GTiff", "height": 20, "width": 30, "count": 1, "dtype": "float32", "crs": "EPSG:32630"}
    for seed, name in enumerate(names):
        db = np.random.default_rng(seed).normal(-12, 4, (1, 20, 30)).astype(np.float32)
        with rasterio.open(folder / name, "w", **profile, transform=rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)) as image:
            image.write(db)
    return model(noise, radar=ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32"))


def test_a_folder_of_scenes_is_translated_once_in_shards(monkeypatch, tmp_path, capsys):
    loaded = scenes(tmp_path / "in", "a.tif", "b.tif", "c.tif")
    (tmp_path / "in" / "notes.txt").write_text("")
    (tmp_path / "in" / "d.tif").write_text("no raster")
    run = partial(command, monkeypatch, tmp_path / "in", tmp_path / "out", loaded=loaded, format="cog", steps=1)
    run(shard="0/2")
    said = capsys.readouterr().out
    assert "Translated 2 of 2 scenes (0.0012 MP)" in said
    assert "Skipped 1 in" in said and "that are no scenes, or of another polarisation: notes.txt." in said
    with pytest.raises(SystemExit, match=r"1 could not be translated:\n  .*d\.tif: .*not recognized"):
        run()
    assert "Translated 1 of 4 scenes" in (said := capsys.readouterr().out) and "2 were current" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("a.tif", "b.tif", "c.tif", "scenes.jsonl", "scenes.0-of-2.jsonl")
    }


@pytest.mark.parametrize("name", ["hf://USER/NAME", "small", "run"])
def test_a_network_of_many_scenes_may_have_a_name(monkeypatch, tmp_path, name):
    loaded = scenes(tmp_path / "in", "a.tif")
    asked = []
    monkeypatch.setattr(pretrained, "shipped", lambda: {"small": tmp_path})
    monkeypatch.setattr(inference, "load_scenes", lambda path, stage: asked.append(path) or loaded.scenes)
    monkeypatch.chdir(tmp_path)
    command(monkeypatch, tmp_path / "in", tmp_path / "out", loaded=loaded, model=name, format="cog", steps=1)
    assert asked == [str(tmp_path / "run") if name == "run" else name]


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("out.tif", {"format": "png"}, "is a GeoTIFF; with --format=png it is a folder"),
        ("out.png", {"format": "cog"}, "is no GeoTIFF; with --format=cog it is a folder or ends in .tif"),
        ("out", {"shard": "0/2"}, "--shard is of many scenes: it needs --format=cog and a folder"),
        ("out.tif", {"scheduler": "tcp://host:1"}, "--scheduler is of many scenes"),
        ("out", {"format": "cog", "shard": "2/2"}, "expected I/N with I from 0 to N - 1"),
        ("out", {"format": "cog", "steps": 101}, "must be 1 to 100; got 101"),
        ("out", {"format": "cog", "tile": 12}, "--tile=12 must be a multiple of 8"),
        ("in", {"format": "cog"}, "is the folder of the input"),
    ],
)
def test_flags_that_do_not_fit_many_scenes_are_refused(monkeypatch, tmp_path, target, settings, message):
    loaded = scenes(tmp_path / "in", "a.tif")
    with pytest.raises(SystemExit, match=message):
        command(monkeypatch, tmp_path / "in", tmp_path / target, loaded=loaded, **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_items_without_a_format_are_refused(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="are STAC items; they need --format=cog and a folder as --output"):
        command(monkeypatch, tmp_path / "items.json", tmp_path / "out", loaded=model())


def test_arguments_without_a_flag_are_refused():
    with pytest.raises(app.UsageError, match="Unexpected arguments"):
        translate.main(["translate", "sar.png"])
