"""Own scenes, cut into tiles: what comes out is what the scenes hold, and what does not come out is said."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tensorflow_datasets as tfds
from PIL import Image
from rasterio.crs import CRS

from tfds_builders import audit, files, imagery, pairs, prepare
from tfds_builders.imagery import Header
from tfds_builders.imagery.georeference import UPRIGHT, Georeference, Turn
from tfds_builders.pairs.alignment import common_area

TILE = 16
SIDE = 96
GEOTIFF = Path(__file__).parents[3] / "shared" / "data" / "geotiff"
NODATA = -9999.0


@pytest.fixture(name="raw")
def manual_dir(tmp_path):
    return tmp_path / "raw"


@pytest.fixture(name="ground")
def ground_values():
    """dB and reflectances of 160 x 160 pixels, of which no two 16 x 16 look alike: radar, optical."""
    rng = np.random.default_rng(0)
    radar = rng.uniform(-24, -1, (160, 160, 2)).astype(np.float32)
    return radar, rng.integers(100, 3400, (160, 160, 3), dtype=np.uint16)


@pytest.fixture(name="scene")
def scene_writer(raw, ground):
    """Writes a scene: a window of the ground, each image with its own corner, size, values and options."""

    def write(kind, name="porto", *, row=0, column=0, height=SIDE, width=SIDE, change=None, place=True, **options):
        values = ground[kind == "optical"][row : row + height, column : column + width].copy()
        if change is not None:
            change(values)
        path = raw / kind / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        transform = rasterio.Affine(10, 0, 500_000 + 10 * column, 0, -10, 4_000_000 - 10 * row)
        georeference = {"crs": "EPSG:32631", "transform": transform} if place else {}
        shape = {"height": height, "width": width, "count": values.shape[-1], "dtype": values.dtype}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", **(shape | georeference | options)) as file:
                file.write(np.moveaxis(values, -1, 0))
        return path

    return write


@pytest.fixture(name="both")
def scenes_writer(scene):
    """Writes both images of a scene, of the same ground."""

    def write(name="porto", **options):
        return scene("sar", name, **options), scene("optical", name, **options)

    return write


@pytest.fixture(name="make")
def own_preparer(tmp_path, raw):
    def make(*, tile=TILE, stride=None, max_nodata=None, sar="-25,0", optical="0,3500", nodata=None, **options):
        settings = pairs.Settings(
            sar=pairs.Reading(range=sar, nodata=nodata),
            optical=pairs.Reading(range=optical),
            tile=tile,
            stride=stride,
            max_nodata=max_nodata,
        )
        return prepare.prepare("pairs/mine", data_dir=tmp_path / "data", manual_dir=raw, settings=settings, **options)

    return make


def stretched(values, low, high):
    return np.round(255 * ((values.astype(float) - low) / (high - low)).clip(0, 1)).astype(np.uint8)


def place_of(name, *, step=TILE):
    row, column = map(int, re.fullmatch(r".*_r(\d{4})_c(\d{4})", name).groups())
    return step * row, step * column


def assert_tiles_are(found, ground, *, row=0, column=0, step=TILE):
    """Examples hold the ground that their ids name, counted from this corner."""
    assert found
    for name, example in found.items():
        top, left = place_of(name, step=step)
        part = np.s_[row + top : row + top + TILE, column + left : column + left + TILE]
        np.testing.assert_array_equal(example["sar"], stretched(ground[0][part], -25, 0))
        np.testing.assert_array_equal(example["optical"], stretched(ground[1][part], 0, 3500))


def gap(found, *, step=TILE):
    """Pixels between the nearest tiles of two splits."""
    places = np.array([place_of(name, step=step) for name in found])
    split = np.array([example["split"] for example in found.values()])
    apart = np.abs(places[:, None] - places[None]).max(axis=-1) - TILE
    return apart[split[:, None] != split[None]].min()


def rules(builder):
    return builder.info.metadata["rules"]


def test_one_scene_becomes_three_splits_without_shared_ground(both, make, stored, ground):
    both()
    builder = make()
    found = stored(builder)
    assert_tiles_are(found, ground)
    assert {example["split"] for example in found.values()} == {"train", "validation", "test"}
    assert gap(found) >= TILE
    assert {example["scene"].decode() for example in found.values()} == {
        "porto/train",
        "porto/validation",
        "porto/test",
    }
    assert rules(builder)["tiles"].startswith("36 tiles of 16 x 16 pixels, one every 16, ")
    assert f"{36 - len(found)} tiles left out" in rules(builder)["splits"]
    assert "every pair counts as a scene" not in str(builder.info.metadata["notes"])
    told = prepare.summary(builder)
    assert "tiles: 36 tiles of 16 x 16 pixels" in told and "audit: clean" in told


@pytest.mark.parametrize("stride", [7, 12])
def test_overlapping_tiles_never_come_into_two_splits(both, make, stored, ground, stride):
    both(height=100, width=100)
    found = stored(make(stride=stride))
    assert_tiles_are(found, ground, step=stride)
    assert gap(found, step=stride) >= TILE


def test_last_tiles_lie_at_the_edge(raw, both):
    both(height=40, width=35)
    config = pairs.configure(
        "mine", raw, pairs.Settings(sar=pairs.Reading(range="p2,p98"), optical=pairs.Reading(range="0,9"), tile=16)
    )
    windows = [pair.windows[0][:2] for pair in config.pairs]
    assert windows == [(row, column) for row in (0, 16, 24) for column in (0, 16, 19)]


def test_ground_that_both_show_is_laid_pixel_on_pixel(scene, make, stored, ground):
    """The optical image begins 7 pixels lower and 3 further left, and is larger."""
    scene("sar", row=10, column=20, height=SIDE + 7)
    scene("optical", row=17, column=17, height=140, width=140)
    found = stored(make())
    assert_tiles_are(found, ground, row=17, column=20)
    assert max(place_of(name)[1] for name in found) == SIDE - TILE  # the radar image's right edge


def test_scenes_are_turned_north_up_and_cut_as_a_map_shows_them(scene, make, stored, ground):
    upside_down = rasterio.Affine(10, 0, 500_000, 0, 10, 4_000_000 - 10 * SIDE)

    def flip(values):
        values[:] = values[::-1].copy()

    scene("sar", change=flip, transform=upside_down)
    scene("optical", height=SIDE + 8)
    builder = make()
    assert_tiles_are(stored(builder), ground)
    assert "sar: 1 images are stored turned" in str(builder.info.metadata["notes"])


def test_scenes_without_georeference_are_cut_by_pixel_position(raw, make, stored, ground):
    for kind, values in (("sar", ground[0][..., 0]), ("optical", ground[1])):
        (raw / kind).mkdir(parents=True)
        levels = stretched(values, *((-25, 0) if kind == "sar" else (0, 3500)))
        Image.fromarray(levels).save(raw / kind / "porto.png")
    builder = make(sar=None, optical=None)
    assert builder.info.features["sar"].shape == (TILE, TILE, 1)
    assert_tiles_are(stored(builder), (ground[0][..., :1], ground[1]))


def test_jpeg_scenes_are_stored_without_further_loss(raw, make, stored):
    rng = np.random.default_rng(0)
    for kind, channels in (("sar", 1), ("optical", 3)):
        (raw / kind).mkdir(parents=True)
        values = rng.integers(0, 255, (SIDE, SIDE, channels), dtype=np.uint8)
        Image.fromarray(values.squeeze()).save(raw / kind / "porto.jpg")
    builder = make(sar=None, optical=None)
    assert builder.info.features["sar"].to_json_content().encoding_format == "png"
    for name, example in stored(builder).items():
        top, left = place_of(name)
        for kind in files.KINDS:
            whole = imagery.read(raw / kind / "porto.jpg").values
            np.testing.assert_array_equal(example[kind], whole[top : top + TILE, left : left + TILE])


def empty_corner(values):
    """Without data in a triangle, as beside the swath of a radar scene."""
    row, column = np.mgrid[: values.shape[0], : values.shape[1]]
    values[row + column < 40] = NODATA


def test_tiles_without_data_are_dropped_and_counted(scene, make, stored):
    scene("sar", change=empty_corner, nodata=NODATA)
    scene("optical")
    assert min(sum(place_of(name)) for name in stored(make())) >= 40
    builder = make(max_nodata=0.5, overwrite=True)
    notes = "\n".join(builder.info.metadata["notes"])
    assert "1 tile dropped, the first one porto_r0000_c0000: sar: no pixel has a value" in notes
    assert re.search(r"2 tiles dropped, the first one porto_r0000_c0001: 8\d\.\d% of its pixels have no value", notes)
    assert "2 tiles dropped" in prepare.summary(builder) and builder.info.metadata["left_out"] == 3


def test_flat_tiles_are_dropped_and_no_bad_files(scene, make, stored):
    def flat(values):
        values[:TILE, :TILE] = 0

    scene("sar")
    scene("optical", change=flat)
    builder = make()
    assert "porto_r0000_c0000" not in stored(builder)
    notes = str(builder.info.metadata["notes"])
    assert "1 tile dropped, the first one porto_r0000_c0000: optical: every pixel has the value 0" in notes


def test_undeclared_border_is_named_and_dropped_once_stated(scene, make, stored):
    def border(values):
        values[:, :24] = NODATA

    scene("sar", change=border)
    scene("optical")
    builder = make()
    assert "--sar_nodata=-9999" in str(builder.info.metadata["notes"])
    found = stored(make(nodata=NODATA, overwrite=True))
    assert min(place_of(name)[1] for name in found) == 32


def test_range_that_fits_no_value_is_refused_not_dropped(both, make):
    both()
    with pytest.raises(ValueError, match=r"clips 100.0% of the values"):
        make(sar="30,50")


def test_nothing_but_empty_tiles_says_so(scene, make):
    def empty(values):
        values[:, ::4] = NODATA

    scene("sar", change=empty, nodata=NODATA)
    scene("optical")
    with pytest.raises(ValueError, match=r"No pairs are left .* 36 tiles dropped, the first one porto_\w+: 25.0%"):
        make()


def test_scenes_that_share_ground_are_one_scene(both, make, stored):
    both("a", width=64)
    both("b", column=48, width=64)
    builder = make()
    found = stored(builder)
    assert "by their georeferences a, b share ground" in rules(builder)["scenes"]
    assert {example["scene"].decode().partition("/")[0] for example in found.values()} == {"a"}
    where = {}
    for name, example in found.items():
        row, column = place_of(name)
        where[name] = (row, column + (48 if name.startswith("b") else 0), example["split"])
    places = np.array([place[:2] for place in where.values()])
    split = np.array([place[2] for place in where.values()])
    apart = np.abs(places[:, None] - places[None]).max(axis=-1) - TILE
    assert apart[split[:, None] != split[None]].min() >= TILE


def test_audit_compares_tiles_of_one_file(scene, make, ground):
    """A scene that repeats itself, but for noise: all of its tiles are nearly one."""

    def repeat(values):
        noise = np.random.default_rng(1).normal(0, 0.1, values.shape)
        values[:] = np.tile(ground[0][:TILE, :TILE], (SIDE // TILE, SIDE // TILE, 1)) + noise

    scene("sar", change=repeat)
    scene("optical")
    with pytest.raises(audit.LeakError, match=r"sar of porto_r\d{4}_c\d{4} \(train\) and of porto_"):
        make()


def test_stated_splits_hold_for_all_tiles_of_a_scene(raw, both, make, stored):
    rows = ["sar,optical,split"]
    for number, (name, split) in enumerate((("a", "train"), ("b", "val"), ("c", "test"))):
        both(name, column=48 * number, width=48)
        rows.append(f"sar/{name}.tif,optical/{name}.tif,{split}")
    (raw / "pairs.csv").write_text("\n".join(rows))
    found = stored(make())
    assert len(found) == 3 * 18
    for name, example in found.items():
        assert example["split"] == {"a": "train", "b": "validation", "c": "test"}[name.split("/")[-1][0]]


def test_scenes_of_any_size_are_one_dataset_and_odd_ones_bad_files(both, scene, make, stored):
    both("large")
    both("small", height=48, width=33, row=100)
    both("tiny", height=12, row=100, column=100, width=40)
    scene("sar", "other", count=2)
    scene("optical", "other", row=60, column=60)
    with pytest.raises(files.BadFilesError) as caught:
        make(sar="-25,0;-25,0")
    reasons = {bad.path.stem: bad.reason for bad in caught.value.bad}
    assert reasons.keys() == {"tiny"}
    assert reasons["tiny"].startswith("12 x 40 pixels in common with its partner, less than a tile")
    found = stored(make(sar="-25,0;-25,0", skip_bad=True))
    assert {name.partition("_")[0] for name in found} == {"large", "small", "other"}


def test_scene_of_another_kind_is_one_bad_file(both, scene, make):
    both("a")
    both("b", row=64, height=64)
    scene("sar", "c", row=32, column=96, height=64, width=64, dtype="float64")
    scene("optical", "c", row=32, column=96, height=64, width=64)
    with pytest.raises(files.BadFilesError) as caught:
        make()
    [bad] = caught.value.bad
    assert bad.path.name == "c.tif" and "of float64, expected" in bad.reason


def test_broken_block_is_a_bad_file_and_costs_its_tiles_only(both, make, stored):
    sar, _ = both(tiled=True, blockxsize=16, blockysize=16)
    sar.write_bytes(sar.read_bytes()[: -8 * 16 * 16 * 6])  # the last six tiles, of two bands
    with pytest.raises(files.BadFilesError, match=r"porto.tif: unreadable"):
        make()
    builder = make(skip_bad=True)
    assert max(place_of(name)[0] for name in stored(builder)) == SIDE - 2 * TILE


def test_tile_and_stride_are_compared_with_the_dataset_that_is_there(both, make, tmp_path, raw):
    both()
    make()
    with pytest.raises(ValueError, match=r'with other settings: .*"tile": 16'):
        make(tile=32)
    with pytest.raises(ValueError, match="with other settings"):
        make(stride=8)
    assert make().info.splits.total_num_examples > 0
    again = prepare.prepare_or_reuse(prepare.Request(name="pairs/mine", data_dir=tmp_path / "data", manual_dir=raw))
    assert not again.made and not again.remarks


def test_same_files_are_found_again_where_some_could_not_be_cut(both, make, tmp_path, raw):
    both()
    both("tiny", height=12)
    make(skip_bad=True)
    request = prepare.Request(name="pairs/mine", data_dir=tmp_path / "data", manual_dir=raw, skip_bad=True)
    assert not prepare.prepare_or_reuse(request).made


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"tile": 8}, r"--tile=8 must be 16 pixels or more"),
        ({"tile": 16, "stride": 0}, r"--stride=0 must be 1 pixel or more"),
        ({"stride": 16}, r"--stride=16 is about tiles: state their side, such as --tile=256"),
        ({"tile": 16, "max_nodata": 1.0}, r"--max_nodata=1 must be a share"),
        ({"max_nodata": 0.1}, r"--max_nodata=0.1 is about tiles"),
    ],
)
def test_settings_that_make_no_sense_are_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        pairs.Settings(**flags)


def test_command_takes_the_flags(both, tmp_path, raw, capsys):
    both()
    flags = ["--tile=16", "--stride", "8", "--max_nodata=0.5", "--sar_range", "-25,0", "--optical_range=0,3500"]
    prepare.main(["pairs/mine", f"--manual_dir={raw}", f"--data_dir={tmp_path / 'data'}", "--processes=1", *flags])
    assert "tiles: 121 tiles of 16 x 16 pixels, one every 8, " in capsys.readouterr().out
    settings = tfds.builder_from_directory(tmp_path / "data/pairs/mine/1.0.0").info.metadata["settings"]
    assert (settings["tile"], settings["stride"], settings["max_nodata"]) == (16, 8, 0.5)


def test_whole_scenes_without_the_flag_name_it(scene, both, make, raw, monkeypatch):
    scene("sar")
    scene("optical", height=120, width=140)
    with pytest.raises(files.BadFilesError, match="--tile=256 cuts the ground that both show"):
        make(tile=None)
    both("porto")
    both("faro", height=120, width=120)
    both("lagos")
    monkeypatch.setattr("tfds_builders.pairs.raster._TILE", 64)
    with pytest.raises(files.BadFilesError, match=r"faro.tif: 120 x 120 .*--tile=64 cuts images of any size"):
        make(tile=None)
    monkeypatch.setattr("tfds_builders.pairs.survey._LARGE", 64)
    builder = make(tile=None, skip_bad=True)
    assert "the images are 96 x 96 pixels: --tile=256 would cut them" in str(builder.info.metadata["notes"])


UTM = CRS.from_epsg(32631).to_wkt()


def header(*, east=0.0, south=0.0, size=64, pixel=10.0, crs=UTM, approximate=False, place=True, turn=UPRIGHT):
    transform = (pixel, 0.0, 500_000 + 10 * east, 0.0, -pixel, 4_000_000.0 - 10 * south)
    found = Georeference(transform=transform, crs=crs, approximate=approximate) if place else None
    bands = (imagery.Band(number=1),)
    return Header(format="tiff", height=size, width=size, dtype="uint8", bands=bands, georeference=found, turn=turn)


def test_common_ground_is_a_window_of_each_image():
    assert common_area(header(), header()) == ((0, 0, 64, 64), (0, 0, 64, 64))
    assert common_area(header(), header(east=-8, south=4)) == ((4, 0, 60, 56), (0, 8, 60, 56))
    assert common_area(header(), header(east=8, south=-4, size=100)) == ((0, 8, 64, 56), (4, 0, 64, 56))
    assert common_area(header(), header(east=8.05)) == ((0, 8, 64, 56), (0, 0, 64, 56))
    assert common_area(header(place=False), header()) == ((0, 0, 64, 64), (0, 0, 64, 64))
    degrees = CRS.from_epsg(4326).to_wkt()
    assert common_area(header(), header(crs=None)) == ((0, 0, 64, 64), (0, 0, 64, 64))
    assert common_area(header(), header(east=1e7, crs=None)) == ((0, 0, 64, 64), (0, 0, 64, 64))
    with pytest.raises(ValueError, match="other ground than its partner's"):
        common_area(header(), header(east=1e7))
    with pytest.raises(ValueError, match="other ground than its partner's"):
        common_area(header(), header(crs=degrees))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (header(east=0.4), r"lie between its own \(up to 0.4 pixels off\)"),
        (header(pixel=20.0), r"are 2 times as large"),
        (header(pixel=10.1), r"are 1.01 times as large"),
    ],
)
def test_other_grids_are_refused_with_the_command_that_helps(other, what):
    with pytest.raises(ValueError, match=what) as caught:
        common_area(header(), other)
    command = "gdalwarp -t_srs EPSG:32631 -tr 10 10 -te 500000 3999360 500640 4000000 -r cubic OPTICAL.tif ALIGNED.tif"
    assert command in str(caught.value)


def test_pixel_position_needs_one_size_and_one_orientation():
    with pytest.raises(ValueError, match="tiles are cut by pixel position, for which both images need one size"):
        common_area(header(place=False), header(size=65))
    with pytest.raises(ValueError, match="not stored north-up"):
        common_area(header(turn=Turn(flip_rows=True)), header(place=False))


def test_other_grid_is_a_bad_file_that_names_the_command(scene, make):
    scene("sar")
    scene("optical", transform=rasterio.Affine(10, 0, 500_004, 0, -10, 4_000_000))
    with pytest.raises(
        files.BadFilesError, match=r"sar/porto.tif: another pixel grid .*gdalwarp -t_srs EPSG:32631 -tr"
    ):
        make()


@pytest.mark.skipif(not GEOTIFF.is_dir(), reason="needs real files in ../shared/data/geotiff")
def test_real_scene_becomes_tiles_of_the_same_pixels(raw, make, stored):
    for kind in files.KINDS:
        (raw / kind).mkdir(parents=True)
        (raw / kind / "texas.tif").symlink_to(GEOTIFF / f"texas_274_{kind}.tif")
    found = stored(make(tile=256, sar=None, optical=None))
    assert {example["split"] for example in found.values()} == {"train", "validation", "test"}
    for kind in files.KINDS:
        whole = imagery.read(raw / kind / "texas.tif").values
        for name, example in found.items():
            row, column = place_of(name, step=256)
            np.testing.assert_array_equal(example[kind], whole[row : row + 256, column : column + 256])
