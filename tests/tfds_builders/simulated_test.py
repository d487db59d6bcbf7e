import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tfds_builders import preparation, simulated
from tfds_builders.simulated import imaging, landscape, statistics
from tfds_builders.simulated.simulated_dataset_builder import FIRST_SCENE, make_scene, patches

PROJECT = Path(__file__).parents[2]
SIZE = landscape.SIZE
# Mean and standard deviation of the radar image, mean red, green and blue, standard deviation of the height.
REFERENCE = [134.576492, 36.228078, 124.446732, 99.283386, 83.879837, 36.746437]


def ground(cover="grass", height=None):
    """A scene of one cover."""
    return landscape.Landscape(
        season="summer",
        terrain="agri",
        cover=np.full((SIZE, SIZE), landscape.INDEX[cover]),
        field=np.full((SIZE, SIZE), -1),
        height=np.zeros((SIZE, SIZE)) if height is None else height,
        street_angle=np.zeros((SIZE, SIZE)),
    )


def with_building(*, street_angle):
    land = ground()
    land.cover[100:120, 100:120] = landscape.INDEX["hall"]
    return dataclasses.replace(land, street_angle=np.full((SIZE, SIZE), street_angle))


@pytest.fixture(name="tiny", scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    builder = tfds.builder("simulated/tiny", data_dir=folder, file_format="array_record")
    builder.download_and_prepare()
    return builder, folder


def test_prepared_patches_are_those_of_the_scenes(tiny):
    builder, _ = tiny
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 32,
        "validation": 16,
        "test": 16,
    }
    assert builder.info.metadata["scenes"] == {"train": 2, "validation": 1, "test": 1}
    assert builder.info.metadata.keys() == {"scenes", "images", "ground_sampling_m", "content"}
    [example] = [e for e in builder.as_data_source("train") if e["id"] == b"scene0001_p06"]
    scene = make_scene(1)
    # The seventh patch stands in the second row of four, third column.
    np.testing.assert_array_equal(example["sar"][..., 0], scene.sar[64:128, 128:192])
    np.testing.assert_array_equal(example["optical"], scene.optical[64:128, 128:192])
    assert example["sar"].shape == (64, 64, 1) and example["sar"].dtype == example["optical"].dtype == np.uint8
    assert example["scene"] == b"0001"
    assert (example["season"].decode(), example["terrain"].decode()) == (
        scene.landscape.season,
        scene.landscape.terrain,
    )


def test_data_source_by_name(tiny):
    _, folder = tiny
    source = tfds.data_source("simulated/tiny", split="test", data_dir=folder)
    assert {example["scene"] for example in source} == {b"0288"}


def test_another_process_prepares_the_same_examples_in_the_same_order(tiny, tmp_path):
    # Not the same files: protobuf writes the fields of a record in an order that it draws anew in every process.
    builder, _ = tiny
    command = [sys.executable, "-m", "tfds_builders.prepare", "simulated/tiny", f"--data_dir={tmp_path}"]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    for split in builder.info.splits:
        other = tfds.data_source("simulated/tiny", split=split, data_dir=tmp_path)
        for one, again in zip(builder.as_data_source(split), other, strict=True):
            assert one.keys() == again.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], again[key])


def test_reference_numbers_of_the_first_scene():
    scene = make_scene(0)
    found = [scene.sar.mean(), scene.sar.std(), *scene.optical.mean(axis=(0, 1)), scene.landscape.height.std()]
    np.testing.assert_allclose(
        found,
        REFERENCE,
        rtol=1e-4,
        err_msg="The dataset has changed: a deliberate change needs a new VERSION in the builder, new numbers in "
        "docs/data.md and new ones here; otherwise this version of numpy draws other random numbers.",
    )


@pytest.mark.parametrize("name", list(simulated.Builder.builder_configs))
def test_splits_share_no_scene(name):
    config = simulated.Builder.builder_configs[name]
    scenes = [first + i for split, first in FIRST_SCENE.items() for i in range(getattr(config, split))]
    assert len(scenes) == len(set(scenes))


def test_scenes_differ_and_come_back():
    one, again, other = make_scene(3), make_scene(3), make_scene(4)
    np.testing.assert_array_equal(one.sar, again.sar)
    np.testing.assert_array_equal(one.optical, again.optical)
    assert (one.sar != other.sar).mean() > 0.9


def test_every_cover_occurs_and_is_seen_in_small_crops():
    scenes = [make_scene(number) for number in range(6)]
    covers = np.stack([scene.landscape.cover for scene in scenes])
    assert set(np.unique(covers)) == set(landscape.INDEX.values())
    crops = covers.reshape(6, 8, 32, 8, 32).swapaxes(2, 3).reshape(-1, 32 * 32)
    kinds = np.array([len(np.unique(crop)) for crop in crops])
    assert np.median(kinds) >= 5


def test_patches_tile_the_scene_row_by_row():
    image = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    cut = patches(image)
    assert cut.shape == (16, 64, 64)
    np.testing.assert_array_equal(np.block([list(cut[4 * row : 4 * row + 4]) for row in range(4)]), image)


def test_smooth_noise_has_unit_variance():
    rng = np.random.default_rng(0)
    values = np.stack([landscape.smooth_noise(rng, 5.0) for _ in range(8)])
    assert abs(values.mean()) < 0.03
    assert values.var() == pytest.approx(1, abs=0.05)


def test_relief_has_the_slope_asked_for():
    height = landscape._relief(np.random.default_rng(0), slope=0.1)
    assert np.sqrt(sum(np.mean(slope**2) for slope in np.gradient(height, 10.0))) == pytest.approx(0.1)


def test_speckle_over_even_ground_has_the_stated_looks():
    # Roads have neither canopy nor moisture: all that varies on them is speckle.
    intensity = 10 ** (imaging.radar_image(ground("road"), np.random.default_rng(0)) / 10)
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(imaging.LOOKS, rel=0.03)
    assert 10 * np.log10(intensity.mean()) == pytest.approx(landscape.COVERS["road"].sigma0_db, abs=0.05)


def test_speckle_of_the_statistics_is_the_stated_looks():
    assert statistics.looks(0) == pytest.approx(imaging.LOOKS, rel=0.03)


def test_water_is_darker_than_wood_and_wood_shares_the_range_of_ploughed_soil():
    scenes = [make_scene(number) for number in range(6)]
    values = {
        name: np.concatenate([scene.sar[scene.landscape.is_cover(name)] for scene in scenes]).astype(np.float64)
        for name in ("water", "wood", "ploughed")
    }
    assert values["water"].mean() + 100 < values["wood"].mean()
    assert abs(values["wood"].mean() - values["ploughed"].mean()) < values["wood"].std()


def test_local_incidence_of_an_even_slope():
    # Height falls to the east, towards the radar, by tan(10 degrees).
    east = np.broadcast_to(np.arange(SIZE) * 10.0, (SIZE, SIZE))
    facing = imaging.cos_local_incidence(-np.tan(np.deg2rad(10)) * east)
    averted = imaging.cos_local_incidence(np.tan(np.deg2rad(10)) * east)
    np.testing.assert_allclose(np.rad2deg(np.arccos(facing)), 29)
    np.testing.assert_allclose(np.rad2deg(np.arccos(averted)), 49)


def test_slopes_that_face_the_radar_are_brighter():
    east = np.broadcast_to(np.arange(SIZE) * 10.0, (SIZE, SIZE))
    facing, level, averted = (
        imaging.backscatter(ground("road", height=slope * east), np.random.default_rng(0)).mean()
        for slope in (-0.2, 0.0, 0.2)
    )
    assert facing > 1.5 * level > 1.5 * 1.5 * averted


def test_a_wall_that_faces_the_radar_shines_and_one_askew_hardly():
    aligned, askew = (
        imaging.backscatter(with_building(street_angle=angle), np.random.default_rng(0)) for angle in (0.0, np.pi / 4)
    )
    level = 10 ** (landscape.COVERS["hall"].sigma0_db / 10)
    assert aligned[100:120, 119].mean() > 10 * level
    assert aligned[100:120, 119].mean() > 3 * askew[100:120, 119].mean()
    np.testing.assert_allclose(aligned[100:120, 105], level)


def test_tall_things_throw_a_radar_shadow_to_the_west():
    sigma0 = imaging.backscatter(with_building(street_angle=0.0), np.random.default_rng(0))
    assert sigma0[100:120, 99].mean() < 0.6 * sigma0[100:120, 90].mean()
    assert sigma0[100:120, 120].mean() > 0.6 * sigma0[100:120, 130].mean()


def test_slopes_that_face_the_sun_are_brighter():
    south = np.broadcast_to(np.arange(SIZE)[:, None] * 10.0, (SIZE, SIZE))
    sunny, level, shady = (
        imaging.optical_image(ground("sand", height=slope * south), np.random.default_rng(0)).mean()
        for slope in (-0.2, 0.0, 0.2)
    )
    assert sunny > level + 0.03 > shady + 0.06


def test_optical_draws_differ_by_the_variance_reported():
    land = make_scene(0).landscape
    one, other = (imaging.optical_image(land, np.random.default_rng(seed)) for seed in (1, 2))
    variance = statistics.irreducible_variance(0, renderings=4)
    assert ((one - other) ** 2).mean() == pytest.approx(2 * variance, rel=0.5)


def test_linear_floor_beats_the_mean_colour():
    scenes = [make_scene(number) for number in range(3)]
    floor, constant = statistics.linear_floor(scenes[:2], scenes[:2], side=3)
    assert floor.shape == constant.shape == (32,)
    assert floor.mean() < constant.mean()


def test_statistics_command_prints_all_numbers(capsys):
    statistics.main(["--train_scenes=1", "--test_scenes=1", "--renderings=2", "--window=3"])
    printed = capsys.readouterr().out
    for line in ("irreducible variance", "3 x 3 linear", "the mean colour", "number of looks", "terrain", "season"):
        assert line in printed


def test_drawing_speaks_of_no_download(tmp_path, capfd):
    preparation.prepare("simulated/tiny", data_dir=tmp_path)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "ownload" not in captured.err and "examples" not in captured.err
