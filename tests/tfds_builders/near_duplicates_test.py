import logging

import numpy as np
import pytest
from PIL import Image

from tfds_builders import files, near_duplicates, parallel

SIZE = 32


class Form(files.EightBit):
    """Remembers what was decoded."""

    def read(self, path):
        READ.append(path.stem)
        return super().read(path)


READ: list[str] = []
FORM = Form(size=SIZE, mode="L")


@pytest.fixture(autouse=True)
def nothing_read():
    READ.clear()


@pytest.fixture(name="images")
def image_writer(tmp_path):
    """Writes images and gives them as ``match`` takes them; hashes are those of ``hashes``, or their own."""

    def write(values, hashes=None):
        found = []
        for name, image in values.items():
            Image.fromarray(image).save(tmp_path / f"{name}.png")
            facts = files.image_facts(image[..., None])
            if hashes is not None:
                facts = facts._replace(fingerprint=hashes[name])
            found.append((name, tmp_path / f"{name}.png", facts))
        return near_duplicates.distinct(found)

    return write


def noise(seed):
    return np.random.default_rng(seed).integers(256, size=(SIZE, SIZE), dtype=np.uint8)


def match(first, second, **options):
    matches, candidates = near_duplicates.match(first, second, FORM, title="images", **options)
    return {(name, found.second.ids[0]) for found in matches for name in found.first.ids}, candidates


def test_equal_images_are_found_without_decoding_however_many(images):
    copies = {f"{place}{number}": noise(1) for place in "ab" for number in range(100)}
    first = images({name: copies[name] for name in copies if name < "b"} | {"other": noise(2)})
    second = images({name: copies[name] for name in copies if name > "b"})
    assert len(first) == 2 and len(second) == 1
    found, candidates = match(first, second)
    assert found == {(f"a{number}", "b0") for number in range(100)} and candidates == 0 and not READ


def test_images_of_one_colour_are_left_out():
    flat = files.image_facts(np.full((SIZE, SIZE, 1), 3, np.uint8))
    assert near_duplicates.distinct([("a", None, flat)]) == {}


def crowd(images, count):
    """Two sets of images with equal hashes, of which those with the same number show the same."""
    values = {number: noise(number) for number in range(count)}
    first = {f"a{number}": image for number, image in values.items()}
    second = {f"b{number}": np.minimum(image, 250) for number, image in values.items()}
    return [images(these, dict.fromkeys(these, 5)) for these in (first, second)]


@pytest.mark.parametrize("held", [1000, 7])
def test_every_candidate_of_a_crowd_is_looked_at(images, monkeypatch, held):
    monkeypatch.setattr(near_duplicates, "_HELD", held)
    monkeypatch.setattr(near_duplicates, "_TASK_PIXELS", 3 * SIZE * SIZE)
    first, second = crowd(images, 8)
    found, candidates = match(first, second)
    assert found == {(f"a{number}", f"b{number}") for number in range(8)} and candidates == 64


def test_task_decodes_each_image_once(images):
    first, second = crowd(images, 8)
    match(first, second)
    assert sorted(READ) == sorted({*READ}) and len(READ) == 16


def test_image_that_is_found_is_not_looked_at_again(images):
    values = {f"b{number}": np.clip(noise(1), number, 255) for number in range(1, 9)}
    first, second = images({"a": noise(1)}, {"a": 3}), images(values, dict.fromkeys(values, 3))
    found, candidates = match(first, second)
    assert found == {("a", "b1")} and candidates == 8 and sorted(READ) == ["a", "b1"]


def test_spectra_in_memory_are_bounded(images, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_TASK_PIXELS", 3 * SIZE * SIZE)
    tasks = []
    original = near_duplicates._look

    def look(task):
        tasks.append(task)
        return original(task)

    monkeypatch.setattr(near_duplicates, "_look", look)
    match(*crowd(images, 8))
    assert [len(task.first) for task in tasks] == [3, 3, 2]
    assert sum(len(task.candidates) for task in tasks) == 64
    monkeypatch.setattr(near_duplicates, "_TASK_CANDIDATES", 5)
    tasks.clear()
    assert match(*crowd(images, 8))[1] == 64
    assert max(len(task.candidates) for task in tasks) == 5 and sum(len(task.candidates) for task in tasks) == 64


def test_many_candidates_are_announced_with_the_image_that_has_most(images, monkeypatch, caplog):
    first, second = crowd(images, 4)
    lonely = near_duplicates.Distinct(next(iter(first.values())).source, 2**40 - 1, ["lonely"])
    monkeypatch.setattr(near_duplicates, "_MANY", 15)
    with caplog.at_level(logging.WARNING):
        match(first | {b"lonely": lonely}, second)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(
        "images: 16 pairs of images in different splits have similar hashes; all of them are decoded"
    )
    assert "The image with most, 4, is /" in said


def test_processes_find_the_same(images, monkeypatch):
    monkeypatch.setattr(parallel, "_SHARE", 1)
    monkeypatch.setattr(near_duplicates, "_TASK_PIXELS", 2 * SIZE * SIZE)
    first, second = crowd(images, 5)
    form = files.EightBit(size=SIZE, mode="L")  # Can be pickled.
    one, two = (near_duplicates.match(first, second, form, title="images", processes=count) for count in (1, 2))
    assert one == two and len(one[0]) == 5


def test_detail_ignores_brightness_and_contrast_and_has_norm_one():
    image = noise(3).astype(np.float32)[..., None]
    band = near_duplicates.detail(image)
    np.testing.assert_allclose(np.linalg.norm(band), 1, rtol=1e-5)
    np.testing.assert_allclose(near_duplicates.detail(0.5 * image + 20), band, atol=1e-5)
    assert not near_duplicates.detail(np.full((8, 8, 1), 3.0)).any()
