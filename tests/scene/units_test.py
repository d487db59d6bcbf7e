import dataclasses

import numpy as np
import pytest

from sar2opt_jax.description import ImageFormat
from sar2opt_jax.scene import units

DB = ImageFormat(bands=("VV",), quantity="dB", limits=((-25.0, 0.0),), dtype="float32")
POWER = dataclasses.replace(DB, quantity="linear", scale="linear")
AMPLITUDE = dataclasses.replace(DB, quantity="amplitude", scale="amplitude")
DIGITAL = ImageFormat(bands=("VV",), quantity="unknown", limits=((0.0, 900.0),), dtype="uint16")
GREY = ImageFormat(bands=("VV",))
VALUES_DB = np.linspace(-30, 2, 50, dtype=np.float32)
VALUES = {"dB": VALUES_DB, "linear": 10 ** (VALUES_DB / 10), "amplitude": 10 ** (VALUES_DB / 20)}


@pytest.mark.parametrize("radar", [DB, POWER, AMPLITUDE], ids=lambda radar: radar.quantity)
@pytest.mark.parametrize("unit", VALUES)
def test_a_scene_becomes_the_same_levels_in_whatever_unit_it_is_stored(unit, radar):
    found = units.choose(VALUES[unit], radar, given=unit)
    levels = units.as_levels(np.ma.asarray(VALUES[unit][:, None]), radar, unit=found.of_file)
    expected = np.round(255 * ((VALUES_DB + 25) / 25).clip(0, 1))
    np.testing.assert_allclose(levels[:, 0], expected, atol=1)
    if unit == radar.quantity:
        assert found == units.Units(None)
    else:
        assert found.note == f"The values are {unit}; converted to {radar.quantity}, the unit of the training data."


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (["Sigma0_VV_db"], "dB"),
        (["Sigma0_VV"], "linear"),
        (["Gamma0 VH"], "linear"),
        (["Intensity_VV"], "linear"),
        (["Amplitude_VV"], "amplitude"),
        (["", "dB"], "dB"),
        (["VV", ""], None),
    ],
)
def test_names_and_units_of_bands_state_the_unit(texts, unit):
    assert units.stated(texts) == unit


def test_negative_values_are_decibels_and_a_statement_wins():
    assert units.choose(VALUES_DB, POWER).of_file == "dB"
    assert units.choose(VALUES_DB, DB) == units.Units(None)
    assert units.choose(VALUES["linear"], DB, described="linear").of_file == "linear"
    assert units.choose(VALUES["amplitude"], DB, given="amplitude", described="linear").of_file == "amplitude"


def test_values_of_the_kind_of_the_training_data_are_taken_as_those_and_that_is_said():
    assert "do" not in str(units.choose(VALUES["linear"], POWER).of_file)
    assert units.choose(VALUES["linear"], POWER).note == (
        "The file does not state its unit; its values are taken as linear, as in training."
    )
    assert units.choose(np.arange(900, dtype=np.uint16), DIGITAL) == units.Units(None)
    assert units.choose(np.arange(200, dtype=np.uint8), GREY) == units.Units(None)
    assert "taken as scaled" in str(units.choose(np.arange(200, dtype=np.uint8), DB).note)


@pytest.mark.parametrize(
    ("values", "radar", "given", "message"),
    [
        (VALUES["linear"], DB, None, "no negative values, so it is not in dB, .* --units=linear or --units=amplitude"),
        (np.arange(900, dtype=np.uint16), DB, None, "look like digital numbers.*SNAP, pyroSAR or ASF HyP3"),
        (np.arange(900, dtype=np.uint16), GREY, None, "it has uint16 values; expected 8-bit grey levels"),
        (VALUES_DB, DIGITAL, None, r"it has float32 values; the network takes uint16 \(unknown\)"),
        (VALUES_DB, DIGITAL, "dB", "--units=dB does not help"),
        (100 * VALUES_DB, DB, None, "no decibels: they may be stored with a factor"),
        (np.full(9, -9999, np.float32), DB, None, "a value may mark missing pixels"),
        (VALUES_DB, DB, "decibel", "Unknown unit 'decibel'; known: dB, linear, amplitude"),
    ],
)
def test_values_whose_meaning_is_not_certain_are_refused(values, radar, given, message):
    with pytest.raises(ValueError, match=message):
        units.choose(values, radar, given=given)


def test_missing_is_masked_nodata_nan_and_no_power_at_all():
    values = np.ma.masked_equal(np.array([np.nan, -9999, 0, 5, 1], np.float32), 5)
    radar = dataclasses.replace(DB, nodata=-9999.0)
    assert units.missing(values, radar).tolist() == [True, True, False, True, False]
    assert units.missing(values, radar, unit="linear").tolist() == [True, True, True, True, False]
    assert units.missing(values, dataclasses.replace(POWER, nodata=-9999.0)).tolist() == [True, True, True, True, False]
    assert units.missing(np.ma.asarray(np.zeros(2, np.uint8)), DB).tolist() == [False, False]


@pytest.mark.parametrize(
    ("text", "limits"), [("-25,0", ((-25.0, 0.0),)), ("-25,0;-32.5,-5", ((-25.0, 0.0), (-32.5, -5.0)))]
)
def test_limits_of_a_flag(text, limits):
    assert units.parse_limits(text) == limits


@pytest.mark.parametrize("text", ["", "-25", "0,-25", "-25,-25", "a,b", "-25,0,5", "-25,0;", "nan,0", "-inf,0"])
def test_text_that_is_no_limits_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"expected the dB that become 0 and 255, the lower first, such as -25,0"):
        units.parse_limits(text)


def test_range_makes_decibels_of_grey_levels():
    radar = units.ranged(GREY, ((-25.0, 0.0),))
    values = np.ma.array([[-30.0], [-25.0], [-12.5], [0.0], [np.nan]], np.float32)
    np.testing.assert_array_equal(units.as_levels(values, radar).ravel(), [0, 0, 128, 255, GREY.masked_value])
    linear = 10 ** (values / 10)
    np.testing.assert_array_equal(units.as_levels(linear, radar, unit="linear"), units.as_levels(values, radar))
    grey = np.ma.array([[7]], dtype=np.uint8)
    np.testing.assert_array_equal(units.as_levels(grey, radar), [[7]])  # Scaled already.
    assert units.ranged(GREY, None) is GREY


def test_range_that_does_not_fit_the_network_is_refused():
    with pytest.raises(ValueError, match="this one states limits of its own, -25,0"):
        units.ranged(DB, ((-20.0, 0.0),))
    with pytest.raises(ValueError, match=r"--sar_range has 2 pairs of dB; the network takes 1 band"):
        units.ranged(GREY, ((-20.0, 0.0), (-30.0, -5.0)))


def test_grey_network_names_a_range_that_suits_the_values():
    with pytest.raises(
        ValueError, match=r"--sar_range=LOW,HIGH, such as -19\.8,-0\.2, the 1st and the 99th percentile"
    ):
        units.choose(np.linspace(-20, 0, 1000, dtype=np.float32), GREY)
    with pytest.raises(ValueError, match=r"such as -25,0\.$"):
        units.choose(np.linspace(0, 1, 9, dtype=np.float32), GREY)
