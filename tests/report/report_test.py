import csv
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.evaluation.results import Spread
from sar2opt_jax.metrics.uncertainty import Calibration
from sar2opt_jax.report import page, report, spread

FILES = {
    "report.html", "results.md", "results.csv", "per_image.csv", "results.json",
    "samplers.png", "steps.png", "speed.png", "examples.png", "colour.png",
}  # fmt: skip


def write(directory: Path, results, *, title: str = "acd:smoke", **settings) -> Path:
    report.write(directory, results, title=title, dataset="simulated", split="test", config={"seed": 3407}, **settings)
    return directory


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_write_leaves_exactly_the_files_of_a_report(tmp_path, fabricate):
    directory = write(tmp_path / "run" / "report", fabricate())
    assert {path.name for path in directory.iterdir()} == FILES
    for name in (name for name in FILES if name.endswith(".png")):
        with Image.open(directory / name) as image:
            assert min(image.size) > 500


def test_several_translations_of_an_image_get_a_figure_and_their_numbers(tmp_path, fabricate):
    calibration = Calibration(
        num_samples=19, nominal=0.9, coverage=np.array([0.5, 0.6, 0.7, 0.8]), deviation=np.array([2.0, 8.0]),
        error=np.array([6.0, 20.0]),
    )  # fmt: skip
    results = dataclasses.replace(fabricate(), spread=Spread("Student, 4 steps", calibration))
    directory = write(tmp_path / "run" / "report", results)
    assert {path.name for path in directory.iterdir()} == FILES | {"uncertainty.png"}
    with Image.open(directory / "uncertainty.png") as image:
        assert min(image.size) > 500
    said = "hold the true value of 65%"
    for name in ("report.html", "results.md"):
        text = (directory / name).read_text()
        assert said in text and "understates" in text
    assert 'id="uncertainty"' in (directory / "report.html").read_text()
    written = json.loads((directory / "results.json").read_text())["uncertainty"]
    assert written["method"] == "Student, 4 steps" and written["coverage"] == [0.5, 0.6, 0.7, 0.8]


@pytest.mark.parametrize(
    ("coverage", "deviation", "said"),
    [(0.5, 9.0, "understates"), (0.93, 9.0, "no smaller than the error"), (0.1, 0.2, "ignores the noise")],
)
def test_what_the_spread_means_follows_from_its_numbers(coverage, deviation, said):
    calibration = Calibration(
        num_samples=19, nominal=0.9, coverage=np.full(3, coverage), deviation=np.array([deviation]),
        error=np.array([9.0]),
    )  # fmt: skip
    assert said in spread.text(Spread("Student, 4 steps", calibration))


def test_results_json_is_last_and_an_earlier_one_goes_first(tmp_path, fabricate, monkeypatch):
    directory = write(tmp_path, fabricate())
    replaced = []

    def replace(source, target):
        assert not (directory / "results.json").exists()
        replaced.append(Path(target).name)
        rename(source, target)

    rename = os.replace
    monkeypatch.setattr(report.os, "replace", replace)
    write(tmp_path, fabricate())
    assert replaced[-1] == "results.json"
    assert set(replaced) == FILES


def test_a_report_that_fails_leaves_the_earlier_one_as_it_was(tmp_path, fabricate, monkeypatch):
    write(tmp_path, fabricate())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(page, "render", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path, fabricate())
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.undo()
    (tmp_path / ".0123.partial").mkdir()  # Of a report that was killed.
    write(tmp_path, fabricate())
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_csv_has_a_row_a_method_with_intervals(tmp_path, fabricate):
    results = fabricate([("ddpm", 1000), ("lcm", 4)])
    linear, original, student = rows(write(tmp_path, results) / "results.csv")
    assert [row["method"] for row in (linear, original, student)] == ["Linear baseline", "Original", "Student"]
    assert [row["steps"] for row in (linear, original, student)] == ["", "1000", "4"]
    low, high = results.interval(results.methods[1], "psnr")
    assert [float(student[key]) for key in ("psnr", "psnr_low", "psnr_high")] == [18.5, low, high]


def test_per_image_csv_has_a_row_a_method_and_image(tmp_path, fabricate):
    results = fabricate([("lcm", 4)], groups={"season": ["spring", "fall", "fall", "fall"]})
    found = rows(write(tmp_path, results) / "per_image.csv")
    assert len(found) == 2 * 4
    last = found[-1]
    assert (last["method"], last["steps"], last["id"], last["season"]) == ("Student", "4", "image3", "fall")
    assert float(last["psnr"]) == 19
    assert float(last["sharpness"]) == pytest.approx(0.6)


def test_json_has_every_image_and_the_config(tmp_path, fabricate):
    content = json.loads((write(tmp_path, fabricate()) / "results.json").read_text())
    assert content["config"] == {"seed": 3407}
    assert content["ids"] == ["image0", "image1", "image2", "image3"]
    assert content["results"][2]["per_image"]["psnr"] == [17, 18, 19, 20]
    assert content["results"][2]["per_image"]["sharpness"] == pytest.approx([0.7] * 4)  # As in per_image.csv.
    assert content["results"][2]["sharpness"] == pytest.approx(0.7)
    assert content["truth_sharpness"] == [0.04] * 4
    assert content["about"]["Dataset"] == "simulated, split test"
    assert content["verdict"]["lead"] == "The student in 4 steps beats the original in 1,000 steps."
    assert content["results"][content["headline"]]["method"] == "Student"


def test_markdown_shows_tables_figures_and_circumstances(tmp_path, fabricate):
    groups = {"terrain": ["urban", "field", "field", "urban"]}
    results = fabricate(groups=groups, remarks=("Few images.",))
    text = (write(tmp_path, results) / "results.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    low, high = results.interval(results.methods[3], "psnr")
    assert ["DDIM", "8", f"20.50 ({low:.2f} to {high:.2f})", "+3.00 (+3.00 to +3.00)"] in [row[:4] for row in cells]
    assert ["Student", "4", f"**{results.value(results.methods[-1], 'psnr'):.2f}**"] in [
        [*row[:2], row[2].split(" ")[0]] for row in cells
    ]
    assert ["urban", "2", "17.50", "20.50", "**23.50**"] in cells
    for what in ("Device", "Processor", "Commit", "Date", "Few images.", "range 1", "3 dB below", "rank 1 of 4"):
        assert what in text
    for name in FILES - {"results.md", "report.html"}:
        assert name in text
    assert "{" not in text  # All places are filled in.


def test_markdown_shows_hostile_names_as_they_are(tmp_path, fabricate):
    results = fabricate(ids=["a|b", "<img src=x>", "*c*", "d\ne"], name="st|u<dent")
    text = (write(tmp_path, results, title="<script>`x`") / "results.md").read_text(encoding="utf-8")
    assert r"# Results of \<script\>\`x\`" in text
    assert r"\<img src=x\>" in text and "<img" not in text.replace(r"\<img", "")
    widths = {line.count("|") - 2 * line.count(r"\|") for line in text.splitlines() if line.startswith("| St")}
    assert len(widths) <= 2  # A table of quality and one of speed: no name has opened a column.


@pytest.mark.parametrize(
    "settings",
    [
        {"methods": [("ddpm", 10)]},
        {"methods": [("lcm", 1)]},
        {"methods": [("generator", 1)]},
        {"methods": []},
        {"count": 1},
        {"count": 2},
        {"psnr": [np.inf] * 4},
        {"psnr": [np.inf, 16, np.nan, 18]},
        {"timed": False},
        {"size": (16, 24)},
        {"size": (40, 12)},
        {"size": (80, 80), "channels": 2},
        {"ids": ["x" * 300] * 4},
        {"keys": ("psnr", "ssim", "sharpness"), "distances": ()},
        {"name": "$x^2$ _y_"},
        {"name": "a$\\frac$"},
        {"name": "方法", "ids": ["图"] * 4, "groups": {"地形": ["城", "田", "城", "田"]}},
        {"methods": [(s, n) for s in ("ddpm", "ddim", "dpm_solver_pp", "lcm") for n in (1, 2, 3, 4, 8, 16, 25, 50)]},
    ],
    ids=lambda settings: str(settings)[:40],
)
def test_every_kind_of_results_has_a_report(tmp_path, fabricate, settings):
    results = fabricate(**settings)
    directory = write(tmp_path, results)
    assert {path.name for path in directory.iterdir()} == FILES
    content = json.loads((directory / "results.json").read_text(), parse_constant=pytest.fail)
    assert len(content["results"]) == len(results.all)


def test_perfect_translations_are_null_in_json_and_infinite_in_words(tmp_path, fabricate):
    directory = write(tmp_path, fabricate(psnr=[np.inf, 16, 17, 18]))
    content = json.loads((directory / "results.json").read_text(), parse_constant=pytest.fail)
    assert content["results"][1]["psnr"] is None
    assert content["results"][1]["per_image"]["psnr"] == [None, 16, 17, 18]
    assert "∞" in (directory / "results.md").read_text(encoding="utf-8")
