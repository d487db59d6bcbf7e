import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.diffusion.translation import Method
from sar2opt_jax.evaluation import report
from sar2opt_jax.evaluation.evaluate import Result, Results


def result(sampler: str | None, steps: int, psnr: list[float], ms: float | None) -> Result:
    count = len(psnr)
    return Result(
        name={None: "linear", "lcm": "student"}.get(sampler, "teacher"),
        method=Method(sampler=sampler, num_steps=steps) if sampler else None,
        metrics={
            "psnr": np.array(psnr, np.float32),
            "ssim": np.full(count, 0.5, np.float32),
            "sharpness": np.full(count, 0.03, np.float32),
            "gradient_distance": np.full(count, 0.01, np.float32),
        },
        images=np.zeros((2, 12, 12, 3), np.float32),
        ms_per_image=ms,
    )


@pytest.fixture
def results() -> Results:
    return Results(
        ids=["a", "b", "c", "d"],
        sar=np.zeros((2, 12, 12, 1), np.float32),
        optical=np.zeros((2, 12, 12, 3), np.float32),
        image_size=(12, 12),
        truth_sharpness=np.full(4, 0.04, np.float32),
        floor=result(None, 0, [10, 12, 14, 16], None),
        methods=(
            result("ddpm", 1000, [15, 16, 17, 18], 5000.0),
            result("ddim", 8, [14, 16, 18, 20], 40.0),
            result("lcm", 4, [16, 17, 18, 19], 20.0),
        ),
    )


def write(directory: Path, results: Results) -> Path:
    settings = {"title": "acd:smoke", "dataset": "simulated", "split": "test", "config": {"seed": 3407}}
    report.write(directory, results, **settings)
    return directory


def test_rows_hold_means_differences_and_speed_ups(results):
    floor, original, ddim, student = report.rows_of(results)
    assert (floor["method"], floor["steps"], floor["speed_up"], floor["ms_per_image"]) == (
        "Linear floor",
        None,
        None,
        None,
    )
    assert floor["psnr_db"] == 13
    assert (original["psnr_minus_original_db"], original["speed_up"]) == (None, 1)
    assert (ddim["psnr_db"], ddim["psnr_minus_original_db"], ddim["speed_up"]) == (17, 0.5, 125)
    # Differences of -1, 0, 1, 2: standard deviation sqrt(5 / 3), over sqrt(4).
    assert ddim["psnr_minus_original_db_error"] == pytest.approx(np.sqrt(5 / 3) / 2)
    assert (student["psnr_minus_original_db"], student["psnr_minus_original_db_error"]) == (1, 0)
    assert student["sharpness"] == pytest.approx(0.75)


def test_write_leaves_exactly_the_files_of_a_report(tmp_path, results):
    directory = write(tmp_path / "run" / "report", results)
    names = {path.name for path in directory.iterdir()}
    assert names == {"results.md", "results.csv", "results.json", "samplers.png", "steps.png"}
    for name in ("samplers.png", "steps.png"):
        with Image.open(directory / name) as image:
            assert min(image.size) > 500


def test_csv_has_a_row_a_method(tmp_path, results):
    with (write(tmp_path, results) / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["Linear floor", "Original", "DDIM", "Student"]
    assert [row["steps"] for row in rows] == ["", "1000", "8", "4"]
    assert [float(row["psnr_db"]) for row in rows] == [13, 16.5, 17, 17.5]


def test_json_has_every_image_and_the_config(tmp_path, results):
    content = json.loads((write(tmp_path, results) / "results.json").read_text())
    assert content["config"] == {"seed": 3407}
    assert content["ids"] == ["a", "b", "c", "d"]
    assert content["results"][2]["per_image"]["psnr"] == [14, 16, 18, 20]
    assert content["about"]["Dataset"] == "simulated, split test"


def test_markdown_shows_table_figures_and_circumstances(tmp_path, results):
    text = (write(tmp_path, results) / "results.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert len(cells) == 2 + 4
    assert cells[4] == ["DDIM", "8", "17.00", "+0.50 ± 0.65", "0.500", "0.75", "0.0100", "40.0", "125.0 x"]
    for name in ("samplers.png", "steps.png", "Device:", "Processor:", "Commit:", "Date:", "(x + 1) / 2"):
        assert name in text
    assert "{" not in text  # All places are filled in.


def test_a_perfect_translation_is_null_in_json_and_inf_in_the_table(tmp_path, results):
    perfect = [np.inf, 16, 17, 18]
    results = dataclasses.replace(results, methods=(result("ddpm", 1000, perfect, 1.0), result("lcm", 4, perfect, 1.0)))
    directory = write(tmp_path, results)
    content = json.loads((directory / "results.json").read_text(), parse_constant=pytest.fail)
    assert content["results"][1]["psnr_db"] is None
    assert content["results"][1]["per_image"]["psnr"] == [None, 16, 17, 18]
    assert "inf" in (directory / "results.md").read_text(encoding="utf-8")


def test_a_report_without_the_original_leaves_its_columns_empty(tmp_path, results):
    results = dataclasses.replace(results, methods=results.methods[1:])
    directory = write(tmp_path, results)
    assert all(row["speed_up"] is None and row["psnr_minus_original_db"] is None for row in report.rows_of(results))
    assert "sampled as it was trained, in all its steps" in (directory / "results.md").read_text(encoding="utf-8")


def test_the_commit_is_unknown_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "unknown" in report.surroundings()["Commit"]
