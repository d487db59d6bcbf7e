"""Writes a report for people: two figures, a table with what is needed to read it, and the numbers as CSV and JSON."""

import csv
import datetime
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sar2opt_jax.evaluation import plots
from sar2opt_jax.evaluation.evaluate import PATIENCE_SECONDS, Result, Results, steps_text


def write(
    directory: Path,
    results: Results,
    *,
    title: str,
    dataset: str,
    split: str,
    config: Mapping[str, Any],
    teacher_steps: int = 8,
    rows: int = 8,
) -> None:
    """Writes samplers.png, steps.png, results.md, results.csv and, last of all, results.json.

    Args:
      directory: where to; made if it does not exist, files of an earlier report are replaced.
      results: of ``evaluate.run``.
      title: what was evaluated, such as ``acd:simulated``.
      dataset: its name.
      split: which part of it.
      config: the whole config as plain JSON, kept in results.json.
      teacher_steps: the number of DDIM's and DPM++'s steps in samplers.png.
      rows: examples in samplers.png, at most.
    """
    directory.mkdir(parents=True, exist_ok=True)
    about = {
        "Run": title,
        "Dataset": f"{dataset}, split {split}",
        "Images": f"{len(results.ids)} of {results.image_size[0]} x {results.image_size[1]} pixels",
        **surroundings(),
    }
    plots.samplers(results, teacher_steps=teacher_steps, rows=rows).savefig(directory / "samplers.png")
    plots.steps(results).savefig(directory / "steps.png")
    table = rows_of(results)
    with (directory / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    (directory / "results.md").write_text(_markdown(results, about, teacher_steps=teacher_steps), encoding="utf-8")
    content = {
        "about": about,
        "config": config,
        "ids": results.ids,
        "truth_sharpness": results.truth_sharpness.tolist(),
    }
    content["results"] = [
        row | {"per_image": {name: values.tolist() for name, values in result.metrics.items()}}
        for row, result in zip(table, _all(results), strict=True)
    ]
    # Last and at once: where it stands, the report is complete.
    temporary = directory / f".results.json.{os.getpid()}"
    temporary.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, directory / "results.json")


def rows_of(results: Results) -> list[dict[str, Any]]:
    """The table, one dict a method, the linear floor first; what does not apply is None.

    ``psnr_db``, ``ssim``, ``sharpness`` (relative to the truth) and ``gradient_distance`` are means over the images,
    ``psnr_minus_original_db`` is the mean difference to the original and ``..._error`` its standard error.
    """
    table = []
    for result in _all(results):
        difference, error = _against_original(results, result)
        table.append(
            {
                "method": result.title,
                "network": result.name,
                "sampler": result.sampler,
                "steps": result.num_steps or None,
                "psnr_db": result.mean("psnr"),
                "psnr_minus_original_db": difference,
                "psnr_minus_original_db_error": error,
                "ssim": result.mean("ssim"),
                "sharpness": results.relative_sharpness(result),
                "gradient_distance": result.mean("gradient_distance"),
                "ms_per_image": result.ms_per_image,
                "speed_up": results.speed_up(result),
            }
        )
    return table


def surroundings() -> dict[str, str]:
    """What the numbers were measured on and with, by names that a person reads."""
    device = jax.devices()[0]
    return {
        "Device": f"{device.device_kind} ({device.platform}), 1 of {jax.device_count()} used",
        "Processor": f"{_processor()}, {os.cpu_count()} logical cores",
        "Software": f"JAX {jax.__version__}, Python {platform.python_version()}",
        "Commit": _commit() or "unknown (not run from a git checkout)",
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _all(results: Results) -> tuple[Result, ...]:
    return results.floor, *results.methods


def _against_original(results: Results, result: Result) -> tuple[float | None, float | None]:
    """Mean and standard error over the images of PSNR minus the original's PSNR of the same image."""
    original = results.original
    if original is None or result is original:
        return None, None
    # A PSNR is infinite where a translation equals the truth, such as an image without data.
    with np.errstate(invalid="ignore"):
        difference = result.metrics["psnr"] - original.metrics["psnr"]
        count = len(difference)
        error = float(np.std(difference, ddof=1) / math.sqrt(count)) if count > 1 else None
        return float(np.mean(difference)), error


def _markdown(results: Results, about: Mapping[str, str], *, teacher_steps: int) -> str:
    original = results.original
    reference = steps_text(original.num_steps) if original else "all its steps"
    header = [
        "Method", "Steps", "PSNR (dB)", "PSNR − original (dB)", "SSIM", "Sharpness", "Gradient distance",
        "ms per image", "Speed-up",
    ]  # fmt: skip
    body = []
    for row in rows_of(results):
        difference = _text(row["psnr_minus_original_db"], "+.2f")
        if row["psnr_minus_original_db_error"] is not None:
            difference += f" ± {row['psnr_minus_original_db_error']:.2f}"
        body.append(
            [
                row["method"],
                _text(row["steps"], "d"),
                _text(row["psnr_db"], ".2f"),
                difference,
                _text(row["ssim"], ".3f"),
                _text(row["sharpness"], ".2f"),
                _text(row["gradient_distance"], ".4f"),
                _text(row["ms_per_image"], ",.1f"),
                _text(row["speed_up"], ",.1f", suffix=" x"),
            ]
        )
    return _PAGE.format(
        title=about["Run"],
        about="\n".join(f"- {name}: {value}" for name, value in about.items() if name != "Run"),
        table=_table(header, body),
        teacher_steps=steps_text(teacher_steps),
        reference=reference,
        count=len(results.ids),
        patience=f"{PATIENCE_SECONDS:.0f}",
    )


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns aligned in the source too, names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in (header, *body)) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]
        for cells in (header, rule, *body)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: float | None, form: str, *, suffix: str = "") -> str:
    return "" if value is None else format(value, form) + suffix


def _finite(content: Any) -> Any:
    """Infinity and NaN, which JSON does not have, as null."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _processor() -> str:
    """The processor's model, which only Linux tells in full."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of this source, marked ``-dirty`` where files differ from it; None outside its own checkout."""
    here = Path(__file__)
    try:
        # An installed copy may lie in somebody else's repository, which does not track it.
        subprocess.run(
            ["git", "ls-files", "--error-unmatch", here.name], cwd=here.parent, check=True, capture_output=True
        )
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(command, cwd=here.parent, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


_PAGE = """# Results of {title}

{about}

![Translations by different samplers, side by side](samplers.png)

*The same radar images translated by each method. DDIM and DPM++ are shown with {teacher_steps}.*

## Numbers

{table}

![Quality against the number of steps](steps.png)

## What the columns mean

- **Method.** *Linear floor*: the best linear regression from a small window of radar pixels to a colour; no network.
  *Original*: the teacher, sampled as it was trained, in {reference}. *DDIM* and *DPM++*: the same teacher with
  samplers that take fewer steps. *Student*: the network distilled from the teacher.
- **Steps.** Network evaluations per image.
- **PSNR.** Peak signal-to-noise ratio in dB, on images scaled to [0, 1] by (x + 1) / 2 with range 1, per image, then
  averaged. Higher is closer to the truth.
- **PSNR − original.** The same minus the original's, image by image: mean ± standard error over the {count} images.
- **SSIM.** Structural similarity with an 11 x 11 Gaussian window (sigma 1.5, K = 0.01, 0.03), on the same images. 1 is
  the truth.
- **Sharpness.** Mean gradient of the luminance between neighbouring pixels, divided by that of the truth. 1 is right,
  less is blurred, more is noise or artefacts.
- **Gradient distance.** How far the distribution of these gradients is from the truth's (Wasserstein-1, in intensity
  per pixel). 0 is right; noise that stands in for lost detail does not lower it.
- **ms per image.** Time for one image alone, from radar image on the device to translated image on the device, after
  compilation: the median of repeated runs after a warm-up. A method that takes more than {patience} s for an image is
  timed by one run. **Speed-up** is against the original.

## How to read them

All methods translate the same {count} images and start from the same noise. PSNR and SSIM do not tell the whole story:

- Many optical images fit one radar image. **Nothing beats their average in PSNR**, and an average is blurred. A
  teacher sampled in one step gives almost exactly that average. So the fewest steps of DDIM and DPM++ can lead the
  table in PSNR and still look washed out: their sharpness shows it.
- The original and a good student give **one** of the fitting images, sharp and in plausible colours. Details that are
  plausible but elsewhere than in the truth count double: a perfect sample stands 3 dB below the average.
- Compare like with like: the student with the original, both samples, where it should be at least equal at a small
  part of the cost; and the student with DDIM and DPM++ **at the same number of steps**, where its sharpness should
  be nearer to 1.
- A method whose PSNR is below the linear floor and whose images are blurred as well has learned little.

Per-image numbers, the config and the names of the images are in results.json; the table is also in results.csv.
"""
