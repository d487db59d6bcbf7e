import os
import re
import unicodedata
from pathlib import Path

import pytest

from tfds_builders import files, finding
from tfds_builders.imagery import formats

SIDE_FILES = (
    "tif.xml tif.aux.xml tif.ovr tif.msk tfw tfwx tifw qml qmd tif.vat.dbf tif.vat.cpg rrd hdr rpb IMD aux prj "
    "points tif.md5 txt csv json"
)
"""Endings of what GDAL, ArcGIS, QGIS, ENVI, SNAP and vendors leave beside ``NAME.tif``."""


def layout(path):
    """``sar/NAME.tif`` or .png with ``optical/NAME.tif`` or .png, below any folder, which is the scene."""
    if path.parent.name not in files.KINDS or path.suffix.lower() not in (".tif", ".png"):
        return None
    return files.Patch(kind=path.parent.name, id=path.stem, scene=path.parent.parent.name)


@pytest.fixture(name="touch")
def file_maker(tmp_path):
    def touch(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return touch


def found(root):
    """The ids, and the reason of every bad file by its name below the folder."""
    pairs, bad = finding.find_pairs(root, layout)
    return [pair.patch.id for pair in pairs], {path.relative_to(root).as_posix(): reason for path, reason in bad}


@pytest.mark.parametrize("ending", SIDE_FILES.split())
def test_side_file_of_an_image_is_passed_over(touch, ending):
    touch("sar/a.tif", "optical/a.tif", f"sar/a.{ending}")
    assert found(touch()) == (["a"], {})


@pytest.mark.parametrize(
    "name",
    ["Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store", "._a.tif", ".nfs0001", "~$a.docx", "a.tif~",
     "a.tif:Zone.Identifier", "Icon\r", "@eaDir/sar/a.tif", "#recycle/sar/a.tif", "$RECYCLE.BIN/sar/a.tif",
     "__MACOSX/sar/a.tif", "System Volume Information/sar/a.tif", "lost+found/sar/a.tif",
     "README.txt", "LICENSE", "readme.md", "md5sums.txt", "index.shp", "project.qgz", "README_first.pdf"],
)  # fmt: skip
def test_litter_and_documents_are_passed_over(touch, name):
    assert found(touch("sar/a.tif", "optical/a.tif", f"sar/{name}")) == (["a"], {})


@pytest.mark.parametrize("name", ["notes.txt", "b.tif.part", "overview.xlsx", "b", "labels.csv"])
def test_anything_else_among_images_is_named(touch, name):
    root = touch("sar/a.tif", "optical/a.tif", f"sar/{name}")
    assert found(root) == (["a"], {f"sar/{name}": "not an image of this dataset, among its images"})


@pytest.mark.parametrize("suffix", [".jp2", ".webp", ".npy", ".bmp", ".img", ".JP2", ".nc", ".zip", ".jpg"])
def test_image_in_a_format_that_is_not_read_is_named_with_its_partner(touch, suffix):
    root = touch("sar/a.tif", f"optical/a{suffix}")
    how = f"; {formats.conversion(Path(f'a{suffix}'))}" if suffix not in (".zip", ".jpg") else ""
    assert found(root) == (
        [],
        {
            f"optical/a{suffix}": f"{suffix} files are not read: convert them to .png or .tif{how}",
            "sar/a.tif": f"no optical partner in a format that is read: there is {root}/optical/a{suffix}",
        },
    )


def test_formats_that_are_not_read_do_not_matter_elsewhere(touch):
    assert found(touch("sar/a.tif", "optical/a.tif", "masks/a.npy", "all.zip")) == (["a"], {})


def test_names_pair_across_unicode_forms(touch):
    composed, decomposed = (unicodedata.normalize(form, "São_影像_é") for form in ("NFC", "NFD"))
    assert composed != decomposed
    root = touch(f"{decomposed}/sar/{composed}.tif", f"{decomposed}/optical/{decomposed}.tif")
    [pair], bad = finding.find_pairs(root, layout)
    assert (pair.patch.id, pair.patch.scene, bad) == (composed, composed, [])
    touch(f"{decomposed}/sar/{decomposed}.tif")
    [[path, reason]] = finding.find_pairs(root, layout)[1]
    assert reason.startswith("the same patch as ") and path.name != Path(reason).name


def test_names_that_are_not_utf8_are_bad(touch):
    root = touch("sar/a.tif", "optical/a.tif")
    for name in (b"sar/S\xe3o.tif", b"optical/S\xe3o.tif"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(b"x")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff"))).mkdir()
    ids, bad = found(root)
    assert ids == ["a"] and len(bad) == 3
    assert set(bad.values()) == {"the name is not UTF-8: rename it, or unpack it as UTF-8"}


def test_partner_of_another_case_is_named(touch):
    root = touch("sar/Porto.tif", "optical/porto.tif")
    why = "partner of this spelling: upper and lower case differ in"
    assert found(root)[1] == {
        "sar/Porto.tif": f"no optical {why} {root}/optical/porto.tif",
        "optical/porto.tif": f"no SAR {why} {root}/sar/Porto.tif",
    }


def test_links_to_a_folder_above_end(touch):
    root = touch("a/sar/x.tif", "a/optical/x.tif", "b/sar/y.tif", "b/optical/y.tif")
    (root / "a" / "sar" / "up").symlink_to(root, target_is_directory=True)
    (root / "a" / "all").symlink_to("..", target_is_directory=True)
    (root / "b" / "self").symlink_to("self")
    (root / "b" / "sar" / "z.tif").symlink_to("z.tif")
    pairs, bad = finding.find_pairs(root, layout)
    assert [pair.patch.id for pair in pairs] == ["x", "y"]
    # Each folder is reached once more by a link at most; the files are then the same patches.
    assert all(reason.startswith(("the same patch as", "no optical")) for _, reason in bad) and len(bad) < 20


def test_folder_that_is_linked_twice_gives_both(touch):
    root = touch("winter/sar/x.tif", "spring/sar/y.tif", "optical/x.tif", "optical/y.tif")
    for season in ("winter", "spring"):
        (root / season / "optical").symlink_to(root / "optical", target_is_directory=True)
    pairs, _ = finding.find_pairs(root / "winter", layout)
    assert [pair.optical for pair in pairs] == [root / "winter" / "optical" / "x.tif"]


def test_pipe_is_bad_and_never_opened(touch):
    root = touch("sar/a.tif", "optical/a.tif", "optical/b.tif")
    os.mkfifo(root / "sar" / "b.tif")
    assert found(root) == (["a"], {"sar/b.tif": "not a file", "optical/b.tif": "no SAR partner"})


def test_words_of_the_lists_are_lower_case():
    names = finding._SIDECARS | finding._UNREAD | finding._LITTER_FOLDERS
    assert all(name == name.lower() for name in names) and not finding._SIDECARS & finding._UNREAD
    assert all(re.fullmatch(r"\.\w+", name) for name in finding._SIDECARS | finding._UNREAD)
