import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.evaluation.gallery import Gallery

MADE_BY = {"network": "a", "steps": 4}


def image(value: int) -> np.ndarray:
    return np.full((3, 4, 3), value, np.uint8)


@pytest.fixture
def gallery(tmp_path):
    opened = Gallery(tmp_path / "student-4")
    opened.open(made_by=MADE_BY)
    return opened


def test_translations_come_back_as_they_were(gallery):
    for name, value in (("b", 7), ("a", 200)):
        gallery.write(name, image(value), source="s")
    np.testing.assert_array_equal(gallery.read(["a", "b"]), [image(200), image(7)])
    assert gallery.missing(["a", "c", "b", "d"], ["s"] * 4) == [1, 3]
    with Image.open(gallery.directory / "a.png") as stored:
        assert (stored.mode, stored.size) == ("RGB", (4, 3))


def test_same_maker_goes_on_and_another_one_begins_again(gallery):
    gallery.write("a", image(1), source="s")
    gallery.speed = {"ms_per_image": 3.0}
    gallery.open(made_by=MADE_BY)
    assert gallery.missing(["a"], ["s"]) == [] and gallery.speed == {"ms_per_image": 3.0}
    gallery.open(made_by={**MADE_BY, "network": "b"})
    assert gallery.missing(["a"], ["s"]) == [0] and gallery.speed == {}


def test_translations_of_an_unknown_maker_are_not_used(gallery):
    gallery.write("a", image(1), source="s")
    (gallery.directory / "about.json").unlink()
    gallery.open(made_by=MADE_BY)
    assert gallery.missing(["a"], ["s"]) == [0]


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "ä ü", "x" * 300, "y" * 299 + "z", "CON:1"])
def test_any_id_is_a_file_of_its_own(gallery, name):
    gallery.write(name, image(9), source="s")
    assert gallery.missing([name, name + "'"], ["s", "s"]) == [1]
    assert [path.parent for path in gallery.directory.glob("*.png")] == [gallery.directory]
    np.testing.assert_array_equal(gallery.read([name])[0], image(9))


def test_long_ids_that_differ_at_the_end_are_two_files(gallery):
    assert gallery.path("x" * 300) != gallery.path("x" * 299 + "y")


def test_damaged_translation_is_named(gallery):
    gallery.path("a").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"a\.png cannot be read .*Delete it"):
        gallery.read(["a"])


def test_translation_of_another_radar_image_is_missing(gallery):
    for name, source in (("a", "1"), ("b", "2")):
        gallery.write(name, image(1), source=source)
    Image.fromarray(image(1)).save(gallery.path("c"))  # By another tool.
    assert gallery.missing(["a", "b", "c"], ["1", "1", "1"]) == [1, 2]


@pytest.mark.parametrize("name", ["about.json", "speed.json"])
def test_torn_notes_are_as_if_they_were_not_there(gallery, name):
    gallery.write("a", image(1), source="s")
    gallery.speed = {"ms_per_image": 3.0}
    (gallery.directory / name).write_text('{"network": ')
    gallery.open(made_by=MADE_BY)
    assert gallery.speed == {}
    assert gallery.missing(["a"], ["s"]) == ([0] if name == "about.json" else [])


def test_leftover_of_a_killed_evaluation_is_removed(gallery):
    gallery.write("a", image(1), source="s")
    (gallery.directory / ".0123.partial").write_bytes(b"half")
    gallery.open(made_by=MADE_BY)
    assert sorted(path.name for path in gallery.directory.iterdir()) == ["a.png", "about.json"]
