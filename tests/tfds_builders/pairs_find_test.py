import re
import unicodedata

import pytest

from tfds_builders import files, prepare, splits
from tfds_builders.pairs import names
from tfds_builders.pairs.find import find


@pytest.fixture(name="touch")
def pair_maker(tmp_path):
    """Makes empty pairs ``sar/NAME`` and ``optical/NAME``; returns their folder."""

    def touch(*made):
        for name in made:
            for kind in files.KINDS:
                path = tmp_path / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return tmp_path

    return touch


def told(found):
    return {pair.patch.id: (pair.patch.scene, pair.patch.season) for pair in found.pairs}


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val", "test"), ("train", "validation", "test")),
        (("Train", "valid", "TEST"), ("train", "validation", "test")),
        (("training", "validation", "testing"), ("train", "validation", "test")),
        (("train", "dev", "test"), ("train", "validation", "test")),
    ],
)
def test_split_folders_are_splits(touch, folders, expected):
    found = find(touch(*(f"{folder}/{name}" for folder in folders for name in ("1", "2"))))
    assert found.splits == {f"{f}/{n}": e for f, e in zip(folders, expected, strict=True) for n in ("1", "2")}
    assert all(folder in found.split_rule for folder in folders) and found.lone
    assert len({pair.patch.scene for pair in found.pairs}) == 6


def test_scenes_lie_below_or_above_split_folders(touch):
    below = find(touch("train/porto/1", "test/faro/1"))
    assert told(below) == {"train/porto/1": ("porto", ""), "test/faro/1": ("faro", "")}
    assert below.splits == {"train/porto/1": "train", "test/faro/1": "test"} and not below.lone
    assert "porto" in below.scene_rule and "train" not in below.scene_rule


def test_scenes_above_split_folders(touch):
    assert told(find(touch("porto/train/1", "faro/test/1"))) == {
        "porto/train/1": ("porto", ""),
        "faro/test/1": ("faro", ""),
    }


def test_split_folders_may_lie_above_sar_and_optical(tmp_path):
    for split in ("train", "test"):
        for kind in ("SAR", "Optical"):
            (tmp_path / split / kind).mkdir(parents=True)
            (tmp_path / split / kind / "1.png").touch()
    found = find(tmp_path)
    assert found.splits == {"train/1": "train", "test/1": "test"} and not found.bad


def test_split_folders_beside_others_are_refused(touch):
    with pytest.raises(ValueError, match=r"The folders test are named like splits, but other pairs .* \(porto\)"):
        find(touch("test/1", "porto/1"))


def test_pair_in_two_split_folders_is_refused(touch):
    with pytest.raises(ValueError, match="lies in the folders of two splits, train and test"):
        find(touch("train/test/1"))


def test_seasons_with_the_same_names_are_one_location(touch):
    found = find(touch(*(f"{season}/{name}" for season in ("summer", "winter") for name in ("porto_1", "faro_1"))))
    assert told(found) == {f"{s}/{n}": (n, s) for s in ("summer", "winter") for n in ("porto_1", "faro_1")}
    assert "summer, winter hold the same file names" in found.scene_rule


def test_scenes_lie_below_seasons(touch):
    found = find(touch("2020-07-01/porto/1", "2021-07-01/porto/1", "2021-07-01/porto/2"))
    assert {scene for scene, _ in told(found).values()} == {"porto"}


def test_dates_with_other_names_are_scenes(touch):
    found = find(touch("2020-07-01/1", "2020-07-01/2", "2021-07-01/3"))
    assert {scene for scene, _ in told(found).values()} == {"2020-07-01", "2021-07-01"}


@pytest.mark.parametrize(
    "made",
    [
        ("porto_summer/1", "porto_winter/1"),
        ("porto_summer_1", "porto_winter_1"),
        ("summer_porto", "winter_porto"),
        ("S1A_20200701T123456_porto", "S1A_20201224T123456_porto"),
        ("porto-asc", "porto-desc"),
        ("flood_pre", "flood_post"),
    ],
)
def test_season_in_a_name_makes_no_other_location(touch, made):
    found = find(touch(*made, "other/1" if "/" in made[0] else "other"))
    scenes = {key: scene for key, (scene, _) in told(found).items()}
    assert scenes[made[0]] == scenes[made[1]] and len(set(scenes.values())) == 2
    assert "are one scene" in found.scene_rule


def test_name_without_a_twin_is_kept(touch):
    assert told(find(touch("porto_summer_1", "faro_winter_2"))) == {
        "porto_summer_1": ("porto_summer_1", ""),
        "faro_winter_2": ("faro_winter_2", ""),
    }


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("porto_summer_01", "porto_01"),
        ("porto-2020-07-01-3", "porto-3"),
        ("20200701_porto", "porto"),
        ("Summer", ""),
        ("ROIs1158_spring_s1_0_p1", "ROIs1158_s1_0_p1"),
        ("presto_1999", "presto_1999"),
        ("summerville", "summerville"),
        ("1158", "1158"),
    ],
)
def test_name_without_time(name, short):
    assert names.without_time(name) == short


@pytest.mark.parametrize(
    ("name", "time"),
    [("summer", True), ("Fall_2020", True), ("2020", True), ("20200701", True), ("2020-07", True), ("1158", False),
     ("porto", False), ("20201301", False), ("asc", True), ("2020_summer", True), ("s1", False)],
)  # fmt: skip
def test_name_that_tells_a_time(name, time):
    assert names.is_time(name) is time


def test_one_location_in_two_seasons_of_a_table_is_in_one_split(tmp_path, write_image):
    raw = tmp_path / "raw"
    lines = ["sar,optical,scene,season"]
    for place in range(15):
        for season in ("summer", "winter"):
            for kind, mode in (("sar", "L"), ("optical", "RGB")):
                write_image(raw / kind / f"{place}_{season}.png", mode=mode, size=64)
            lines.append(f"sar/{place}_{season}.png,optical/{place}_{season}.png,{place},{season}")
    (raw / "pairs.csv").write_text("\n".join(lines))
    builder = prepare.prepare("pairs/mine", data_dir=tmp_path, manual_dir=raw)
    where = {}
    for split in builder.info.splits:
        for example in builder.as_data_source(split):
            where.setdefault(example["scene"], set()).add(split)
    assert len(where) == 15 and all(len(found) == 1 for found in where.values())
    assert builder.info.metadata["scenes"] == {s: sum(found == {s} for found in where.values()) for s in splits.SPLITS}
    said = " ".join(prepare.summary(builder).split())
    assert "scenes: the column scene of pairs.csv" in said and "splits: by a hash of the scene" in said
    assert "the audit does not see ground shared by images that overlap by a half or less" in said

    stated = [lines[0] + ",split", *(f"{line},{'test' if 'winter' in line else 'train'}" for line in lines[1:])]
    (raw / "pairs.csv").write_text("\n".join(stated))
    with pytest.raises(ValueError, match=r"summer\+winter/0: train, test"):
        prepare.prepare("pairs/stated", data_dir=tmp_path, manual_dir=raw)


def test_one_scene_is_cut_into_three_splits(tmp_path, write_image):
    for number in range(100):
        for kind, mode in (("sar", "L"), ("optical", "RGB")):
            write_image(tmp_path / "raw" / kind / "porto" / f"{number}.png", mode=mode, size=64)
    builder = prepare.prepare("pairs/mine", data_dir=tmp_path, manual_dir=tmp_path / "raw")
    numbers = {
        split: sorted(int(example["id"].decode().partition("/")[2]) for example in builder.as_data_source(split))
        for split in builder.info.splits
    }
    # Rows of ten: margins of two of them.
    assert numbers == {"train": [*range(48)], "validation": [*range(68, 74)], "test": [*range(94, 100)]}
    said = " ".join(prepare.summary(builder).split())
    assert "splits: strips of porto in the order of the numbers in the ids, 40 crops between" in said
    assert "audit: clean" in said


def test_few_crops_of_one_scene_are_for_training_and_the_way_out_is_named(tmp_path, write_image):
    for number in range(6):
        for kind, mode in (("sar", "L"), ("optical", "RGB")):
            write_image(tmp_path / "raw" / kind / "porto" / f"{number}.png", mode=mode, size=64)
    builder = prepare.prepare("pairs/mine", data_dir=tmp_path, manual_dir=tmp_path / "raw")
    assert list(builder.info.splits) == ["train"]
    said = " ".join(prepare.summary(builder).split())
    assert "add scenes, or state splits of your own in the column split of pairs.csv" in said
    assert "audit: nothing was compared" in said and "audit: clean" not in said


@pytest.mark.parametrize(
    "content",
    [
        "sar,optical\r\nr\\a.png,o\\a.png\r\n",
        ",sar,optical\n0,r/a.png,o/a.png\n",
        "Unnamed: 0,sar,optical\n0,r/a.png,o/a.png\n",
        "sar;optical\nr/a.png;o/a.png\n",
        "sar\toptical\nr/a.png\to/a.png\n",
        "sar|optical\nr/a.png|o/a.png\n",
        "\ufeffsar,optical\r\nr/a.png,o/a.png\r\n",
        "SAR,Optical\nr/a.png,o/a.png\n",
        '"sar";"optical"\n"r/a.png";"o/a.png"\n',
        "sar,optical,\nr/a.png,o/a.png,\n",
        "sar,optical\rr/a.png,o/a.png\r",
        "sar,optical\n./r/a.png,r/../o/a.png\n",
        "sar,optical\nROOT/r/a.png,ROOT/o/a.png\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_table_as_people_write_it_is_read(tmp_path, content, encoding):
    for folder in "ro":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    (tmp_path / "Pairs.CSV").write_bytes(content.replace("ROOT", str(tmp_path)).encode(encoding))
    found = find(tmp_path)
    [pair] = found.pairs
    assert pair.patch.id == "r/a" and not found.bad
    assert pair.sar.samefile(tmp_path / "r" / "a.png") and pair.optical.samefile(tmp_path / "o" / "a.png")


def test_table_finds_names_in_another_unicode_form(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "São") for form in ("NFC", "NFD"))
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / f"{decomposed}.png").touch()
    (tmp_path / "b.png").touch()
    (tmp_path / "pairs.csv").write_text(f"sar,optical\n{composed}/{composed}.png,b.png\n")
    [pair] = find(tmp_path).pairs
    assert pair.sar.exists() and pair.patch.id == f"{composed}/{composed}"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            "C:\\data\\a.png,b.png,x",
            "line 2: 'C:\\\\data\\\\a.png' is a path with a drive of Windows, expected one below",
        ),
        ("gs://bucket/a.png,b.png,x", "line 2: 'gs://bucket/a.png' is a URL, expected a path below"),
        ("b.png,b.png,x", "line 2: 'b.png' is stated as SAR and as optical image"),
        ("a.png,b.png,../x", "line 2: the id '../x' leads out of a folder, expected a name"),
        ("a.png,b.png,/x", "line 2: the id '/x' leads out of a folder, expected a name"),
    ],
)
def test_row_that_cannot_be_is_bad(tmp_path, row, reason):
    (tmp_path / "pairs.csv").write_text(f"sar,optical,id\n{row}\n")
    [bad] = find(tmp_path).bad
    assert bad.reason.startswith(reason)


def test_ids_of_files_elsewhere_are_names(tmp_path):
    (tmp_path / "raw").mkdir()
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    (tmp_path / "raw" / "pairs.csv").write_text(f"sar,optical\n../a.png,../b.png\n{tmp_path}/b.png,../a.png\n")
    assert [pair.patch.id for pair in find(tmp_path / "raw").pairs] == ["a", "b"]


@pytest.mark.parametrize(
    ("made", "hint"),
    [
        (("set/sar/a.png", "set/optical/a.png"), r"They are in .*/set: give --manual_dir="),
        (("set/pairs.csv",), r"They are in .*/set: give --manual_dir="),
        (("set/train/sar/a.png", "set/train/optical/a.png"), r"They are in .*/set: give --manual_dir="),
        (("pairs.xlsx",), r"Save pairs\.xlsx as pairs\.csv, comma-separated text in UTF-8"),
    ],
)
def test_what_was_meant_is_named(tmp_path, made, hint):
    for name in made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(FileNotFoundError, match=f"expected the folders sar and optical.* {hint}"):
        find(tmp_path)


def test_folder_above_is_named(touch):
    root = touch("a")
    with pytest.raises(FileNotFoundError, match=re.escape(f"They are in {root}: give --manual_dir={root}.")):
        find(root / "sar")


def test_one_folder_for_both_is_refused(tmp_path):
    (tmp_path / "sar").mkdir()
    (tmp_path / "optical").symlink_to("sar")
    with pytest.raises(ValueError, match="are one folder, expected radar images in one"):
        find(tmp_path)


def test_scenes_by_regex_are_told(touch):
    found = find(touch("train/porto_1", "test/faro_1"), scene_regex="([a-z]+)_")
    assert found.scene_rule == "by --scene_regex=([a-z]+)_"
    assert found.splits == {"train/porto_1": "train", "test/faro_1": "test"}
