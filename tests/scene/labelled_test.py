import numpy as np
import pytest

from sar2opt_jax.scene import labelled

xarray = pytest.importorskip("xarray", reason="xarray, which nothing but this test needs, is not installed")


def image(dims=("band", "y", "x"), bands=("VH", "VV"), **coords):
    shape = {"band": len(bands), "y": 4, "x": 6, "lat": 4, "lon": 6, "time": 2}
    values = np.arange(np.prod([shape[dim] for dim in dims]), dtype=np.float32).reshape([shape[dim] for dim in dims])
    named = {"band": list(bands), "y": 10.0 - np.arange(4), "x": np.arange(6.0), "spatial_ref": 32630, **coords}
    return xarray.DataArray(values, dims=dims, coords={k: v for k, v in named.items() if k in (*dims, "spatial_ref")})


def test_dimensions_come_in_any_order_and_bands_by_name():
    expected = np.moveaxis(image().values[::-1], 0, -1)
    for dims in (("band", "y", "x"), ("x", "band", "y")):
        given = image().transpose(*dims)
        np.testing.assert_array_equal(labelled.to_array(given, ("VV", "VH")), expected)
    assert labelled.to_array(image(("y", "x")), ("VV",)).shape == (4, 6)
    np.testing.assert_array_equal(
        labelled.to_array(image(bands=(1, 2)), ("VV", "VH")), np.moveaxis(image().values, 0, -1)
    )


def test_a_translation_has_the_coordinates_of_its_radar_image():
    optical = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    found = labelled.like(image(), optical)
    assert isinstance(found, xarray.DataArray) and found.dims == ("band", "y", "x")
    np.testing.assert_array_equal(found.sel(band="green"), optical[..., 1])
    for name in ("y", "x", "spatial_ref"):
        np.testing.assert_array_equal(found[name], image()[name])


def test_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="expected rows, columns and at most bands"):
        labelled.to_array(image(("time", "band", "y", "x")), ("VV", "VH"))
    with pytest.raises(ValueError, match="expected rows and columns called y, x or lat, lon"):
        labelled.to_array(xarray.DataArray(np.zeros((2, 2)), dims=("row", "column")), ("VV",))
    assert not labelled.is_labelled(np.zeros((2, 2)))
