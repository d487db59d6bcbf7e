import dataclasses

import numpy as np
import pytest

from sar2opt_jax.report import tables


def cells(table, label: str, steps: str) -> list[tables.Cell]:
    rows = [row for section in table.sections for row in section.rows]
    (found,) = [row.cells for row in rows if row.label == label and row.cells[0].text == steps]
    return list(found[1:])


def column(table, head: str) -> dict[str, str]:
    place = [h.text for h in table.heads].index(head) - 1
    return {row.label: row.cells[place].text for section in table.sections for row in section.rows}


def test_rows_hold_means_differences_and_speed_ups(fabricate):
    linear, original, *_, student = tables.rows_of(fabricate())
    assert (linear["method"], linear["kind"], linear["steps"], linear["ms_per_image"]) == (
        "Linear baseline",
        "linear",
        None,
        None,
    )
    assert linear["psnr"] == 16.5  # 15, 16, 17, 18
    assert (original["method"], original["psnr_minus_original"], original["speed_up"]) == ("Original", None, 1)
    assert (student["network"], student["sampler"], student["steps"]) == ("student", "lcm", 4)
    assert (student["psnr"], student["psnr_minus_original"], student["speed_up"]) == (23.5, 6, 250)
    assert student["sharpness"] == pytest.approx((0.02 + 7 * 0.004) / 0.04)
    assert student["frechet_alexnet"] == 93


def test_intervals_are_those_of_the_results(fabricate):
    results = fabricate()
    for row, result in zip(tables.rows_of(results), results.all, strict=True):
        for key in result.metrics:
            assert (row[f"{key}_low"], row[f"{key}_high"]) == results.interval(result, key)
    assert "frechet_alexnet_low" not in row
    # The difference to the original is the same for all images: nothing to be unsure of.
    assert (row["psnr_minus_original_low"], row["psnr_minus_original_high"]) == (6, 6)


def test_quality_shows_values_intervals_and_the_best(fabricate):
    results = fabricate()
    table = tables.quality(results, tables.rows_of(results))
    heads = [head.text for head in table.heads]
    assert heads[:4] == ["Method", "Steps", "PSNR (dB)", "PSNR − original (dB)"]
    psnr, difference, ssim, *_ = cells(table, "Student", "4")
    low, high = results.interval(results.methods[-1], "psnr")
    assert psnr == ("23.50", f"{low:.2f} to {high:.2f}", True)
    assert difference == ("+6.00", "+6.00 to +6.00", True)
    assert ssim.text == "0.570"
    sharpness = heads.index("Sharpness") - 2
    assert cells(table, "DDIM", "8")[sharpness] == ("0.90", "0.90 to 0.90", False)
    assert cells(table, "DPM++", "8")[sharpness].best  # 1.00


def test_methods_stand_in_sections_in_a_fixed_order(fabricate):
    results = fabricate([("lcm", 4), ("ddim", 8), ("generator", 1)])
    table = tables.quality(results, tables.rows_of(results))
    assert [section.title for section in table.sections] == ["Linear", "GAN baselines", "Teacher", "Student"]


def test_latency_leaves_out_what_was_not_timed(fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    table = tables.latency(results, tables.rows_of(results))
    assert column(table, "Steps") == {"Original": "1,000", "Student": "4"}
    assert column(table, "Speed-up") == {"Original": "1.00×", "Student": "250×"}
    assert column(table, "ms per image") == {"Original": "5,000", "Student": "20.0"}
    without = fabricate(timed=False)
    assert tables.latency(without, tables.rows_of(without)) is None


def test_without_the_original_nothing_is_measured_against_it(fabricate):
    results = fabricate([("ddim", 8), ("lcm", 4)])
    rows = tables.rows_of(results)
    assert all(row["psnr_minus_original"] is None and row["speed_up"] is None for row in rows)
    assert "PSNR − original (dB)" not in [head.text for head in tables.quality(results, rows).heads]
    assert "Speed-up" not in [head.text for head in tables.latency(results, rows).heads]


def test_groups_have_their_own_means_and_the_number_of_their_images(fabricate):
    groups = {"season": ["winter", "fall", "winter", "winter"], "terrain": ["urban"] * 4}
    found = tables.by_group(fabricate(groups=groups), figure_steps=8)
    assert list(found) == ["season"]  # One group is no grouping.
    psnr, lpips, colour_shift = found["season"]
    assert [head.text for head in psnr.heads] == ["Season", "Images", "Original", "DDIM", "Student"]
    assert [head.note for head in psnr.heads[2:]] == ["1,000 steps", "8 steps", "4 steps"]
    rows = {row.label: [cell.text for cell in row.cells] for row in psnr.sections[0].rows}
    # The original's images have 16, 17, 18, 19 dB, DDIM's 3 and the student's 6 more.
    assert rows == {
        "fall": ["1", "17.00", "20.00", "23.00"],
        "winter": ["3", "17.67", "20.67", "23.67"],
        "All": ["4", "17.50", "20.50", "23.50"],
    }
    assert [cell.best for cell in psnr.sections[0].rows[0].cells] == [False, False, False, True]
    assert (lpips.title, colour_shift.title) == ("LPIPS", "Colour shift (ΔE)")


def test_a_single_image_has_no_interval(fabricate):
    results = fabricate(count=1)
    table = tables.quality(results, tables.rows_of(results))
    assert not any(cell.note for section in table.sections for row in section.rows for cell in row.cells)


def test_perfect_and_undefined_values_are_words(fabricate):
    results = dataclasses.replace(fabricate(psnr=[np.inf, 16, 17, 18]), truth_sharpness=np.zeros(4))
    table = tables.quality(results, tables.rows_of(results))
    psnr, difference, *_ = cells(table, "Student", "4")
    assert (psnr.text, psnr.note) == ("∞", "")
    assert difference.text == "undefined"
    assert column(table, "Sharpness")["Student"] == "undefined"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (-1.234, "−1.23"), (1234.5, "1,234.50"), (np.inf, "∞"), (np.nan, "undefined")]
)
def test_number(value, text):
    assert tables.number(value, 2) == text
