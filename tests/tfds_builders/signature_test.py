import pytest

from tfds_builders.imagery import Band, Header
from tfds_builders.pairs.signature import Signature, colours, copolar_first, difference, order


def signature(*names, colour="undefined", dtype="float32", **more):
    """Of a file of 16 x 16 pixels with these descriptions, or with these colours."""
    bands = tuple(
        Band(number=i, description="" if colour == name else name, colour=name if colour == name else "undefined")
        for i, name in enumerate(names, start=1)
    )
    return Signature.of(Header(format="tiff", height=16, width=16, dtype=dtype, bands=bands, **more))


def coloured(*names):
    bands = tuple(Band(number=i, colour=name) for i, name in enumerate(names, start=1))
    return Signature.of(Header(format="png", height=16, width=16, dtype="uint8", bands=bands))


def scaled(scale, offset, unit=""):
    bands = (Band(number=1, scale=scale, offset=offset, unit=unit),)
    return Signature.of(Header(format="tiff", height=16, width=16, dtype="uint16", bands=bands))


def test_same_form_and_names_are_no_difference():
    assert difference(signature("VV", "VH"), signature("vv", "vh")) is None
    assert order(signature("VV", "VH"), signature("vv", "vh")) == (1, 2)


def test_bands_in_another_order_are_found_by_their_names():
    assert order(signature("VH", "VV"), signature("VV", "VH")) == (2, 1)
    assert order(signature("c", "a", "b"), signature("a", "b", "c")) == (2, 3, 1)
    assert order(coloured("blue", "green", "red"), coloured("red", "green", "blue")) == (3, 2, 1)
    assert difference(signature("VH", "VV"), signature("VV", "VH")) is None


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (signature("HH", "HV"), signature("VV", "VH"), "bands HH, HV, expected VV, VH"),
        (signature("VH"), signature("VV"), "bands VH, expected VV"),
        (signature("", ""), signature("VV", "VH"), "bands without names, expected VV, VH"),
        (signature("VV", "VV"), signature("VV", "VH"), "bands VV, VV, expected VV, VH"),
        (
            signature("a"),
            signature("a", dtype="uint16"),
            "1 band of float32, expected 16 x 16 pixels, 1 band of uint16",
        ),
        (scaled(1e-4, -0.1), scaled(1, 0), "scale 0.0001, offset -0.1, expected scale 1, offset 0"),
        (scaled(1, 0, "dB"), scaled(1, 0), "scale 1, offset 0 dB, expected scale 1, offset 0"),
        (
            signature("a", radiometry=(("BOA_ADD_OFFSET", "-1000"),)),
            signature("a"),
            "BOA_ADD_OFFSET -1000, expected no tag BOA_ADD_OFFSET",
        ),
        (
            signature("a", radiometry=(("POLARIZATION", "VH"),)),
            signature("a", radiometry=(("POLARIZATION", "VV"),)),
            "POLARIZATION VH, expected POLARIZATION VV",
        ),
    ],
)
def test_difference_is_named(found, expected, words):
    assert words in difference(found, expected)


def test_files_that_name_nothing_go_with_colours():
    # 8-bit TIFF without colour interpretation beside PNG.
    unnamed = signature("", "", "", dtype="uint8")
    for found, expected in ((unnamed, coloured("red", "green", "blue")), (coloured("red", "green", "blue"), unnamed)):
        assert difference(found, expected) is None and order(found, expected) == (1, 2, 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("B2", "B3", "B4", "B8"), (3, 2, 1)),
        (("B04", "B03", "B02"), (1, 2, 3)),
        (("S2 blue", "S2 green", "S2 red"), (3, 2, 1)),
        (("B4_red", "B3_green", "B2_blue"), (1, 2, 3)),
        (("B8", "B3", "B2"), None),
        (("B4", "red", "B3", "B2"), None),
        (("", "", ""), None),
        (("B11", "B12", "B8A"), None),
    ],
)
def test_colours_are_known_by_their_names(names, expected):
    assert colours(signature(*names)) == expected
    assert colours(coloured("blue", "green", "red")) == (3, 2, 1)


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("VV", "VH"), True), (("VH", "VV"), False), (("Sigma0_HH_db", "Sigma0_HV_db"), True), (("", ""), False)],
)
def test_copolar_band_is_known_by_its_name(names, expected):
    assert copolar_first(signature(*names)) == expected
