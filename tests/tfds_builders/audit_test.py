import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tfds_builders import audit, files

SIZE = 64
FORMATS = {"sar": files.EightBit(size=SIZE, mode="L"), "optical": files.EightBit(size=SIZE, mode="RGB")}


def texture(seed, *, blur=1.0):
    """A random picture with structure of all scales, [SIZE + 8, SIZE + 8] uint8."""
    noise = np.random.default_rng(seed).standard_normal((SIZE + 8, SIZE + 8))
    values = sum(ndimage.gaussian_filter(noise, scale * blur, mode="wrap") * scale for scale in (0.7, 2, 6))
    low, high = np.percentile(values, (1, 99))
    return (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


@pytest.fixture(name="pair")
def pair_maker(tmp_path):
    """Writes a pair and returns it with the split and the scene it is meant for."""

    def make(name, *, sar, optical, scene):
        for kind, values in (("sar", sar), ("optical", np.repeat(optical[..., None], 3, axis=-1))):
            path = tmp_path / kind / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(values).save(path)
        return files.Pair(
            patch=files.Patch("sar", name, scene),
            sar=tmp_path / "sar" / f"{name}.png",
            optical=tmp_path / "optical" / f"{name}.png",
        )

    return make


def run(splits):
    pairs = [pair for members in splits.values() for pair in members]
    checked = files.check_pairs(pairs, FORMATS)
    assert not checked.bad
    return audit.audit(splits, checked.facts, FORMATS)


def crop(values, shift=0):
    return values[shift : shift + SIZE, shift : shift + SIZE]


def ordinary(pair):
    """Three splits of three unrelated pairs each."""
    return {
        split: [
            pair(
                f"{split}{n}",
                sar=crop(texture((n, place, 1))),
                optical=crop(texture((n, place, 2))),
                scene=f"{split}{n}",
            )
            for n in range(3)
        ]
        for place, split in enumerate(("train", "validation", "test"))
    }


def test_unrelated_images_are_clean(pair):
    found = run(ordinary(pair))
    assert found.clean and found.compared == 2 * 27
    assert found.pairs == found.scenes == {"train": 3, "validation": 3, "test": 3}


def test_scene_in_two_splits_is_found(pair):
    splits = ordinary(pair)
    for split in ("train", "test"):
        splits[split].append(
            pair(
                f"{split}_more",
                sar=crop(texture((split == "train", 7))),
                optical=crop(texture((split == "test", 8))),
                scene="7",
            )
        )
    found = run(splits)
    assert not found.clean and not found.near_duplicates
    assert found.shared_scenes == {"/7": ["train", "test"]}
    assert "/7: train, test" in found.table()


def brighter(values):
    return np.clip(values * 0.8 + 40, 0, 255).astype(np.uint8)


def recompressed(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, format="JPEG", quality=60)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("kind", ["sar", "optical"])
@pytest.mark.parametrize("change", [np.copy, brighter, recompressed, "shift"])
def test_image_of_another_split_is_found(pair, kind, change):
    splits = ordinary(pair)
    original = texture(5)
    copy = crop(original, 1) if change == "shift" else change(crop(original))
    images = {"train": {kind: crop(original)}, "test": {kind: copy}}
    for place, (split, given) in enumerate(images.items()):
        fresh = {"sar": crop(texture((place, 21))), "optical": crop(texture((place, 22)))}
        splits[split].append(pair(f"{split}_twin", **(fresh | given), scene=f"{split}_twin"))
    found = run(splits)
    [duplicate] = found.near_duplicates
    assert (duplicate.kind, duplicate.first, duplicate.second) == (kind, "train_twin", "test_twin")
    assert (duplicate.first_split, duplicate.second_split) == ("train", "test")
    assert f"{kind} of train_twin (train) and of test_twin (test)" in found.table()

    kept, dropped = audit.without_duplicates(splits, found)
    assert list(dropped) == ["train_twin"]
    assert run(kept).clean and sum(map(len, kept.values())) == 10


def test_same_image_within_a_split_is_no_leak(pair):
    splits = ordinary(pair)
    for name in ("a", "b"):
        splits["train"].append(pair(name, sar=crop(texture(31)), optical=crop(texture(32)), scene=name))
    assert run(splits).clean


def test_alike_in_the_coarse_is_not_the_same_image(pair):
    # One coast twice: hashes agree, the ground does not.
    coast = ndimage.gaussian_filter(texture(77).astype(float), 4)[:SIZE, :SIZE] * 1.6
    splits = {}
    for seed, split in enumerate(("train", "test")):
        noise = [np.random.default_rng((seed, part)).integers(-60, 60, (SIZE, SIZE)) for part in range(2)]
        sar, optical = ((coast + n).clip(0, 255).astype(np.uint8) for n in noise)
        splits[split] = [pair(split, sar=sar, optical=optical, scene=split)]
    found = run(splits)
    assert found.candidates > 0 and found.clean


def test_images_of_one_colour_are_not_compared(pair):
    flat = np.full((SIZE, SIZE), 9, np.uint8)
    splits = {s: [pair(s, sar=flat, optical=flat, scene=s)] for s in ("train", "test")}
    # Preparation lists such images as bad; the audit has nothing to compare in them either.
    images = [files.image_facts(np.full((SIZE, SIZE, channels), 9, np.uint8)) for channels in (1, 3)]
    facts = dict.fromkeys(splits, files.Facts(*images))
    found = audit.audit(splits, facts, FORMATS)
    assert not found.near_duplicates and found.compared == 0


def test_report_is_json_and_says_what_is_empty(pair):
    found = run({"test": ordinary(pair)["test"]})
    report = json.loads(json.dumps(found.as_json()))
    assert report["clean"] is True and report["rule"]["max_distance"] == audit.MAX_DISTANCE
    assert next(line for line in found.table().splitlines() if "empty" in line).startswith("train")


def test_disk_paths_are_not_in_the_report(pair, tmp_path):
    # A report is handed on with the dataset.
    assert os.fspath(tmp_path) not in json.dumps(run(ordinary(pair)).as_json())
