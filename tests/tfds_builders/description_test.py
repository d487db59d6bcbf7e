import hashlib
import json

import numpy as np
import pytest
import rasterio
import tensorflow_datasets as tfds
from PIL import Image

from tfds_builders import gf3, pairs, prepare, sen12
from tfds_builders.description import ImageDescription, content_digest, image_digest

KEYS = {"bands", "quantity", "scale", "limits", "dtype", "nodata", "masked_value"}


@pytest.fixture(name="script", scope="session")
def dummy_script(dummy):
    return dummy("pairs")


def recomputed(builder):
    """The digests of the splits, from what the prepared dataset gives back."""

    def examples(split):
        for example in builder.as_data_source(split):
            yield example["id"].decode(), image_digest(example["sar"]), image_digest(example["optical"])

    return {split: content_digest(examples(split)) for split in builder.info.splits}


def check(builder):
    """Metadata on the disk have the form of the contract and describe the stored images; returns them."""
    kept = tfds.builder_from_directory(builder.data_dir)
    metadata = kept.info.metadata
    for kind, channels in (("sar", kept.info.features["sar"].shape[-1]), ("optical", 3)):
        image = metadata["images"][kind]
        assert image.keys() == KEYS and image["masked_value"] == 0
        assert len(image["bands"]) == channels
        assert image["limits"] is None or len(image["limits"]) == channels
    assert metadata["content"] == recomputed(kept)
    return metadata


def test_digest_of_an_image_is_that_of_its_shape_and_values():
    values = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    expected = hashlib.sha256(b"\2\0\0\0\4\0\0\0\3\0\0\0" + bytes(range(24))).digest()
    assert image_digest(values) == expected
    assert image_digest(np.asfortranarray(values)) == expected
    assert image_digest(np.ma.array(values, mask=values > 3)) == expected
    assert image_digest(values.reshape(4, 2, 3)) != expected


def test_digest_of_a_split_depends_on_ids_and_both_images_but_not_on_the_order():
    a, b = (bytes([n]) * 32 for n in (1, 2))
    whole = content_digest([("x", a, b), ("y", b, a)])
    x, y = (hashlib.sha256(name).digest() for name in (b"x", b"y"))
    assert whole == hashlib.sha256(x + a + b + y + b + a).hexdigest()
    assert content_digest([("y", b, a), ("x", a, b)]) == whole
    others = [[("x", b, a), ("y", b, a)], [("y", a, b), ("x", b, a)], [("x", a, b)], [("x", a, b), ("z", b, a)]]
    assert len({whole, *map(content_digest, others)}) == 5


def test_description_becomes_plain_json():
    assert ImageDescription(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32").as_json() == {
        "bands": ["VV"],
        "quantity": "dB",
        "scale": "file",
        "limits": [[-25.0, 0.0]],
        "dtype": "float32",
        "nodata": None,
        "masked_value": 0,
    }


def test_simulated_says_what_it_is(tmp_path):
    metadata = check(prepare.prepare("simulated/tiny", data_dir=tmp_path))
    assert metadata["ground_sampling_m"] == 10
    assert metadata["content"].keys() == {"train", "validation", "test"}
    radar = ImageDescription(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32")
    assert metadata["images"]["sar"] == radar.as_json()
    assert metadata["images"]["optical"] == ImageDescription(bands=("red", "green", "blue")).as_json()


def test_sen12_says_what_it_is(tmp_path, write_sen12, build):
    write_sen12(tmp_path / "raw", season="ROIs1158_spring", scene=0, patch=1)
    builder = sen12.Builder(data_dir=tmp_path / "prepared", file_format="array_record")
    metadata = check(build(builder, tmp_path / "raw"))
    assert metadata["ground_sampling_m"] == 10
    assert metadata["images"]["sar"] == ImageDescription(bands=("VV",)).as_json()
    assert metadata["images"]["optical"] == ImageDescription(bands=("red", "green", "blue")).as_json()


@pytest.mark.parametrize(
    ("collection", "metres"), [("qxs_saropt", 1), ("osdataset", 1), ("osdataset_256", 1), ("three_mos", 3.5)]
)
def test_gf3_says_what_it_is(tmp_path, dummy, build, collection, metres):
    dummy("gf3")["write"](tmp_path / "raw", collection=collection, numbers=[1, 2])
    builder = gf3.Builder(config=collection, data_dir=tmp_path / "prepared", file_format="array_record")
    metadata = check(build(builder, tmp_path / "raw"))
    assert metadata["ground_sampling_m"] == metres
    assert metadata["images"]["sar"] == ImageDescription(bands=("band 1",)).as_json()


def write_tiff(path, values, *, names=(), metres=None, crs="EPSG:32631"):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, count = values.shape
    options = {"height": height, "width": width, "count": count, "dtype": values.dtype}
    transform = rasterio.Affine(metres or 1, 0, 5e5, 0, -(metres or 1), 4e6)
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **options) as file:
        file.write(np.moveaxis(values, -1, 0))
        if names:
            file.descriptions = names


def own(tmp_path, settings, name="mine"):
    return prepare.prepare(f"pairs/{name}", data_dir=tmp_path / "data", manual_dir=tmp_path / "raw", settings=settings)


def settings(sar="-25,0", scale="file", bands=(3, 2, 1)):
    optical = pairs.Reading(range="0,3500", bands=bands)
    return pairs.Settings(sar=pairs.Reading(range=sar, scale=scale), optical=optical)


def test_own_pairs_say_what_they_are(tmp_path, script):
    for name in "ab":
        write_tiff(tmp_path / "raw/sar" / f"{name}.tif", script["decibels"](ord(name)), names=("VV", "VH"), metres=20)
        optical = script["reflectances"](ord(name))
        write_tiff(tmp_path / "raw/optical" / f"{name}.tif", optical, names=("B2", "B3", "B4", "B8"), metres=20)
    metadata = check(own(tmp_path, settings("-25,0;-32.5,0")))
    assert metadata["ground_sampling_m"] == 20
    assert metadata["images"]["sar"] == {
        **ImageDescription(bands=("VV", "VH"), quantity="dB", dtype="float32").as_json(),
        "limits": [[-25, 0], [-32.5, 0]],
    }
    assert metadata["images"]["optical"] == {
        **ImageDescription(bands=("B4", "B3", "B2"), quantity="unknown", dtype="uint16").as_json(),
        "limits": [[0, 3500]] * 3,
    }


@pytest.mark.parametrize(("scale", "quantity"), [("linear", "linear"), ("amplitude", "amplitude")])
def test_own_pairs_state_the_quantity_in_the_files(tmp_path, script, scale, quantity):
    write_tiff(tmp_path / "raw/sar/a.tif", 10 ** (script["decibels"](1, bands=1) / 10))
    write_tiff(tmp_path / "raw/optical/a.tif", script["reflectances"](2, bands=3))
    image = check(own(tmp_path, settings("-60,10", scale)))["images"]["sar"]
    assert (image["quantity"], image["scale"], image["limits"]) == (quantity, scale, [[-60, 10]])


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({"crs": "EPSG:32631", "metres": 10}, 10),
        ({"crs": "EPSG:2225", "metres": 10}, 3.04801),  # US survey feet
        ({"crs": "EPSG:4326", "metres": 1e-4}, None),
        ({"crs": None}, None),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_pixel_size_is_known_where_the_georeference_is_in_metres(tmp_path, script, places, expected):
    for name in "ab":
        write_tiff(tmp_path / f"raw/sar/{name}.tif", script["decibels"](1), **places)
        write_tiff(tmp_path / f"raw/optical/{name}.tif", script["reflectances"](1), **places)
    found = pairs.configure("mine", tmp_path / "raw", settings()).ground_sampling_m
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-5))
    write_tiff(tmp_path / "raw/sar/b.tif", script["decibels"](1), metres=7)
    assert pairs.configure("mine", tmp_path / "raw", settings()).ground_sampling_m is None


def test_content_depends_on_pixels_and_ids_alone(tmp_path, script, write_image):
    script["write"](tmp_path / "raw")
    first = own(tmp_path, None, "first").info.metadata["content"]

    # Elsewhere, in another container, compressed otherwise.
    (tmp_path / "raw").rename(tmp_path / "moved")
    for path in (tmp_path / "moved").rglob("*.png"):
        with Image.open(path) as image:
            image.save(path.with_suffix(".tif") if path.parent.name == "sar" else path, compress_level=0)
        if path.parent.name == "sar":
            path.unlink()
    (tmp_path / "moved").rename(tmp_path / "raw")
    assert own(tmp_path, None, "second").info.metadata["content"] == first

    write_image(next((tmp_path / "raw/optical").iterdir()), mode="RGB", size=16, seed=1)
    changed = own(tmp_path, None, "third").info.metadata["content"]
    assert sum(changed[split] != first[split] for split in first) == 1


def test_dataset_without_these_keys_is_still_read(tmp_path, script):
    script["write"](tmp_path / "raw")
    builder = own(tmp_path, None)
    path = builder.data_path / "metadata.json"
    old = json.loads(path.read_text())
    for key in ("images", "ground_sampling_m", "content"):
        del old[key]
    path.write_text(json.dumps(old))
    again = prepare.prepare("pairs/mine", data_dir=tmp_path / "data")
    assert "images" not in again.info.metadata
    assert "pairs/mine" in prepare.summary(again)
    assert len(again.as_data_source(next(iter(again.info.splits))))
