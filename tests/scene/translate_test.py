import dataclasses
import os
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from scene_files import DB, DUAL, TRANSFORM, db, mixes, shows_the_radar, trained, write

from sar2opt_jax.scene import cog, outputs
from sar2opt_jax.scene.network import TileNetwork
from sar2opt_jax.scene.translate import SceneSettings, SceneTranslator
from sar2opt_jax.scene.units import as_levels

USUAL = SceneSettings(steps=2)


def pixels(path):
    with rasterio.open(path) as image:
        return np.moveaxis(image.read(), 0, -1), image.dataset_mask() == 255


def run(translator, source, target, settings=USUAL, **kw):
    return translator(source, target, settings, quiet=True, **kw)


def test_a_scene_comes_out_where_it_belongs(tmp_path):
    values = db(150, 70)
    values[0, 100:, 40:] = np.nan
    source = write(tmp_path / "in.tif", values)
    said = []
    done = run(SceneTranslator(trained(shows_the_radar)), source, tmp_path / "new" / "out.tif", say=said.append)
    optical, valid = pixels(tmp_path / "new" / "out.tif")
    levels = as_levels(np.ma.asarray(np.moveaxis(values, 0, -1)), DB)
    missing = np.isnan(values[0])
    np.testing.assert_array_equal(valid, ~missing)
    np.testing.assert_array_equal(optical[valid], np.repeat(levels, 3, axis=-1)[valid])
    with rasterio.open(tmp_path / "new" / "out.tif") as image:
        assert image.transform == TRANSFORM and image.crs.to_epsg() == 32630 and image.shape == (150, 70)
        tags = image.tags()
    assert tags["SAR2OPT_STEPS"] == "2" and tags["SAR2OPT_SAMPLER"] == "lcm" and tags["SAR2OPT_MODEL"] == "0123@9"
    assert tags["TIFFTAG_IMAGEDESCRIPTION"] == "Synthetic: generated from radar; its detail is invented."
    assert (done.height, done.width, done.uncertainty, said) == (150, 70, None, list(done.notes))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.tif"]


def test_the_same_pixels_have_the_same_noise_in_a_part_of_the_scene(tmp_path):
    """Where the radar image does not matter, a cut-out of 64 pixels more or less is translated alike."""
    flat = np.full((1, 192, 128), -12, np.float32)
    translator = SceneTranslator(trained())
    run(translator, write(tmp_path / "a.tif", flat), tmp_path / "whole.tif")
    run(translator, write(tmp_path / "b.tif", flat[:, :70, :90]), tmp_path / "part.tif")
    whole, part = pixels(tmp_path / "whole.tif")[0].astype(int), pixels(tmp_path / "part.tif")[0]
    assert whole.std() > 5
    assert np.abs(whole[:70, :90] - part).max() <= 1


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_an_interrupted_run_resumes_with_the_same_result(tmp_path, monkeypatch, stopped_after):
    source = write(tmp_path / "in.tif", db(400, 40))
    translator, settings = SceneTranslator(trained()), SceneSettings(steps=3)
    run(translator, source, tmp_path / "whole.tif", settings)
    monkeypatch.setattr(cog, "SAVE_EVERY_SECONDS", 0)
    write_rows, calls = cog.PartialScene.write, []

    def stop(self, *rows):
        calls.append(self.rows)
        if len(calls) == stopped_after:
            raise KeyboardInterrupt
        write_rows(self, *rows)

    monkeypatch.setattr(cog.PartialScene, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        run(translator, source, tmp_path / "out.tif", settings)
    assert not (tmp_path / "out.tif").exists()
    assert cog.directory(tmp_path / "out.tif").exists() == (stopped_after > 1)
    monkeypatch.setattr(cog.PartialScene, "write", write_rows)
    evaluated = count_tiles(monkeypatch, translator, settings)
    done = run(translator, source, tmp_path / "out.tif", settings)
    if stopped_after == 3:
        assert done.notes == ("Resumed at row 128 of 400.",) and len(evaluated) < 3 * 33 * 4
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif", "whole.tif"}


def count_tiles(monkeypatch, translator, settings):
    network = translator.network(translator.method(settings)[0], 16)
    denoise, seen = network.denoise, []
    monkeypatch.setattr(
        network, "denoise", lambda tiles, step: (seen.append(step) or image for image in denoise(tiles, step=step))
    )
    return seen


def test_a_run_with_other_settings_or_another_scene_does_not_resume(tmp_path, monkeypatch):
    source, target = write(tmp_path / "in.tif", db(200, 40)), tmp_path / "out.tif"
    translator, settings = SceneTranslator(trained()), USUAL
    identity = translator.identity(source, settings)
    assert identity == translator.identity(source, dataclasses.replace(settings, overwrite=True))
    others = [
        {"seed": 1},
        {"steps": 3},
        {"tile": 24},
        {"overlap": 2},
        {"samples": 2},
        {"bands": ("1",)},
        {"unit": "dB"},
    ]
    for change in others:
        assert translator.identity(source, dataclasses.replace(settings, **change)) != identity, change
    assert SceneTranslator(trained(gain=0.5)).identity(source, settings) != identity
    os.utime(source, ns=(0, 0))
    assert translator.identity(source, settings) != identity
    run(translator, source, target)
    assert translator.is_current(source, target, settings)
    assert not translator.is_current(source, target, dataclasses.replace(settings, seed=1))
    assert not translator.is_current(source, target, dataclasses.replace(settings, samples=2))
    assert not translator.is_current(source, tmp_path / "absent.tif", settings)
    write(source, db(200, 40, seed=1))
    assert not translator.is_current(source, target, settings)


def test_a_change_of_the_file_of_another_band_counts(tmp_path):
    paths = [write(tmp_path / f"s1_{name}.tif", db(seed=seed)) for seed, name in enumerate(("vv", "vh"))]
    translator = SceneTranslator(trained(radar=DUAL))
    before = translator.identity(paths[0], USUAL)
    assert before == translator.identity(tuple(paths), USUAL)
    os.utime(paths[1], ns=(0, 0))
    assert translator.identity(paths[0], USUAL) != before


def test_outputs_that_exist_are_replaced_on_request_only(tmp_path):
    source, target = write(tmp_path / "in.tif", db()), tmp_path / "out.tif"
    target.write_text("precious")
    translator = SceneTranslator(trained())
    with pytest.raises(FileExistsError, match=r"out\.tif exists; --overwrite replaces it\."):
        run(translator, source, target)
    assert target.read_text() == "precious"
    run(translator, source, target, dataclasses.replace(USUAL, overwrite=True))
    assert pixels(target)[0].shape == (90, 70, 3)


def test_outputs_that_cannot_be_are_refused_before_anything_is_done(tmp_path):
    source = write(tmp_path / "in.tif", db())
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "link.tif").symlink_to(source)
    translator, before = SceneTranslator(trained()), source.read_bytes()
    overwrite = dataclasses.replace(USUAL, overwrite=True)
    for name, message in (
        ("in.tif", "would overwrite the input"),
        ("link.tif", "would overwrite the input"),
        ("folder.tif", "is a folder; expected a file"),
        ("out.jp2", r"A georeferenced output ends in \.tif or \.tiff"),
    ):
        with pytest.raises(ValueError, match=message):
            run(translator, source, tmp_path / name, overwrite)
    assert source.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "link.tif", "folder.tif"}


def test_a_full_disk_is_said_and_what_is_complete_stays(tmp_path, monkeypatch):
    source, target = write(tmp_path / "in.tif", db(200, 40)), tmp_path / "out.tif"
    translator = SceneTranslator(trained())
    monkeypatch.setattr(outputs.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=r"a scene of 200 x 40 pixels needs 0\.0 GiB beside its output; .* has 0\.0 GiB"):
        run(translator, source, target)
    monkeypatch.undo()
    write_rows = cog.PartialScene.write

    def full(self, *rows):
        if self.rows >= 64:
            raise OSError(28, "No space left on device")
        write_rows(self, *rows)

    monkeypatch.setattr(cog.PartialScene, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(translator, source, target)
    assert not target.exists() and cog.directory(target).exists()
    monkeypatch.undo()
    assert run(translator, source, target).notes == ("Resumed at row 64 of 200.",)


def test_scenes_without_values_and_corrupt_ones_leave_nothing(tmp_path):
    translator = SceneTranslator(trained())
    empty = write(tmp_path / "empty.tif", np.full((1, 90, 70), np.nan, np.float32))
    with pytest.raises(ValueError, match="no pixel of it has a value"):
        run(translator, empty, tmp_path / "out.tif")
    corrupt = write(tmp_path / "corrupt.tif", db(), compress="deflate")
    content = corrupt.read_bytes()
    corrupt.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match="cannot be read"):
        run(translator, corrupt, tmp_path / "out.tif")
    assert {path.name for path in tmp_path.iterdir()} == {"empty.tif", "corrupt.tif"}


def test_uncertainty_is_the_deviation_over_seeds_beside_the_first_sample(tmp_path):
    source = write(tmp_path / "in.tif", db())
    translator, settings = SceneTranslator(trained()), SceneSettings(steps=2, samples=5)
    run(translator, source, tmp_path / "one.tif", dataclasses.replace(settings, samples=1))
    done = run(translator, source, tmp_path / "out.tif", settings)
    np.testing.assert_array_equal(pixels(tmp_path / "out.tif")[0], pixels(tmp_path / "one.tif")[0])
    assert done.uncertainty == tmp_path / "out.uncertainty.tif"
    deviation, _ = pixels(done.uncertainty)
    # x_0 = 0.3 x_t of unit variance, where it is not clipped: 0.3 * 127.5 levels at the last of two steps.
    assert 15 < np.median(deviation) < 45
    assert translator.is_current(source, tmp_path / "out.tif", settings)


def test_a_step_that_ignores_the_noise_becomes_two_and_that_is_said(tmp_path):
    def ignores_pure_noise(params, x_t, t, sar):
        return mixes(params, x_t * (t < 99).astype("float32").reshape(-1, 1, 1, 1), t, sar)

    for model, steps, note in ((ignores_pure_noise, 2, "ignores the noise"), (mixes, 1, None)):
        method, notes = SceneTranslator(trained(model)).method(SceneSettings(steps=1, samples=3))
        assert method.num_steps == steps
        assert [note in each for each in notes] == ([True] if note else [])
    method, _ = SceneTranslator(trained(ignores_pure_noise)).method(SceneSettings(steps=1))
    assert method.num_steps == 1


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"samples": 2}, "generator", "--samples needs a network that is given noise"),
        ({"samples": 0}, "student", "--samples is 1 or more; got 0"),
        ({"tile": 20}, "student", "--tile=20 must be a multiple of 8 for this network"),
        ({"tile": 16, "overlap": 9}, "student", "0 to half of a tile's side; got 9 pixels of 16"),
        ({"sampler": "ddim"}, "student", "This model is a student"),
        ({"steps": 60}, "student", "takes 1 to 50 steps"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, kind, message):
    source = write(tmp_path / "in.tif", db())
    with pytest.raises(ValueError, match=message):
        run(SceneTranslator(trained(kind=kind)), source, tmp_path / "out.tif", SceneSettings(**settings))
    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


@pytest.mark.parametrize("kind", ["teacher", "student", "generator"])
def test_every_kind_of_network_translates_scenes(tmp_path, kind):
    source = write(tmp_path / "in.tif", db())
    run(SceneTranslator(trained(shows_the_radar, kind=kind)), source, tmp_path / "out.tif", SceneSettings(seed=3))
    assert pixels(tmp_path / "out.tif")[0].std() > 10


@pytest.mark.parametrize(("error", "is_narrow"), [(0.002, True), (0.05, False)])
def test_bfloat16_is_taken_where_it_is_within_one_grey_level(monkeypatch, error, is_narrow):
    def narrow(params, x_t, t, sar):
        return mixes(params, x_t, t, sar) + error

    export = trained()
    other = dataclasses.replace(export.translator, model=narrow)
    export.description.translator = lambda dtype: {"bfloat16": other}[dtype]
    translator = SceneTranslator(export)
    assert translator.network(translator.method(USUAL)[0], 16)._translator is export.translator  # On a CPU.
    on_gpu = property(lambda self: False, lambda self, value: None)
    monkeypatch.setattr(TileNetwork, "is_on_cpu", on_gpu, raising=False)
    network = SceneTranslator(export).network(translator.method(USUAL)[0], 16)
    assert (network._translator is other) == is_narrow
