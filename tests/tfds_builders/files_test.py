import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from tfds_builders import files, finding, parallel

FORMATS = {"sar": files.EightBit(size=16, mode="L"), "optical": files.EightBit(size=16, mode="RGB")}


def layout(path):
    """`sar/ID.png` with `optical/ID.png`, all of one scene."""
    if path.parent.name not in ("sar", "optical") or path.suffix != ".png":
        return None
    return files.Patch(kind=path.parent.name, id=path.stem, scene="1")


@pytest.fixture(autouse=True)
def processes_for_few_items(monkeypatch):
    monkeypatch.setattr(parallel, "_SHARE", 10)


@pytest.fixture(name="write_pair")
def pair_writer(tmp_path, write_image):
    def write(name):
        write_image(tmp_path / "sar" / f"{name}.png", mode="L", size=16)
        write_image(tmp_path / "optical" / f"{name}.png", mode="RGB", size=16)

    return write


def read(root, processes=1):
    """The pairs, their facts, and the reason for every bad file by its path below the folder."""
    pairs, bad = finding.find_pairs(root, layout)
    checked = files.check_pairs(pairs, FORMATS, processes=processes)
    return pairs, checked.facts, {path.relative_to(root).as_posix(): reason for path, reason in bad + checked.bad}


def test_pairs_are_found_by_id_and_sorted(tmp_path, write_pair):
    for name in "cab":
        write_pair(name)
    pairs, facts, bad = read(tmp_path)
    assert [pair.patch.id for pair in pairs] == ["a", "b", "c"]
    assert pairs[0].sar == tmp_path / "sar" / "a.png" and pairs[0].optical == tmp_path / "optical" / "a.png"
    assert facts.keys() == {"a", "b", "c"} and not bad


def test_links_are_followed_and_what_does_not_belong_is_passed_over(tmp_path, write_pair, write_image):
    write_pair("a")
    (tmp_path / "linked").mkdir()
    for kind in ("sar", "optical"):
        (tmp_path / "linked" / kind).symlink_to(tmp_path / kind, target_is_directory=True)
    write_image(tmp_path / "linked" / "overview.png", mode="RGB")
    (tmp_path / "sar" / "._a.png").write_bytes(b"macOS")
    (tmp_path / "sar" / "Thumbs.db").write_bytes(b"Windows")
    (tmp_path / "linked" / ".cache").mkdir()
    (tmp_path / "linked" / ".cache" / "sar").symlink_to(tmp_path / "sar", target_is_directory=True)
    [pair], _, bad = read(tmp_path / "linked")
    assert pair.sar == tmp_path / "linked" / "sar" / "a.png" and not bad


def test_terrain_is_taken_from_either_file(tmp_path, write_pair):
    write_pair("a")

    def with_terrain(path):
        patch = layout(path)
        return patch._replace(terrain="urban") if patch.kind == "optical" else patch

    [pair], _ = finding.find_pairs(tmp_path, with_terrain)
    assert (pair.patch.kind, pair.patch.terrain) == ("sar", "urban")


@pytest.mark.parametrize("processes", [1, 2])
def test_all_bad_files_are_found_with_the_reason_in_one_pass(tmp_path, write_pair, write_image, processes):
    names = ("good", "lone_sar", "lone_optical", "empty", "broken", "truncated", "small", "colour", "grey", "deep")
    # Enough for several chunks, so that processes have something to share.
    for name in (*names, "folder", "gone", *(f"more_{number}" for number in range(30))):
        write_pair(name)
    (tmp_path / "optical" / "lone_sar.png").unlink()
    (tmp_path / "sar" / "lone_optical.png").unlink()
    (tmp_path / "sar" / "empty.png").write_bytes(b"")
    (tmp_path / "sar" / "broken.png").write_bytes(b"no image")
    truncated = tmp_path / "optical" / "truncated.png"
    truncated.write_bytes(truncated.read_bytes()[:-40])
    write_image(tmp_path / "sar" / "small.png", mode="L", size=8)
    write_image(tmp_path / "sar" / "colour.png", mode="RGB", size=16)
    write_image(tmp_path / "optical" / "grey.png", mode="L", size=16)
    Image.fromarray(np.full((16, 16), 300, np.uint16)).save(tmp_path / "sar" / "deep.png")
    write_image(tmp_path / "copy" / "sar" / "good.png", mode="L", size=16)
    (tmp_path / "optical" / "notes.txt").write_text("no image")
    (tmp_path / "sar" / "gone.png").unlink()
    (tmp_path / "sar" / "gone.png").symlink_to(tmp_path / "nowhere")

    pairs, facts, found = read(tmp_path, processes)
    assert facts.keys() == {"good", "folder", *(f"more_{number}" for number in range(30))}
    assert len(pairs) == len(facts) + 8
    unreadable = {path for path in found if found[path].startswith("unreadable: ")}
    assert unreadable == {"sar/broken.png", "optical/truncated.png", "sar/gone.png"}
    assert {path: reason for path, reason in found.items() if path not in unreadable} == {
        "sar/lone_sar.png": "no optical partner",
        "optical/lone_optical.png": "no SAR partner",
        "sar/empty.png": "empty, 0 bytes",
        "sar/small.png": "8 x 8 pixels of mode L, expected 16 x 16 of mode L",
        "sar/colour.png": "16 x 16 pixels of mode RGB, expected 16 x 16 of mode L",
        "optical/grey.png": "16 x 16 pixels of mode L, expected 16 x 16 of mode RGB",
        "sar/deep.png": "16 x 16 pixels of mode I;16, expected 16 x 16 of mode L",
        "sar/good.png": f"the same patch as {tmp_path}/copy/sar/good.png",
        "optical/notes.txt": "not an image of this dataset, among its images",
    }


def test_unreadable_folder_is_bad(tmp_path, write_pair, monkeypatch):
    write_pair("a")
    locked = tmp_path / "locked"
    locked.mkdir()
    scan = os.scandir

    def refuse(path):  # Tests may run as root, for whom no folder is locked.
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert read(tmp_path)[2] == {"locked": "unreadable folder: Permission denied"}


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (12_000, "12000 x 12000 pixels of mode L, expected 16 x 16 of mode L"),
        (14_000, ".*could be decompression bomb.*"),
    ],
)
def test_decompression_bomb_is_never_unfolded(tmp_path, write_pair, monkeypatch, side, reason):
    write_pair("a")
    Image.new("L", (side, side)).save(tmp_path / "sar" / "a.png")  # some 0.2 MB that would become 0.2 GB
    load = ImageFile.ImageFile.load

    def load_small(image):
        assert image.size == (16, 16), "decoded"
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load_small)
    [found] = read(tmp_path)[2].values()
    assert re.fullmatch(reason, found)


def test_jpeg_under_the_name_of_a_png_is_bad(tmp_path, write_pair):
    write_pair("a")
    Image.new("L", (16, 16)).save(tmp_path / "sar" / "a.png", format="JPEG")
    assert read(tmp_path)[2] == {"sar/a.png": "unreadable: not an image of the expected kind"}


def test_image_that_decoders_show_differently_is_bad(tmp_path, write_pair):
    # TFDS decodes by OpenCV where that is installed, which obeys the tag, and by Pillow, which does not.
    for name in "abc":
        write_pair(name)
    exif = Image.Exif()
    exif[274] = 6
    for name, options in (("a", {"exif": exif}), ("b", {"transparency": 3})):
        path = tmp_path / "sar" / f"{name}.png"
        with Image.open(path) as image:
            image.save(path, **options)
    found = read(tmp_path)[2]
    assert found.keys() == {"sar/a.png", "sar/b.png"}
    assert all("transparent pixels or an orientation tag" in reason for reason in found.values())


def test_constant_image_is_bad(tmp_path, write_pair):
    write_pair("a")
    write_pair("b")
    Image.new("L", (16, 16), 7).save(tmp_path / "sar" / "a.png")
    assert read(tmp_path)[2] == {"sar/a.png": "every pixel has the value 7, expected an image"}


@pytest.mark.parametrize("processes", [1, 2])
def test_values_of_all_images_are_counted(tmp_path, write_pair, write_image, processes):
    written = [write_image(tmp_path / "sar" / f"{n}.png", mode="L", size=16) for n in range(40)]
    for number in range(40):
        write_image(tmp_path / "optical" / f"{number}.png", mode="RGB", size=16)
    pairs, _ = finding.find_pairs(tmp_path, layout)
    tallies = files.check_pairs(pairs, FORMATS, processes=processes).tallies
    np.testing.assert_array_equal(tallies["sar"].levels[0], np.bincount(np.ravel(written), minlength=256))
    assert tallies["optical"].levels.shape == (3, 256) and tallies["optical"].levels.sum() == 40 * 3 * 256


def test_message_lists_all_bad_files(tmp_path):
    bad = [files.BadFile(tmp_path / name, f"reason {name}") for name in "ba"]
    message = str(files.BadFilesError(bad, root=tmp_path))
    assert message.index(f"{tmp_path}/a: reason a") < message.index(f"{tmp_path}/b: reason b")
    assert f"2 bad files under {tmp_path}" in message and "--skip_bad" in message


def test_file_goes_in_unchanged_and_grey_in_colour_becomes_grey(tmp_path, write_pair, write_image):
    write_pair("a")
    path = tmp_path / "sar" / "a.png"
    assert FORMATS["sar"].stored(path) == path

    values = write_image(path, mode="L", size=16)
    Image.fromarray(np.repeat(values, 3, axis=-1)).save(path)
    np.testing.assert_array_equal(FORMATS["sar"].read(path), values)
    (tmp_path / "grey.png").write_bytes(FORMATS["sar"].stored(path))
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), values[..., 0])


def test_facts_hold_the_moments_and_a_hash_that_survives_small_changes():
    rng = np.random.default_rng(0)
    values = rng.integers(40, 200, size=(8, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    facts = files.image_facts(values)
    np.testing.assert_allclose(np.array(facts.total) / facts.pixels, values.mean(axis=(0, 1)))
    np.testing.assert_allclose(
        np.array(facts.total_square) / facts.pixels, np.square(values, dtype=float).mean(axis=(0, 1))
    )
    brighter = files.image_facts(values + np.uint8(30))
    other = files.image_facts(rng.integers(256, size=(8, 8, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1))
    assert (facts.fingerprint ^ brighter.fingerprint).bit_count() <= 4
    assert (facts.fingerprint ^ other.fingerprint).bit_count() >= 16
    assert files.image_facts(np.full((16, 16, 1), 7, np.uint8)).fingerprint is None
