import json

import pytest
from scene_files import DB, DUAL

from sar2opt_jax.scene import addresses, inputs
from sar2opt_jax.scene.inputs import SceneInput


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def find(given, output, radar=DB):
    return inputs.find(str(given), radar, output=output)


def names(found):
    return [scene.name for scene in found.scenes]


def test_a_folder_is_its_rasters(tmp_path):
    folder = touch(tmp_path / "in", "b.tif", "a.VRT", "c d.img", ".hidden.tif", "a.txt", "e.SAFE/manifest.safe")
    found = find(folder, tmp_path / "out")
    assert names(found) == ["a", "b", "c_d", "e"] and found.skipped == ["a.txt"]
    assert found.scenes[1] == SceneInput("b", (str(folder / "b.tif"),))
    assert names(find(folder / "e.SAFE", tmp_path / "out")) == ["e"]


def test_files_of_polarisations_are_one_scene_or_are_skipped(tmp_path):
    folder = touch(tmp_path / "in", "s1_VV.tif", "s1_VH.tif", "s2_vh.tif", "s3_VV_VH.tif", "other.tif")
    single = find(folder, tmp_path / "out")
    assert names(single) == ["other", "s1_VV", "s3_VV_VH"] and single.skipped == ["s1_VH.tif", "s2_vh.tif"]
    dual = find(folder, tmp_path / "out", DUAL)
    assert names(dual) == ["other", "s1_VV", "s2_vh", "s3_VV_VH"] and dual.skipped == []


def test_a_list_is_read_from_its_folder(tmp_path):
    text = "# Two months.\n\njune/a.tif\n/data/b.tif\nhttps://host/c%20d.tif?sig=1\nSENTINEL1_CALIB:SIGMA0:/x/S1.SAFE:IW_VV\n"
    (tmp_path / "list.txt").write_text(text)
    found = find(tmp_path / "list.txt", tmp_path / "out")
    assert [scene.source for scene in found.scenes] == [
        (str(tmp_path / "june/a.tif"),),
        ("/data/b.tif",),
        ("https://host/c%20d.tif?sig=1",),
        ("SENTINEL1_CALIB:SIGMA0:/x/S1.SAFE:IW_VV",),
    ]
    assert names(found) == ["a", "b", "c_d", "S1"]


def test_outputs_of_a_pattern_repeat_its_folders(tmp_path):
    touch(tmp_path / "in", "june/vv.tif", "july/vv.tif", "july/vv.tif.aux.xml")
    assert names(find(tmp_path / "in" / "*" / "vv.*", tmp_path / "out")) == ["july/vv", "june/vv"]
    assert names(find(tmp_path / "in" / "june" / "*.tif", tmp_path / "out")) == ["vv"]


def test_outputs_are_no_inputs(tmp_path):
    touch(tmp_path, "a.tif", "out/a.tif", "out/deep/b.tif")
    assert names(find(tmp_path / "**" / "*.tif", tmp_path / "out")) == ["a"]
    with pytest.raises(ValueError, match="is the folder of the input"):
        find(tmp_path, tmp_path)


def test_items_of_stac_are_named_by_their_id(tmp_path):
    asset = {"href": "./vv.tif", "type": "image/tiff; application=geotiff"}
    items = [
        {"type": "Feature", "id": "S1/A b", "assets": {"vv": asset}},
        {"type": "Feature", "id": "optical", "assets": {"red": asset}},
    ]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    good, bad = find(tmp_path / "items.json", tmp_path / "out").scenes
    assert good == SceneInput("S1_A_b", (str(tmp_path / "vv.tif"),))
    assert "item optical has no radar image with VV; its assets: red (image/tiff" in (bad.problem or "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("absent.tif", "absent.tif does not exist"),
        ("absent", "absent does not exist"),
        ("*.jp2", "names no scenes"),
        ("empty", "names no scenes"),
        ("empty.txt", "names no scenes"),
        ("twice", r"a\.tif and .*a\.vrt would both be translated to a\.tif"),
        ("case", r"would both be translated to"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path, given, message):
    touch(tmp_path, "empty/notes.md", "empty.txt", "twice/a.tif", "twice/a.vrt", "case/a.tif", "case/A.vrt")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        find(tmp_path / given, tmp_path / "out")


def test_shards_are_disjoint_and_complete():
    scenes = [SceneInput(str(number), ("",)) for number in range(10)]
    parts = [inputs.shard(scenes, f"{index}/4") for index in range(4)]
    assert sorted(map(len, parts)) == [2, 2, 3, 3]
    assert sorted(scene for part in parts for scene in part) == sorted(scenes) and inputs.shard(scenes, None) == scenes


@pytest.mark.parametrize("text", ["4/4", "1", "a/b", "-1/4", "0/0", "1/4/2"])
def test_shards_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match=r"expected I/N with I from 0 to N - 1"):
        inputs.shard([], text)


@pytest.mark.parametrize(
    ("signed", "plain"),
    [
        ("https://a.net/b.tif?st=1&se=2&sp=rl&sv=3&sr=c&skoid=4&sig=5%3D", "https://a.net/b.tif"),
        ("https://a.net/b?id=7&X-Amz-Signature=1&X-Amz-Date=2", "https://a.net/b?id=7"),
        ("/vsicurl/https://a.net/b.tif?AWSAccessKeyId=1&Expires=2&Signature=3", "/vsicurl/https://a.net/b.tif"),
        ("https://a.net/b?id=7&size=2&scale=3", "https://a.net/b?id=7&size=2&scale=3"),
        ("/data/what?sig=1.tif", "/data/what?sig=1.tif"),
    ],
)
def test_signatures_of_addresses_are_left_out(signed, plain):
    assert addresses.unsigned(signed) == plain
