"""What people bring is stored right or refused: the situations of the table in docs/data.md."""

import re
import warnings

import numpy as np
import pytest
import rasterio
import tensorflow_datasets as tfds
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp

from tfds_builders import files, pairs, prepare

SIZE = 32
NAMES = ("a", "b", "c", "d", "e", "f")
NORTH_UP = rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000)
SOUTH_UP = rasterio.Affine(10, 0, 500_000, 0, 10, 4_000_000 - 10 * SIZE)
UTM = {"crs": "EPSG:32631", "transform": NORTH_UP}


@pytest.fixture(name="raw")
def manual_dir(tmp_path):
    return tmp_path / "raw"


@pytest.fixture(name="prepared")
def own_preparer(tmp_path, raw):
    """Prepares what is in ``raw``; returns the builder."""

    def make(*, skip_bad=False, name="mine", optical="0,4000", **sar):
        radar = pairs.Reading(**({"range": "-25,0"} | sar))
        optical = optical if isinstance(optical, pairs.Reading) else pairs.Reading(range=optical)
        settings = pairs.Settings(sar=radar, optical=optical)
        folder = tmp_path / "data"
        return prepare.prepare(f"pairs/{name}", data_dir=folder, manual_dir=raw, settings=settings, skip_bad=skip_bad)

    return make


@pytest.fixture(name="refused")
def bad_files(prepared, raw):
    """The reasons for bad files by their paths below ``raw``."""

    def refuse(**options):
        with pytest.raises(files.BadFilesError) as caught:
            prepared(**options)
        return {bad.path.relative_to(raw).as_posix(): bad.reason for bad in caught.value.bad}

    return refuse


def decibels(name, bands=1):
    """A different image by each name, in dB between -24 and -1, [SIZE, SIZE, bands]."""
    rng = np.random.default_rng(list(map(ord, name)))
    return rng.uniform(-24, -1, (SIZE, SIZE, bands)).astype(np.float32)


def colours(name, bands=3):
    """Sentinel-2's ten thousandths without an offset, [SIZE, SIZE, bands]."""
    return np.random.default_rng(list(map(ord, "o" + name))).integers(200, 3800, (SIZE, SIZE, bands), dtype=np.uint16)


def grey(name):
    """8 bits, [SIZE, SIZE]."""
    return np.random.default_rng(list(map(ord, "g" + name))).integers(1, 255, (SIZE, SIZE), dtype=np.uint8)


def tiff(path, values, *, descriptions=(), colorinterp=(), tags=(), scales=(), offsets=(), gcps=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    options = {"height": height, "width": width, "count": count, "dtype": values.dtype} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **options) as file:
            file.write(np.moveaxis(values, -1, 0))
            for name, given in (
                ("descriptions", descriptions),
                ("colorinterp", colorinterp),
                ("scales", scales),
                ("offsets", offsets),
                ("gcps", gcps),
            ):
                if given:
                    setattr(file, name, given)
            file.update_tags(**dict(tags))


def image(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


@pytest.fixture(name="pair")
def pair_writer(raw):
    """Writes a pair of GeoTIFFs; what is not given is as everywhere. ``sar`` and ``optical`` may be options alone."""

    def write(name, sar=None, optical=None, *, sar_options=(), optical_options=()):
        tiff(raw / "sar" / f"{name}.tif", decibels(name) if sar is None else sar, **dict(sar_options))
        tiff(raw / "optical" / f"{name}.tif", colours(name) if optical is None else optical, **dict(optical_options))

    return write


@pytest.fixture(name="eight_bit")
def eight_bit_writer(raw):
    """Writes a pair of 8-bit images; returns their values."""

    def write(name, *, sar=None, optical=None, suffix="png", sar_options=(), optical_options=()):
        sar = grey(name) if sar is None else sar
        optical = np.dstack([grey(name + c) for c in "rgb"]) if optical is None else optical
        image(raw / "sar" / f"{name}.{suffix}", sar, **dict(sar_options))
        image(raw / "optical" / f"{name}.{suffix}", optical, **dict(optical_options))
        return sar, optical

    return write


def stored_decibels(values):
    return np.round(255 * (values.astype(float) + 25) / 25)


AS_THEY_ARE = {"range": None, "optical": pairs.Reading()}


# 1. What was stored is looked at.


def test_summary_tells_clipped_and_equal_values_of_each_band(pair, prepared):
    for name in NAMES:
        values = decibels(name)
        values[:8] = -30 + values[:8] / 100  # A quarter lies below the range.
        values[8, :16] = 3
        pair(name, values)
    builder = prepared()
    [share] = builder.info.metadata["statistics"]["sar"]["values"]
    assert share == {"below": 0.25, "above": round(16 / SIZE**2, 6), "value": 0, "equal": 0.25}
    printed = prepare.summary(builder)
    assert "sar band 1: 25.0% of the values clipped to 0, 1.6% to 255; the most frequent stored value is 0" in printed
    assert printed.count("optical band ") == 3


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (lambda db: 10 ** (db / 10), r"0\.0% lie below -25 and 100\.0% above 0.*--sar_scale=linear"),
        (lambda db: (600 * 10 ** (db / 20) + 1).astype(np.uint16), "100.0% above 0"),
        (lambda db: db - 30, r"100\.0% lie below -25"),
    ],
)
def test_range_that_clips_most_values_is_refused(tmp_path, pair, prepared, convert, words):
    for name in NAMES:
        pair(name, convert(decibels(name)))
    for skip_bad in (False, True):
        with pytest.raises(
            ValueError, match=rf"(?s)^--sar_range=-25,0 clips 100.0% of the values of band 1: .*{words}"
        ):
            prepared(skip_bad=skip_bad)
    assert not list(tmp_path.rglob("*.array_record*"))


def test_range_in_another_unit_that_stores_one_value_is_refused(pair, prepared):
    for name in NAMES:
        pair(name, optical=(colours(name) / 10_000).astype(np.float32))
    with pytest.raises(
        ValueError, match=r"(?s)^optical: 100\.0% of the values of band 1 would be stored as 0.*98 % 0\.3"
    ):
        prepared()


def test_half_may_be_clipped_and_more_may_not(pair, prepared):
    for name in NAMES:
        values = decibels(name)
        values[: SIZE // 2] -= 30
        pair(name, values)
    assert prepared().info.metadata["statistics"]["sar"]["values"][0]["below"] == 0.5
    values[SIZE // 2] -= 30
    pair(NAMES[-1], values)
    with pytest.raises(ValueError, match=r"--sar_range=-25,0 clips 50\.\d% of the values"):
        prepared(name="more")


def test_mostly_one_value_is_refused_unless_it_is_nodata(eight_bit, prepared, stored):
    for name in NAMES:
        values = grey(name)
        values[: SIZE * 3 // 4] = 0
        eight_bit(name, sar=values)
    with pytest.raises(ValueError, match=r"^sar: 75\.0% of the values of band 1 would be stored as 0.*--sar_nodata"):
        prepared(**AS_THEY_ARE)
    builder = prepared(range=None, optical=pairs.Reading(), nodata=0.0)
    assert builder.info.metadata["statistics"]["sar"]["missing"] == len(NAMES) * SIZE * SIZE * 3 // 4
    np.testing.assert_array_equal(stored(builder)["f"]["sar"][..., 0], values)


def test_constant_images_are_bad(pair, refused):
    for name in NAMES:
        pair(name)
    pair("flat", np.full((SIZE, SIZE, 1), -12, np.float32))
    pair("clipped", decibels("x") + 40)
    pair("white", optical=np.full((SIZE, SIZE, 3), 4000, np.uint16))
    assert refused() == {
        "sar/flat.tif": "every pixel has the value -12, expected an image",
        "sar/clipped.tif": "a band is stored as one value in all pixels: its range does not fit it",
        "optical/white.tif": "every pixel has the value 4000 in band 1, expected an image",
    }


def test_constant_band_is_bad(pair, refused):
    for name in NAMES:
        pair(name, decibels(name, 2), sar_options={"descriptions": ("VV", "VH")})
    values = decibels("x", 2)
    values[..., 1] = 0
    pair("empty", values, sar_options={"descriptions": ("VV", "VH")})
    assert refused() == {"sar/empty.tif": "every pixel has the value 0 in VH, expected an image"}


def test_audit_is_never_clean_by_no_comparison(eight_bit, prepared, raw):
    for name in NAMES:
        eight_bit(f"porto/{name}")
    printed = prepare.summary(prepared(**AS_THEY_ARE))
    assert "audit: nothing was compared" in printed and "audit: clean" not in printed


# 2. Georeference and orientation.


def test_south_up_image_is_turned(pair, prepared, stored):
    for name in NAMES:
        pair(name, decibels(name)[::-1], sar_options=UTM | {"transform": SOUTH_UP}, optical_options=UTM)
    builder = prepared()
    for name, example in stored(builder).items():
        np.testing.assert_array_equal(example["sar"], stored_decibels(decibels(name)))
    assert "sar: 6 images are stored turned or mirrored, as they say, and were brought upright" in prepare.summary(
        builder
    )


def test_south_up_image_beside_one_without_georeference_is_bad(pair, refused):
    for name in NAMES:
        pair(name, sar_options=UTM, optical_options=UTM)
    pair("odd", sar_options=UTM | {"transform": SOUTH_UP})
    [(path, reason)] = refused().items()
    assert path == "sar/odd.tif" and "not stored north-up" in reason


@pytest.mark.parametrize(
    "place",
    [
        {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 700_000, 0, -10, 4_000_000)},
        {"crs": "EPSG:32633", "transform": NORTH_UP},
        {"crs": "EPSG:32631", "transform": rasterio.Affine(20, 0, 500_000, 0, -20, 4_000_000)},
        {"crs": "EPSG:32631", "transform": rasterio.Affine(7, 7, 500_000, 7, -7, 4_000_000)},
    ],
)
def test_partner_of_other_ground_is_bad_and_the_rest_is_kept(pair, prepared, refused, place):
    for name in NAMES:
        pair(name, sar_options=UTM, optical_options=UTM)
    pair("odd", sar_options=UTM, optical_options=place)
    [(path, reason)] = refused().items()
    assert path == "sar/odd.tif" and reason.startswith("other ground than its partner's")
    assert sum(split.num_examples for split in prepared(skip_bad=True).info.splits.values()) == len(NAMES)


def test_partner_in_another_crs_of_the_same_ground_is_kept(pair, prepared):
    # At the central meridian both grids point north.
    x, y = (500_000, 500_000 + 10 * SIZE), (4_000_000, 4_000_000 - 10 * SIZE)
    (west, east), (north, south) = rasterio.warp.transform("EPSG:32631", "EPSG:4326", x, y)
    degrees = rasterio.Affine((east - west) / SIZE, 0, west, 0, (south - north) / SIZE, north)
    for name in NAMES:
        pair(name, sar_options=UTM, optical_options={"crs": "EPSG:4326", "transform": degrees})
    assert prepared().info.metadata["ground_sampling_m"] is None


def test_small_offset_is_noted(pair, prepared):
    for name in NAMES:
        shifted = NORTH_UP if name != "a" else rasterio.Affine(10, 0, 500_012, 0, -10, 4_000_000)
        pair(name, sar_options=UTM, optical_options=UTM | {"transform": shifted})
    assert "1 of 6 pairs do not cover the same ground exactly" in prepare.summary(prepared())


def test_ground_control_points_are_noted(pair, prepared):
    points = [GroundControlPoint(r, c, 5e5 + 10 * c, 4e6 - 10 * r, 0) for r in (0, SIZE) for c in (0, SIZE)]
    for name in NAMES:
        pair(name, sar_options={"gcps": (points, "EPSG:32631")})
    assert "6 of 6 pairs: files have ground control points instead of a transform" in prepare.summary(prepared())


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("kind", ["sar", "optical"])
def test_orientation_tag_is_obeyed(eight_bit, prepared, stored, suffix, kind):
    exif = Image.Exif()
    exif[274] = 6
    options = {"tiffinfo": {274: 6}} if suffix == "tif" else {"exif": exif}
    smooth = {
        name: np.add.outer(np.arange(SIZE), 4 * np.arange(SIZE)).astype(np.uint8) // (i + 1)
        for i, name in enumerate(NAMES)
    }
    for name, values in smooth.items():
        shown = values if kind == "sar" else np.dstack([values, values // 2, values // 3])
        tagged = name == "a"
        values = np.rot90(shown).copy() if tagged else shown
        more = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
        eight_bit(name, suffix=suffix, **{kind: values}, **{f"{kind}_options": (options if tagged else {}) | more})
    found = stored(prepared(**AS_THEY_ARE))["a"][kind].astype(int)
    expected = smooth["a"] if kind == "sar" else smooth["a"][..., None] // np.array([1, 2, 3])
    np.testing.assert_allclose(found.squeeze(), expected, atol=6 if suffix == "jpg" else 0)


# 3. Nodata.


@pytest.mark.parametrize("value", [0, -9999])
def test_undeclared_border_is_named_and_masked_when_stated(pair, prepared, stored, value):
    for name in NAMES:
        values = decibels(name)
        values[:, :5] = value
        pair(name, values)
    printed = prepare.summary(prepared())
    note = f"sar: the exact value {value} is frequent in 6 of 6 images, which do not declare it as nodata"
    assert note in printed and f"--sar_nodata={value}" in printed
    builder = prepared(name="stated", nodata=float(value))
    assert builder.info.metadata["images"]["sar"]["nodata"] == value
    assert builder.info.metadata["statistics"]["sar"]["missing"] == 6 * SIZE * 5
    assert "exact value" not in prepare.summary(builder)
    for name, example in stored(builder).items():
        assert not example["sar"][:, :5].any()
        np.testing.assert_array_equal(example["sar"][:, 5:], stored_decibels(decibels(name))[:, 5:])


def test_percentiles_pass_over_stated_nodata(pair, prepared):
    for name in NAMES:
        values = decibels(name)
        values[:, :5] = -9999
        pair(name, values)
    [[low, high]] = prepared(range="p0,p100", nodata=-9999.0).info.metadata["images"]["sar"]["limits"]
    assert -24 <= low < high <= -1
    # Not stated, it takes the range with it, and nearly all values become one.
    with pytest.raises(ValueError, match=r"(?s)would be stored as 255.*-9999 is frequent.*--sar_nodata=-9999"):
        prepared(range="p0,p100", name="other")


def test_question_for_a_range_names_what_looks_like_nodata(pair, raw):
    values = decibels("a")
    values[:, :5] = -9999
    pair("a", values)
    with pytest.raises(ValueError, match="-9999 is frequent: if it marks pixels without data, add --sar_nodata=-9999"):
        pairs.configure("mine", raw, pairs.Settings(optical=pairs.Reading(range="0,4000")))


def test_optical_nodata_is_masked(pair, prepared, stored):
    for name in NAMES:
        values = colours(name)
        values[0] = 65535
        pair(name, optical=values)
    assert "optical: the exact value 65535 is frequent in 6 of 6" in prepare.summary(prepared())
    builder = prepared(name="stated", optical=pairs.Reading(range="0,4000", nodata=65535.0))
    assert all(not example["optical"][0].any() for example in stored(builder).values())
    assert builder.info.metadata["statistics"]["optical"]["missing"] == 6 * SIZE


def test_nodata_that_no_file_can_hold_is_refused(eight_bit, prepared):
    for name in NAMES:
        eight_bit(name)
    for value in (-9999.0, 0.5, 256.0, float("nan")):
        with pytest.raises(
            ValueError, match=r"--sar_nodata=.* cannot occur in uint8 files such as .*, whose values are 0"
        ):
            prepared(range=None, optical=pairs.Reading(), nodata=value)


def test_nodata_is_stated_on_the_command_line(tmp_path, pair, raw, capsys):
    for name in NAMES:
        values = decibels(name)
        values[:, :5] = -9999
        pair(name, values)
    folders = [f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}", "--processes=1"]
    stated = ["--sar_range=-25,0", "--sar_nodata=-9999", "--optical_range=0,4000", "--optical_nodata=0"]
    prepare.main(["pairs/mine", *folders, *stated])
    assert f"sar: {6 * SIZE * 5:,} pixels have no value" in capsys.readouterr().out
    kept = tfds.builder_from_directory(tmp_path / "data/pairs/mine/1.0.0").info.metadata["settings"]
    assert (kept["sar"]["nodata"], kept["optical"]["nodata"]) == (-9999, 0)


# 4. Colour interpretation.


@pytest.mark.parametrize("how", ["LA", "RGBA", "tRNS", "GeoTIFF"])
def test_transparency_of_radar_is_a_mask_never_a_channel(raw, eight_bit, prepared, stored, how):
    alpha = np.full((SIZE, SIZE), 255, np.uint8)
    alpha[:4] = 0
    for name in NAMES:
        values = grey(name)
        if how == "tRNS":
            values[:4] = 255
            eight_bit(name, sar=values, sar_options={"transparency": 255})
        elif how == "GeoTIFF":
            eight_bit(name)
            (raw / "sar" / f"{name}.png").unlink()
            tiff(raw / "sar" / f"{name}.tif", np.dstack([values, alpha]), alpha="YES")
        else:
            eight_bit(name, sar=np.dstack([values] * (len(how) - 1) + [alpha]))
    builder = prepared(**AS_THEY_ARE)
    assert builder.info.features["sar"].shape == (SIZE, SIZE, 1)
    assert builder.info.metadata["statistics"]["sar"]["missing"] == 6 * 4 * SIZE
    for name, example in stored(builder).items():
        assert not example["sar"][:4].any()
        np.testing.assert_array_equal(example["sar"][4:, :, 0], grey(name)[4:])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparency_of_optical_images_is_a_mask(eight_bit, prepared, stored, suffix):
    alpha = np.full((SIZE, SIZE, 1), 255, np.uint8)
    alpha[:4] = 0
    rgb = {name: np.dstack([grey(name + c) for c in "rgb"]) for name in NAMES}
    for name, values in rgb.items():
        eight_bit(name, optical=np.dstack([values, alpha]) if name != "a" else values, suffix=suffix)
    found = stored(prepared(**AS_THEY_ARE))
    np.testing.assert_array_equal(found["b"]["optical"][4:], rgb["b"][4:])
    assert not found["b"]["optical"][:4].any()
    np.testing.assert_array_equal(found["a"]["optical"], rgb["a"])
    with pytest.raises(
        ValueError, match=r"asks for band 4, which is transparency \(alpha\): it is a mask, never a channel"
    ):
        prepared(range=None, optical=pairs.Reading(bands=(4, 3, 2)), name="asked")


@pytest.mark.parametrize(
    ("bands", "more", "message"),
    [
        (4, {"photometric": "RGB", "alpha": "NO"}, r"4 bands \(red, green, blue, band 4\).*--optical_bands=1,2,3"),
        (4, {"descriptions": ("B2", "B3", "B4", "B8")}, r"4 bands \(B2, B3, B4, B8\).*--optical_bands=3,2,1"),
        (4, {"photometric": "MINISBLACK"}, "4 bands, an optical image three.*such as --optical_bands=4,3,2"),
        (1, {}, "1 band, an optical image three"),
    ],
)
def test_advice_on_colours_goes_by_what_the_file_says(raw, eight_bit, prepared, bands, more, message):
    for name in NAMES:
        eight_bit(name)
        (raw / "optical" / f"{name}.png").unlink()
        tiff(raw / "optical" / f"{name}.tif", np.dstack([grey(f"{name}{band}") for band in range(bands)]), **more)
    with pytest.raises(ValueError, match=message):
        prepared(**AS_THEY_ARE)


@pytest.mark.parametrize(
    "more",
    [
        {"colorinterp": (ColorInterp.blue, ColorInterp.green, ColorInterp.red)},
        {"descriptions": ("B2", "B3", "B4")},
    ],
)
def test_three_bands_in_another_order_become_red_green_and_blue(pair, prepared, stored, more):
    for name in NAMES:
        pair(name, optical_options=more)
    builder = prepared()
    expected = np.round(255 * colours("a")[..., ::-1].astype(float) / 4000)
    np.testing.assert_array_equal(stored(builder)["a"]["optical"], expected)
    assert "optical: by their names, bands 3, 2, 1 are red, green and blue" in prepare.summary(builder)
    # What the owner states goes first.
    asked = prepared(optical=pairs.Reading(range="0,4000", bands=(1, 2, 3)), name="asked")
    np.testing.assert_array_equal(stored(asked)["a"]["optical"], expected[..., ::-1])


def test_palettes_and_single_bits_are_bad(raw, eight_bit, refused):
    for name in NAMES:
        eight_bit(name, suffix="tif")
    Image.fromarray(grey("a")).convert("P").save(raw / "sar" / "a.tif")
    Image.fromarray(grey("b")).convert("1").save(raw / "sar" / "b.tif")
    found = refused(**AS_THEY_ARE)
    assert found.keys() == {"sar/a.tif", "sar/b.tif"}
    assert "palette" in found["sar/a.tif"] and found["sar/b.tif"].startswith("1 bit a value")


def test_white_as_zero_is_stored_with_black_as_zero(raw, eight_bit, prepared, stored):
    for name in NAMES:
        eight_bit(name, suffix="tif")
        tiff(raw / "sar" / f"{name}.tif", 255 - grey(name)[..., None], photometric="MINISWHITE")
    for name, example in stored(prepared(**AS_THEY_ARE)).items():
        np.testing.assert_array_equal(example["sar"][..., 0], grey(name))


# 5. Grey in equal channels.


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("most_are_grey", [False, True])
def test_radar_in_three_equal_channels_becomes_one(eight_bit, prepared, stored, suffix, most_are_grey):
    for name in NAMES:
        single = (name == "a") != most_are_grey
        values = grey(name) // 2 + 60 if suffix == "jpg" else grey(name)
        eight_bit(name, sar=values if single else np.dstack([values] * 3), suffix=suffix)
    builder = prepared(**AS_THEY_ARE)
    assert builder.info.features["sar"].shape == (SIZE, SIZE, 1)
    for name, example in stored(builder).items():
        expected = grey(name) // 2 + 60 if suffix == "jpg" else grey(name)
        np.testing.assert_allclose(example["sar"][..., 0].astype(int), expected, atol=60 if suffix == "jpg" else 0)
    assert ("3 bands of a file are equal" in prepare.summary(builder)) == (not most_are_grey)


def test_radar_in_equal_bands_of_any_type_becomes_one(pair, prepared, stored):
    for name in NAMES:
        pair(name, np.dstack([decibels(name)] * 2))
    builder = prepared()
    assert builder.info.features["sar"].shape == (SIZE, SIZE, 1)
    np.testing.assert_array_equal(stored(builder)["a"]["sar"], stored_decibels(decibels("a")))
    kept = prepared(bands=(1, 2), name="both")
    assert kept.info.features["sar"].shape == (SIZE, SIZE, 2)


def test_colour_among_grey_in_three_channels_is_bad(eight_bit, refused):
    for name in NAMES:
        eight_bit(name, sar=np.dstack([grey(name)] * 3))
    eight_bit("odd", sar=np.dstack([grey("odd"), grey("x"), grey("y")]))
    [(path, reason)] = refused(**AS_THEY_ARE).items()
    assert path == "sar/odd.png" and "3 bands of uint8, expected 32 x 32 pixels, 1 band of uint8" in reason


def test_nearly_grey_radar_is_noted(eight_bit, prepared):
    for name in NAMES:
        values = np.dstack([grey(name)] * 3)
        values[..., 1] += 1
        eight_bit(name, sar=values)
    assert "like grey that was saved as colour: --sar_bands=1" in prepare.summary(prepared(**AS_THEY_ARE))


# 6. Names, scales and offsets.


def test_bands_are_brought_into_one_order_by_their_names(pair, prepared, stored):
    for name in NAMES:
        values = decibels(name, 2)
        swapped = name in "af"
        pair(
            name,
            values[..., ::-1] if swapped else values,
            sar_options={"descriptions": ("VH", "VV") if swapped else ("VV", "VH")},
        )
    builder = prepared(range="-25,0;-50,0")
    for name, example in stored(builder).items():
        expected = np.round(255 * (decibels(name, 2).astype(float) / [25, 50] + 1))
        np.testing.assert_array_equal(example["sar"], expected)
    assert builder.info.metadata["images"]["sar"]["bands"] == ["VV", "VH"]
    assert "sar: 2 files name their bands in another order; all are read as VV, VH" in prepare.summary(builder)


@pytest.mark.parametrize(
    ("kind", "options", "reason"),
    [
        ("sar", {"descriptions": ("VH",)}, "bands VH, expected VV"),
        ("sar", {"descriptions": ("",)}, "bands without names, expected VV"),
        ("sar", {"descriptions": ("VV",), "tags": {"POLARIZATION": "VH"}}, "POLARIZATION VH, expected no tag"),
        ("optical", {"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3}, "scale 0.0001, offset -0.1, expected scale 1"),
        ("optical", {"tags": {"BOA_ADD_OFFSET": "-1000"}}, "BOA_ADD_OFFSET -1000, expected no tag BOA_ADD_OFFSET"),
        ("optical", {"tags": {"PROCESSING_BASELINE": "04.00"}}, "PROCESSING_BASELINE 04.00 or later, expected no tag"),
    ],
)
def test_file_that_says_something_else_of_its_numbers_is_bad(pair, prepared, refused, kind, options, reason):
    for name in NAMES:
        pair(name, sar_options={"descriptions": ("VV",)})
    pair("odd", **({"sar_options": {"descriptions": ("VV",)}} | {f"{kind}_options": options}))
    [(path, found)] = refused().items()
    assert path == f"{kind}/odd.tif" and found.startswith(reason) and "like " in found
    assert sum(split.num_examples for split in prepared(skip_bad=True).info.splits.values()) == len(NAMES)


def test_offset_that_all_files_state_is_noted(pair, prepared):
    for name in NAMES:
        pair(name, optical_options={"scales": (1e-4,) * 3, "offsets": (-0.1,) * 3, "tags": {"BOA_ADD_OFFSET": "-1000"}})
    note = "optical: the files state scale 0.0001, offset -0.1, BOA_ADD_OFFSET -1000, which is not applied"
    assert note in prepare.summary(prepared())


def test_mixture_of_offsets_that_no_tag_tells_is_noted(pair, prepared):
    for number, name in enumerate(NAMES):
        pair(name, optical=colours(name) + np.uint16(1000 * (number % 2)))
    assert "optical: in 3 of 6 images no value is below 1000, in 3 some are" in prepare.summary(prepared())


def test_offset_of_all_files_is_noted_and_proposed(pair, prepared, raw):
    for name in NAMES:
        pair(name, optical=colours(name) // 2 + np.uint16(1000))
    assert "optical: no value is below 1000" in prepare.summary(prepared())
    assert "below 1000" not in prepare.summary(prepared(optical="1000,4000", name="fits"))
    with pytest.raises(ValueError, match=r"--optical_range=1[01]00,2[89]00 fits this file"):
        pairs.configure("mine", raw, pairs.Settings(sar=pairs.Reading(range="-25,0")))


# 7. Pages, and the header that most files have.


def test_pages_are_bad(raw, eight_bit, refused):
    for name in NAMES:
        eight_bit(name, suffix="tif")
    first, second = (Image.fromarray(grey(name)) for name in "xy")
    first.save(raw / "sar" / "a.tif", save_all=True, append_images=[second])
    [(path, reason)] = refused(**AS_THEY_ARE).items()
    assert path == "sar/a.tif" and reason.startswith("2 pages, expected one")


@pytest.mark.parametrize("odd", ["size", "bands", "type"])
def test_most_frequent_header_decides_not_the_first(pair, prepared, refused, odd):
    for name in NAMES[1:]:
        pair(name)
    if odd == "size":
        pair("a", decibels("a")[:16, :16], colours("a")[:16, :16])
    elif odd == "bands":
        pair("a", decibels("a", 2))
    else:
        pair("a", decibels("a").astype(np.float64))
    found = refused()
    assert set(found) <= {"sar/a.tif", "optical/a.tif"} and "sar/a.tif" in found
    assert all(re.search(r", expected .* like .*/b\.tif$", reason) for reason in found.values())
    assert sum(split.num_examples for split in prepared(skip_bad=True).info.splits.values()) == len(NAMES) - 1


# 12 and 14. Files that are not read, complex values.


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        ("jp2", r"gdal_translate a\.jp2 a\.tif"),
        ("npy", "write its array as GeoTIFF"),
        ("webp", r"gdal_translate -of PNG a\.webp a\.png"),
        ("bmp", "convert it to PNG"),
    ],
)
def test_format_that_is_not_read_is_named_with_what_to_convert_it_to(raw, eight_bit, refused, suffix, words):
    for name in NAMES:
        eight_bit(name)
    path = raw / "optical" / f"a.{suffix}"
    (raw / "optical" / "a.png").unlink()
    if suffix == "npy":
        np.save(path, grey("a"))
    elif suffix == "jp2":
        path.write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100))
    else:
        Image.fromarray(grey("a")).save(path)
    found = refused(**AS_THEY_ARE)
    assert re.search(rf"^\.{suffix} files are not read: .*{words}", found[f"optical/a.{suffix}"])
    assert len(found) == 2 and "there is" in found["sar/a.png"]  # Its partner, named with it.
    path.rename(path.with_suffix(".tif"))  # Under another name.
    [(name, reason)] = refused(**AS_THEY_ARE).items()
    assert name == "optical/a.tif" and re.search(rf"file, which is not read.*{words.replace(suffix, 'tif')}", reason)


@pytest.mark.parametrize("dtype", ["complex_int16", "complex64"])
def test_complex_images_are_refused_without_a_traceback(tmp_path, raw, pair, capsys, dtype):
    for name in NAMES:
        values = (decibels(name) * (1 + 0.5j)).astype(np.complex64)
        pair(name, values, sar_options={"dtype": dtype})
    with pytest.raises(SystemExit) as caught:
        prepare.main(["pairs/mine", f"--manual_dir={raw}", f"--data_dir={tmp_path}", "--sar_range=-25,0"])
    assert f"{dtype} values, expected real numbers: intensity, amplitude or dB" in str(caught.value)
