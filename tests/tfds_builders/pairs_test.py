import csv
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tensorflow_datasets as tfds
from PIL import Image

from sar2opt_jax.data import pipeline, prepared
from sar2opt_jax.data.examples import Examples
from tfds_builders import audit, files, pairs, prepare, splits
from tfds_builders.imagery.gdal_file import GdalFile
from tfds_builders.pairs import headers, ranges
from tfds_builders.pairs import settings as stated
from tfds_builders.pairs.find import find
from tfds_builders.pairs.settings import Percentile

TIFF = pairs.Settings(sar=pairs.Reading(range="-25,0;-32.5,0"), optical=pairs.Reading(range="0,3500", bands=(3, 2, 1)))


@pytest.fixture(name="script", scope="session")
def dummy_script(dummy):
    return dummy("pairs")


@pytest.fixture(name="raw")
def manual_dir(tmp_path):
    return tmp_path / "raw"


@pytest.fixture(name="make")
def own_preparer(tmp_path, raw):
    """Prepares what stands in ``raw``."""

    def make(settings=None, *, name="mine", **options):
        return prepare.prepare(
            f"pairs/{name}", data_dir=tmp_path / "data", manual_dir=raw, settings=settings, **options
        )

    return make


@pytest.fixture(name="tiff")
def tiff_pair_writer(raw, script):
    """Writes a pair of GeoTIFFs; what is not given is dB and reflectances."""

    def write(name, *, sar=None, optical=None, nodata=None):
        seed = sum(map(ord, name))
        sar = script["decibels"](seed, bands=1) if sar is None else sar
        optical = script["reflectances"](seed, bands=3) if optical is None else optical
        script["write_tiff"](raw / "sar" / f"{name}.tif", sar, nodata=nodata)
        script["write_tiff"](raw / "optical" / f"{name}.tif", optical)

    return write


def of(sar="-25,0", optical="0,3500", **more):
    """Settings with a range for each kind."""
    return pairs.Settings(sar=pairs.Reading(range=sar, **more), optical=pairs.Reading(range=optical))


def stretched(values, limits):
    low, high = np.array(limits).T
    return np.round(255 * ((values.astype(float) - low) / (high - low)).clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize("layout", ["folders", "scenes", "table", "tiff"])
def test_pairs_of_every_layout_come_back(raw, script, make, stored, layout):
    written = script["write"](raw, layout=layout)
    found = stored(make(TIFF if layout == "tiff" else None))
    assert found.keys() == written.keys()
    for key, (sar, optical) in written.items():
        if layout == "tiff":
            sar = stretched(sar, [(-25, 0), (-32.5, 0)])
            optical = stretched(optical[..., [2, 1, 0]], [(0, 3500)] * 3)
        assert found[key]["sar"].dtype == found[key]["optical"].dtype == np.uint8
        np.testing.assert_array_equal(found[key]["sar"], sar)
        np.testing.assert_array_equal(found[key]["optical"], optical)


def test_folders_and_tables_name_scene_season_terrain_and_split(tmp_path, script, make, stored):
    def told(builder):
        return {
            key: tuple(example[name] for name in ("scene", "season", "terrain", "split"))
            for key, example in stored(builder).items()
        }

    script["write"](tmp_path / "raw", layout="scenes")
    assert told(make(name="scenes")) == {
        key: (scene.encode(), b"", b"", split)
        for key, scene, split in (
            ("porto/a", "porto", "train"),
            ("porto/b", "porto", "train"),
            ("lagos/c", "lagos", "validation"),
            ("faro/d", "faro", "test"),
        )
    }  # The hash sends all three to train, so they are dealt in its order.
    assert {splits.split_of("", scene) for scene in ("porto", "lagos", "faro")} == {"train"}
    script["write"](tmp_path / "raw", layout="table")
    assert told(make(name="table")) == {
        "pair-a": (b"porto", b"summer", b"urban", "train"),
        "pair-b": (b"porto", b"summer", b"urban", "train"),
        "pair-c": (b"lagos", b"summer", b"", "validation"),
        "pair-d": (b"faro", b"summer", b"", "test"),
    }


def test_lone_pairs_are_scenes_of_their_own_unless_the_name_tells(raw, script, make):
    script["write"](raw)
    lone = make(name="lone").info.metadata
    assert sum(lone["scenes"].values()) == 4
    assert any("every pair counts as a scene of its own" in note for note in lone["notes"])

    for name, regex in (("group", r"^([a-z]+)_\d"), ("whole", r"^[a-z]+")):
        named = make(pairs.Settings(scene_regex=regex), name=name).info.metadata
        assert sum(named["scenes"].values()) == 3 and not named["notes"]


def test_name_without_a_scene_is_bad(raw, script):
    script["write"](raw)
    found = find(raw, scene_regex="^[fl][a-z]+")
    assert [pair.patch.scene for pair in found.pairs] == ["faro", "lagos"]
    assert {bad.path.name for bad in found.bad} == {"porto_0.png", "porto_1.png"} and len(found.bad) == 4
    assert "no scene in 'porto_0' by --scene_regex=^[fl][a-z]+" in {bad.reason for bad in found.bad}


@pytest.mark.parametrize(("suffix", "encoding"), [("png", "png"), ("jpg", "jpeg")])
def test_eight_bit_files_of_one_kind_go_in_unchanged(raw, write_image, suffix, encoding):
    for name in "ab":
        write_image(raw / "sar" / f"{name}.{suffix}", mode="L", size=16)
        write_image(raw / "optical" / f"{name}.{suffix}", mode="RGB", size=16)
    config = pairs.configure("mine", raw, pairs.Settings())
    for kind in files.KINDS:
        path = raw / kind / f"a.{suffix}"
        assert (config.images[kind].encoding, config.images[kind].stored(path)) == (encoding, path)

    # A range is obeyed in 8 bits as well, and then the bytes are others.
    config = pairs.configure("mine", raw, of("0,128", "0,128"))
    assert isinstance(config.images["sar"].stored(raw / "sar" / f"a.{suffix}"), bytes)
    with Image.open(raw / "sar" / f"a.{suffix}") as image:
        expected = stretched(np.asarray(image)[..., None], [(0, 128)])
    np.testing.assert_array_equal(config.images["sar"].read(raw / "sar" / f"a.{suffix}"), expected)


def test_mixed_eight_bit_files_become_png_with_the_same_values(raw, script, make, stored, write_image):
    expected = {}
    for name, suffix in (("a", "png"), ("b", "JPG"), ("c", "tif")):
        for kind, mode in (("sar", "L"), ("optical", "RGB")):
            path = raw / kind / f"{name}.{suffix}"
            values = write_image(path, mode=mode, size=16) if suffix != "tif" else None
            if suffix == "tif":
                rng = np.random.default_rng(len(mode))
                values = rng.integers(256, size=(16, 16, len(mode)), dtype=np.uint8)
                script["write_tiff"](path, values)
            elif suffix == "JPG":
                with Image.open(path) as image:
                    values = np.asarray(image).reshape(values.shape)
            expected[name, kind] = values
    found = stored(make())
    for (name, kind), values in expected.items():
        np.testing.assert_array_equal(found[name][kind], values)


def test_range_becomes_0_to_255_and_the_rest_is_clipped(raw, tiff):
    values = np.full((16, 16, 1), -20, np.float32)
    values[0, :6, 0] = -30, -25, -24.9, -12.4, 0, 5
    tiff("a", sar=values)
    image = pairs.configure("mine", raw, of()).images["sar"].read(raw / "sar/a.tif")
    assert image[0, :6, 0].tolist() == [0, 0, 1, 129, 255, 255] and image[1, 0, 0] == 51


@pytest.mark.parametrize(("scale", "factor"), [("linear", 10), ("amplitude", 20)])
def test_intensity_and_amplitude_are_brought_to_decibels(raw, script, tiff, scale, factor):
    decibels = script["decibels"](1).astype(float)
    values = 10 ** (decibels / factor)
    values[0, 0] = 0
    values[0, 1] = -1
    tiff("a", sar=values)
    image = pairs.configure("mine", raw, of(scale=scale)).images["sar"].read(raw / "sar/a.tif")
    expected = stretched(decibels, [(-25, 0)] * 2)
    expected[0, :2] = 0
    # Rounding apart, where a value lies between two levels.
    assert np.abs(image.data.astype(int) - expected).max() <= 1 and (image.data == expected).mean() > 0.99
    assert image.mask[..., 0].sum() == 2  # There is no logarithm of these.


def test_percentiles_are_those_of_all_files_band_by_band(raw, script, tiff):
    values = {name: script["decibels"](seed) + 3 * seed for seed, name in enumerate("abc")}
    for name, sar in values.items():
        tiff(name, sar=sar)
    images = pairs.configure("mine", raw, of("p2,p98", "0,p100")).images
    everything = np.concatenate([sar.reshape(-1, 2) for sar in values.values()])
    np.testing.assert_allclose(images["sar"].limits, np.percentile(everything, (2, 98), axis=0).T, rtol=1e-6)
    assert [low for low, _ in images["optical"].limits] == [0, 0, 0]
    assert all(3900 < high < 4000 for _, high in images["optical"].limits)


def test_sample_for_percentiles_is_the_same_wherever_the_files_stand(tmp_path, raw, tiff, monkeypatch):
    monkeypatch.setattr(ranges, "_SAMPLED_PIXELS", 300)
    for number in range(20):  # More than one process takes at a time.
        tiff(f"{number:02d}")
    first = pairs.configure("mine", raw, of("p2,p98")).images["sar"].limits
    raw.rename(tmp_path / "moved")
    assert pairs.configure("mine", tmp_path / "moved", of("p2,p98"), processes=2).images["sar"].limits == first
    monkeypatch.setattr(ranges, "_SAMPLED_PIXELS", 10**6)
    assert pairs.configure("mine", tmp_path / "moved", of("p2,p98")).images["sar"].limits != first


def test_pixels_without_a_value_become_0_and_are_counted(raw, script, tiff, make, stored):
    sar = script["decibels"](1)
    sar[0, :3, 0], sar[0, 3, 1], sar[0, 4, 0], sar[0, 5, :] = np.nan, np.inf, -9999, -9999
    tiff("a", sar=sar, nodata=-9999)
    tiff("b", sar=script["decibels"](2), nodata=-9999)
    builder = make(of("-40,10"))
    found = stored(builder)["a"]["sar"]
    empty = np.zeros((16, 16, 2), bool)
    empty[0, [0, 1, 2, 4, 5], 0] = empty[0, [3, 5], 1] = True
    assert (found[empty] == 0).all() and (found[~empty] > 0).all()
    assert builder.info.metadata["statistics"]["sar"]["missing"] == 6
    assert builder.info.metadata["statistics"]["optical"]["missing"] == 0
    assert "sar: 6 pixels have no value in their file and are stored as 0" in prepare.summary(builder)


def test_percentiles_pass_over_pixels_without_a_value(raw, script, tiff):
    sar = script["decibels"](1, bands=1)
    sar[:4] = -9999
    tiff("a", sar=sar, nodata=-9999)
    [limits] = pairs.configure("mine", raw, of("p0,p100")).images["sar"].limits
    np.testing.assert_allclose(limits, (sar[4:].min(), sar.max()), rtol=1e-6)


def test_file_without_a_range_is_asked_about_with_its_values(raw, script, tiff):
    sar = np.tile(np.linspace(-30, 10, 256, dtype=np.float32).reshape(16, 16, 1), 2)
    sar[..., 1] -= 5
    tiff("a", sar=sar)
    with pytest.raises(ValueError) as caught:
        pairs.configure("mine", raw, pairs.Settings())
    message = str(caught.value)
    assert f"{raw}/sar/a.tif holds float32 values" in message
    assert "band 1: min -30, 2 % -29.2, 98 % 9.2, max 10" in message
    assert "band 2: min -35, 2 % -34.2, 98 % 4.2, max 5" in message
    assert "--sar_range=-25,0" in message and "--sar_range=p2,p98" in message
    assert f"{raw}/optical/a.tif holds uint16 values" in message
    assert re.search(r"--optical_range=0,3\d00 fits this file", message)

    tiff("a", sar=10 ** (sar / 10))
    with pytest.raises(ValueError, match="--sar_scale=linear --sar_range=-25,0"):
        pairs.configure("mine", raw, pairs.Settings())
    with pytest.raises(ValueError, match=r"float32 values in dB:\n  band 1: min -30"):
        pairs.configure("mine", raw, pairs.Settings(sar=pairs.Reading(scale="linear")))


def test_file_with_values_is_shown_where_the_first_has_none(raw, script, tiff):
    for name in "ab":
        tiff(name, sar=np.full((16, 16, 1), np.nan, np.float32))
    with pytest.raises(ValueError, match=rf"^--sar_range is not stated, and no file like {raw}/sar/a\.tif can be read"):
        pairs.configure("mine", raw, of(None))
    tiff("b")
    with pytest.raises(ValueError, match=rf"^{raw}/sar/b\.tif holds float32 values:\n  band 1: min"):
        pairs.configure("mine", raw, of(None))


def test_sixteen_bit_png_keeps_its_depth_in_grey_and_in_colour(raw, script, make, stored):
    values = {"sar": script["reflectances"](1, bands=1), "optical": script["reflectances"](2, bands=3)}
    for kind, written in values.items():
        script["write_png16"](raw / kind / "a.png", written)
    found = stored(make(of("1000,3500")))["a"]
    np.testing.assert_array_equal(found["sar"], stretched(values["sar"], [(1000, 3500)]))
    np.testing.assert_array_equal(found["optical"], stretched(values["optical"], [(0, 3500)] * 3))


def test_optical_images_need_three_bands_or_a_choice(raw, script, tiff):
    tiff("a", optical=script["reflectances"](1, bands=4))

    def choice(*bands):
        reading = pairs.Reading(range="0,4000", bands=bands or None)
        return pairs.configure("mine", raw, pairs.Settings(sar=pairs.Reading(range="-25,0"), optical=reading))

    with pytest.raises(ValueError, match=r"a\.tif has 4 bands, an optical image three: .*--optical_bands=4,3,2"):
        choice()
    with pytest.raises(ValueError, match=r"asks for band 5, but .*optical/a\.tif has 4"):
        choice(5, 3, 2)
    assert choice(4, 3, 2).images["optical"].shape == (16, 16, 3)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_any_number_of_radar_bands_is_stored_and_read_by_the_pipeline(tmp_path, raw, script, tiff, make, bands):
    sar = {name: script["decibels"](seed, bands=bands) for seed, name in enumerate("ab")}
    for name, values in sar.items():
        tiff(name, sar=values)
    script["write_table"](raw, [{"sar": f"sar/{n}.tif", "optical": f"optical/{n}.tif", "split": "train"} for n in "ab"])
    builder = make(of())
    feature = builder.info.features["sar"]
    assert isinstance(feature, tfds.features.Image if bands in (1, 3) else tfds.features.Tensor)

    source = prepared.open_split("pairs/mine", split="train", data_dir=tmp_path / "data")
    assert prepared.sar_channels(source) == bands
    examples = Examples(source, num_examples=2, image_size=16)
    batch, ids = examples.batch(), examples.ids
    expected = np.stack([stretched(sar[name[-1]], [(-25, 0)] * bands) for name in ids])
    np.testing.assert_allclose(batch.sar, expected / 127.5 - 1, atol=1e-6)
    batches = pipeline.training_batches(source, image_size=8, batch_size=2, seed=0, augment=True, num_threads=0)
    assert next(batches).sar.shape == (2, 8, 8, bands)


def test_radar_bands_can_be_chosen(raw, script, tiff):
    sar = script["decibels"](1, bands=3)
    tiff("a", sar=sar)
    image = pairs.configure("mine", raw, of("-40,0;-30,10", bands=(3, 1))).images["sar"].read(raw / "sar/a.tif")
    np.testing.assert_array_equal(image, stretched(sar[..., [2, 0]], [(-40, 0), (-30, 10)]))


def test_all_bad_files_are_found_with_the_reason_in_one_pass(raw, script, tiff, make):
    decibels, reflectances = script["decibels"], script["reflectances"]
    for name in ("a", "lone", "text", "truncated", "nothing", "split"):
        tiff(name)
    tiff("deep", optical=reflectances(1, bands=3).astype(np.float32))
    tiff("many", sar=decibels(1, bands=3))
    tiff("large", sar=decibels(1, bands=1, size=20))
    tiff("complex", sar=decibels(1, bands=1).astype(np.complex64))
    tiff("void", sar=np.full((16, 16, 1), np.nan, np.float32))
    script["write_tiff"](raw / "sar" / "again" / "a.tif", decibels(1, bands=1))
    (raw / "sar" / "lone.tif").unlink()
    (raw / "sar" / "text.tif").write_text("no image")
    (raw / "sar" / "nothing.tif").write_bytes(b"")
    (raw / "sar" / "notes.txt").write_text("no image")
    truncated = raw / "optical" / "truncated.tif"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    (raw / "sar" / "split.png").write_bytes((raw / "sar" / "split.tif").read_bytes())

    with pytest.raises(files.BadFilesError) as caught:
        make(of())
    found = {bad.path.relative_to(raw).as_posix(): bad.reason for bad in caught.value.bad}
    like = f"like {raw}"
    assert found.pop("optical/truncated.tif").startswith("unreadable: ")
    assert found == {
        "optical/lone.tif": "no SAR partner",
        "sar/again/a.tif": "no optical partner",
        "sar/notes.txt": "not an image of this dataset, among its images",
        "sar/text.tif": "not a PNG, JPEG or GeoTIFF file",
        "sar/nothing.tif": "empty, 0 bytes",
        "sar/split.tif": f"the same patch as {raw}/sar/split.png",
        "sar/void.tif": "no pixel has a value",
        "sar/complex.tif": "complex64 values, expected real numbers: intensity, amplitude or dB",
        "sar/many.tif": "16 x 16 pixels, 3 bands of float32, expected 16 x 16 pixels, 1 band of float32, "
        f"{like}/sar/a.tif",
        "sar/large.tif": "20 x 20 pixels, 1 band of float32, expected 16 x 16 pixels, 1 band of float32, "
        f"{like}/sar/a.tif",
        "optical/deep.tif": "16 x 16 pixels, 3 bands of float32, expected 16 x 16 pixels, 3 bands of uint16, "
        f"{like}/optical/a.tif",
    }
    assert not list(raw.parent.rglob("*.array_record*"))

    builder = make(of(), skip_bad=True)
    assert sum(split.num_examples for split in builder.info.splits.values()) == 2  # a and split
    assert builder.info.metadata["left_out"] == len(found) + 1


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_image_of_another_mode_is_bad(raw, write_image, make, mode):
    for name in "ab":
        for kind, drawn in (("sar", "L"), ("optical", "RGB")):
            write_image(raw / kind / f"{name}.png", mode=drawn, size=16)
    path = raw / "optical" / "b.png"
    Image.new(mode, (16, 16)).save(path, format="JPEG" if mode == "CMYK" else "PNG")
    with pytest.raises(files.BadFilesError, match=f"b.png: mode {mode} of Pillow, expected grey or RGB"):
        make()


def test_first_pair_that_can_be_read_stands_for_all(raw, script, tiff, monkeypatch):
    for name in "abcd":
        tiff(name)
    (raw / "sar" / "a.tif").write_text("no image")
    tiff("b", sar=script["decibels"](1, bands=1, size=20))
    tiff("c", sar=script["decibels"](1, bands=1, size=40), optical=script["reflectances"](1, bands=3, size=40))
    monkeypatch.setattr(headers, "MAX_PIXELS", 1000)
    assert pairs.configure("mine", raw, of()).images["sar"].like == raw / "sar" / "d.tif"
    (raw / "sar" / "d.tif").unlink()
    with pytest.raises(files.BadFilesError) as caught:
        pairs.configure("mine", raw, of())
    assert [bad.path.name for bad in caught.value.bad] == ["a.tif", "b.tif", "c.tif"]


@pytest.mark.parametrize("name", ["first", "later"])
def test_decompression_bomb_is_never_unfolded(raw, tiff, monkeypatch, name):
    for other in ("g", "h"):
        tiff(other)
    path = raw / "sar" / ("a.tif" if name == "first" else "z.tif")
    tiff(path.stem)
    options = {"width": 40_000, "height": 40_000, "count": 1, "dtype": "float32"}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", compress="deflate", sparse_ok=True, **options),
    ):
        pass
    assert path.stat().st_size < 10**6
    decoded = GdalFile.decoded

    def decode_small(image, bands=None, **part):
        assert image.header.width == 16, "decoded"
        return decoded(image, bands, **part)

    monkeypatch.setattr(GdalFile, "decoded", decode_small)
    config = pairs.configure("mine", raw, of("p2,p98"))
    [bad] = files.check_pairs(config.pairs, config.images).bad
    assert bad.path == path and bad.reason.startswith("40000 x 40000 pixels, 1 band of float32, expected 16 x 16")


def test_side_files_of_gdal_are_passed_over(raw, script, make, stored):
    script["write"](raw, layout="scenes")
    (raw / "sar" / "porto" / "a.png.aux.xml").write_text("<PAMDataset/>")
    (raw / "optical" / "porto" / "a.PGW").write_text("10")
    assert len(stored(make())) == 4


def test_suffixes_may_differ_and_other_folders_are_no_pairs(raw, tiff, write_image):
    tiff("a/b")
    (raw / "optical" / "a" / "b.tif").rename(raw / "optical" / "a" / "b.TIFF")
    write_image(raw / "masks" / "a" / "b.png", mode="L")
    found = find(raw)
    assert [(pair.patch.id, pair.patch.scene) for pair in found.pairs] == [("a/b", "a")] and not found.bad


def test_bad_lines_of_a_table_are_listed(raw, script, make):
    script["write"](raw, layout="table")
    path = raw / "pairs.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    rows[0]["split"] = "training"
    rows.append({**rows[1]})
    rows.append({**rows[2], "id": "other", "optical": ""})
    rows.append({**rows[2], "id": "missing", "optical": "files/none.png"})
    script["write_table"](raw, rows)
    with pytest.raises(files.BadFilesError) as caught:
        make()
    reasons = [bad.reason for bad in caught.value.bad]
    assert caught.value.bad[0].path == raw / "files" / "none.png"
    assert "No such file" in reasons[0]
    assert reasons[1:] == [
        "line 2: split 'training', expected one of train, validation, test",
        "line 6: the id 'pair-b' stands in an earlier line; a column id can tell the pairs apart",
        "line 7: no path to a SAR and an optical image",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sar,optical,scenes\n",
            "has the columns sar, optical, scenes; expected are sar and optical, and if wanted id,",
        ),
        ("sar,scene\n", "has the columns sar, scene; expected"),
        ("", "has the columns ; expected"),
        ("sar,optical,sar\n", "has two columns of one name: sar, optical, sar"),
        ("sar,optical\na.png\n", "line 2: 1 cells, expected 2"),
        ("sar,optical\nä.png,b.png\n".encode("latin-1"), "is not comma-separated text in UTF-8"),
    ],
)
def test_table_of_another_form_is_refused(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)):
        find(tmp_path)


def test_table_as_spreadsheets_save_it_is_read(tmp_path):
    (tmp_path / "pairs.csv").write_bytes("\ufeffsar, optical\r\nb/x.tif, c/x.png\r\n,\r\n\r\na.tif,c.png\r\n".encode())
    found = find(tmp_path, scene_regex="^[^/]+")
    assert [(pair.patch.id, pair.patch.scene) for pair in found.pairs] == [("a", "a"), ("b/x", "b")] and not found.bad
    (tmp_path / "pairs.csv").write_text("sar,optical,scene\na.tif,b.png,c\n")
    with pytest.raises(ValueError, match="names the scenes in its column scene"):
        find(tmp_path, scene_regex="a")


def test_stated_splits_are_kept_but_audited(raw, script, make):
    script["write"](raw, layout="table")
    rows = list(csv.DictReader((raw / "pairs.csv").read_text().splitlines()))
    assert [row["scene"] for row in rows[:2]] == ["porto", "porto"]
    rows[1]["split"] = "test"
    script["write_table"](raw, rows)
    with pytest.raises(audit.LeakError, match="summer/porto: train, test"):
        make()


def test_missing_layout_says_what_is_there_and_what_is_expected(raw, write_image, make):
    write_image(raw / "s1" / "a.png", mode="L")
    with pytest.raises(FileNotFoundError, match=r"which holds s1: expected the folders sar and optical"):
        make()
    for kind in files.KINDS:
        (raw / kind).mkdir()
    with pytest.raises(FileNotFoundError, match=r"No pairs under .*: expected the folders sar and optical"):
        make()


def test_what_was_stated_and_measured_is_kept(raw, script, make, stored):
    written = script["write"](raw, layout="tiff")
    optical = pairs.Reading(range="0,3500", bands=(4, 3, 2))
    builder = make(pairs.Settings(sar=pairs.Reading(range="p2,p98"), optical=optical))
    kept = tfds.builder_from_directory(builder.data_dir).info.metadata
    assert kept["settings"]["optical"] == {"range": "0,3500", "scale": "file", "bands": [4, 3, 2]}
    assert kept["scaling"]["optical"] == {
        "bands": [4, 3, 2],
        "dtype": "uint16",
        "scale": "file",
        "limits": [[0, 3500]] * 3,
        "stated": "0,3500",
    }
    # A file is brought to the dataset's values by what is kept, and by nothing else.
    for key, example in stored(builder).items():
        for kind, values in zip(files.KINDS, written[key], strict=True):
            said = kept["scaling"][kind]
            chosen = values[..., [band - 1 for band in said["bands"]]]
            np.testing.assert_array_equal(example[kind], stretched(chosen, said["limits"]))


def test_datasets_stand_side_by_side_by_their_names(tmp_path, raw, script, make):
    script["write"](raw, layout="tiff")
    make(TIFF, name="one")
    make(pairs.Settings(sar=pairs.Reading(range="-40,10"), optical=TIFF.optical), name="other")
    for name in ("one", "other"):
        source = tfds.data_source(f"pairs/{name}", split="train", data_dir=tmp_path / "data")
        assert source[0]["sar"].shape == (16, 16, 2)
    with pytest.raises(FileNotFoundError, match=r"Prepared there: pairs/one.*, pairs/other"):
        prepared.open_split("pairs", split="train", data_dir=tmp_path / "data")


def test_prepared_dataset_needs_no_files_and_refuses_other_settings(tmp_path, raw, script, make):
    script["write"](raw, layout="tiff")
    make(TIFF)
    builder = prepare.prepare("pairs/mine", data_dir=tmp_path / "data")
    assert "audit: clean" in prepare.summary(builder) and "pairs/mine/1.0.0" in prepare.summary(builder)
    make(TIFF)
    with pytest.raises(ValueError, match=r"prepared in .* already, with other settings: .*-25,0;-32\.5,0"):
        make(of())


@pytest.mark.parametrize("name", ["pairs", "pairs/", "pairs/my own", "pairs/a.b", "pairs/../x", "pairs/a:1.0.0"])
def test_dataset_without_a_proper_name_is_refused(tmp_path, raw, script, name):
    script["write"](raw)
    with pytest.raises(ValueError, match=r"needs a name of letters, digits, - and _ after a slash: pairs/NAME"):
        prepare.prepare(name, data_dir=tmp_path, manual_dir=raw)


def test_builder_without_a_name_says_how_to_make_one(tmp_path):
    with pytest.raises(ValueError, match=r"python -m tfds_builders\.prepare pairs/NAME"):
        pairs.Builder(data_dir=tmp_path)


def test_settings_of_own_images_are_for_these_only(tmp_path):
    with pytest.raises(ValueError, match=r"simulated has its own ranges.*for pairs/NAME only"):
        prepare.prepare("simulated", data_dir=tmp_path, settings=pairs.Settings())


def test_command_takes_what_is_stated_and_tells_it(tmp_path, raw, script, capsys):
    script["write"](raw, layout="tiff")
    arguments = ["pairs/mine", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}", "--processes=1"]
    with pytest.raises(SystemExit, match="State what becomes 0 and 255 by --sar_range"):
        prepare.main([*arguments, "--optical_bands=3,2,1"])
    with pytest.raises(SystemExit, match="--sar_range=0,-25: the low end must be below the high end"):
        prepare.main([*arguments, "--sar_range=0,-25"])
    prepare.main(
        [*arguments, "--sar_range=-25,0;-32.5,0", "--sar_bands=1,2", "--optical_range=0,3500", "--optical_bands=3,2,1"]
    )
    printed = capsys.readouterr().out
    assert "sar: 0 .. 255 is band 1 -25 .. 0, band 2 -32.5 .. 0" in printed
    assert "optical: 0 .. 255 is band 3 0 .. 3500, band 2 0 .. 3500, band 1 0 .. 3500" in printed


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("-25,0", ((-25, 0),)),
        ("-25, 0; -32.5, 0", ((-25, 0), (-32.5, 0))),
        ("p2,p99.5", ((Percentile(2), Percentile(99.5)),)),
        ("0,p98", ((0, Percentile(98)),)),
    ],
)
def test_range_is_read_from_text(text, limits):
    assert stated.parse_range(text, flag="--sar_range") == limits


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "nan,1", "0,inf", "p2,p101", "p-1,p5", "-25,0;"])
def test_text_that_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match=rf"^--sar_range={re.escape(text)}: .* is no range, expected LOW,HIGH"):
        stated.parse_range(text, flag="--sar_range")


@pytest.mark.parametrize(
    ("make_settings", "message"),
    [
        (lambda: of("5,5"), "--sar_range=5,5: the low end must be below the high end"),
        (lambda: of("p98,p2"), "--sar_range=p98,p2: the low end"),
        (lambda: of("0,1", scale="log"), "--sar_scale=log is unknown; known are file, linear, amplitude"),
        (lambda: pairs.Settings(sar=pairs.Reading(bands=(0,))), r"--sar_bands=[0] must be numbers from 1 on"),
        (lambda: pairs.Settings(optical=pairs.Reading(bands=(1, 2))), "--optical_bands names 2 bands"),
        (lambda: pairs.Settings(scene_regex="("), "--scene_regex=( is not a regular expression"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make_settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_settings()


def test_range_has_to_fit_the_bands(raw, script, tiff):
    tiff("a", sar=script["decibels"](1))
    with pytest.raises(ValueError, match="states 3 ranges, but there are 2 bands"):
        pairs.configure("mine", raw, of("0,1;0,1;0,1"))
    sar = np.ones((16, 16, 1), np.float32)
    sar[0, 0] = 2
    tiff("a", sar=sar)
    with pytest.raises(ValueError, match="in band 1 that is from 1 to 1, which is no range"):
        pairs.configure("mine", raw, of("p2,p98"))


REAL = Path(__file__).parents[3] / "shared" / "data" / "geotiff"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real scenes are not there: {REAL}")
def test_real_decibels_and_reflectances_come_back(raw, script, make, stored):
    expected = {}
    options = {"sar": (TIFF.sar, "S1Hand"), "optical": (pairs.Reading(range="0,3500", bands=(4, 3, 2)), "S2Hand")}
    for kind, (reading, name) in options.items():
        with rasterio.open(REAL / f"Spain_7370579_{name}.tif") as scene:
            for column in (0, 256):
                window = rasterio.windows.Window(column, 0, 256, 256)
                values = scene.read(window=window)
                path = raw / kind / "spain" / f"{column}.tif"
                script["write_tiff"](path, np.moveaxis(values, 0, -1), nodata=scene.nodata)
                bands = [band - 1 for band in reading.bands or (1, 2)]
                limits = [(-25, 0), (-32.5, 0)] if kind == "sar" else [(0, 3500)] * 3
                expected[f"spain/{column}", kind] = stretched(np.moveaxis(values[bands], 0, -1), limits)
    found = stored(make(pairs.Settings(sar=TIFF.sar, optical=options["optical"][0])))
    for (key, kind), values in expected.items():
        np.testing.assert_array_equal(found[key][kind], values)
