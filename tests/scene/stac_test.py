import json
from pathlib import Path

import pytest

from sar2opt_jax.scene import stac
from sar2opt_jax.scene.stac import ItemFiles

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
FOLDER = Path("/data/items")


def asset(href, **more):
    return {"href": href, "type": COG, "roles": ["data"], **more}


def files(assets, wanted=("VV",)):
    return stac.radar_files({"id": "S1A", "assets": assets}, wanted, folder=FOLDER)


def test_assets_are_found_by_their_key():
    assets = {
        "vh": asset("https://host/vh.tif?sig=1"),
        "vv": asset("../rtc/vv.tif"),
        "thumbnail": {"href": "vv.png", "type": "image/png", "roles": ["thumbnail"]},
        "safe-manifest": {"href": "manifest.safe", "type": "application/xml"},
    }
    assert files(assets) == ItemFiles(("/data/rtc/vv.tif",), None)
    assert files(assets, ("VV", "VH")) == ItemFiles(("/data/rtc/vv.tif", "https://host/vh.tif?sig=1"), None)


@pytest.mark.parametrize(
    "named",
    [
        {"bands": [{"name": "VH"}, {"name": "VV"}]},
        {"eo:bands": [{"name": "gamma0_vh"}, {"name": "gamma0_vv"}]},
        {"sar:polarizations": ["VH", "VV"]},
    ],
)
def test_bands_of_one_file_are_put_in_order(named):
    assets = {"data": asset("s3://bucket/a.tif", **named), "mask": asset("mask.tif", roles=["data-mask"])}
    assert files(assets, ("VV", "VH")) == ItemFiles(("s3://bucket/a.tif",), ("2", "1"))
    assert files(assets) == ItemFiles(("s3://bucket/a.tif",), ("2",))


def test_a_name_counts_more_than_a_part_of_it():
    assets = {"vv": asset("a.tif"), "noise-vv": asset("b.tif"), "vv-cal": asset("c.tif", roles=["calibration"])}
    assert files(assets).source == ("/data/items/a.tif",)


def test_an_unnamed_network_takes_the_only_raster():
    assert files({"image": asset("file:///data/a%20b.tif")}, ("band 1",)) == ItemFiles(("/data/a b.tif",), None)


def test_a_raster_without_a_type_is_known_by_its_suffix():
    assert files({"vv": {"href": "vv.tiff"}}) == ItemFiles(("/data/items/vv.tiff",), None)


@pytest.mark.parametrize(
    ("assets", "message"),
    [
        ({}, "item S1A has no radar image with VV, VH; its assets: none"),
        ({"vv": asset("a.tif"), "B04": asset("b.tif")}, r"VV, VH; its assets: vv \(data, image/tiff.*\); B04 \("),
        ({"vv_a": asset("a.tif"), "vv_b": asset("b.tif"), "vh": asset("c.tif")}, "has several images of VV, VH"),
        (
            {"one": asset("a.tif", bands=[{"name": "VV"}, {"name": "HH"}]), "vh": asset("c.tif")},
            "asset 'one' holds VV, HH; expected VV, VH in one file",
        ),
        ({"vv": {"href": "vv.xml", "type": "application/xml"}, "vh": {}}, "has no radar image"),
    ],
)
def test_items_that_do_not_fit_are_refused(assets, message):
    with pytest.raises(ValueError, match=message):
        files(assets, ("VV", "VH"))


def test_items_are_read_from_one_or_many(tmp_path):
    item = {"type": "Feature", "id": "a", "assets": {}}
    for content, count in (
        (item, 1),
        ({"type": "FeatureCollection", "features": [item, item]}, 2),
        ([item], 1),
    ):
        (tmp_path / "items.json").write_text(json.dumps(content))
        assert stac.items(tmp_path / "items.json") == [item] * count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ('{"type": "Catalog", "id": "x"}', r"is of type 'Catalog'; expected a STAC item \(Feature\), or the items"),
        ("3", "is of type 'int'"),
        ('{"type": "FeatureCollection", "features": []}', "holds no STAC items"),
        ('{"type": "FeatureCollection"}', "holds no STAC items"),
        ('{"type": "Feature", "geometry": null}', "feature 0 is no STAC item"),
    ],
)
def test_files_without_items_are_refused(tmp_path, text, message):
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        stac.items(tmp_path / "items.json")
