import base64
import hashlib
import html.parser
import io
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sar2opt_jax.report import page, sheets, tables
from sar2opt_jax.report.about import About, Change
from sar2opt_jax.report.history import StageLog

VOID = {"meta", "img", "br", "col", "link", "input", "hr"}
PAPER = "https://arxiv.org/abs/2407.06095"
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell"))), None
)


def render(results, *, title: str = "acd:smoke", config=None, **settings) -> str:
    facts = {"Run": title, "Dataset": "simulated", "Device": "1 × TPU", "Commit": "abc1234", "Date": "2026-01-01"}
    about = About(title=title, facts=facts, config=config or {"seed": 3407}, **settings)
    pictures = sheets.make(results, figure_steps=8, rows=8)
    return page.render(results, about, tables.rows_of(results), pictures, figure_steps=8)


class Reader(html.parser.HTMLParser):
    """Checks that every element is closed where it should be, and collects elements and text."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def every(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def full(fabricate) -> str:
    groups = {"season": ["spring", "fall", "fall", "spring"], "terrain": ["urban", "field", "urban", "field"]}
    methods = [("ddpm", 1000), ("ddim", 4), ("ddim", 8), ("dpm_solver_pp", 8), ("generator", 1), ("lcm", 1), ("lcm", 4)]
    curves = {"loss/teacher": {1: 0.5, 2: 0.25}, "validation/psnr": {1: 10.0, 2: 12.0}}
    return render(
        fabricate(methods, groups=groups, remarks=("Measured with **care**.",)),
        command="sar2opt train --config=acd:smoke",
        changes=(Change("train.batch_size", 8, 16),),
        networks={"teacher": {"stage": "teacher", "parameters": 12345}},
        training=(StageLog(name="teacher", steps=2, seconds=3.0, skipped=0, curves=curves),),
    )


def test_the_page_is_well_formed_and_its_identifiers_are_unique(full):
    reader = Reader(full)
    found = [attrs["id"] for _, attrs in reader.elements if "id" in attrs]
    assert len(set(found)) == len(found)
    targets = [attrs["href"] for _, attrs in reader.elements if attrs.get("href", "").startswith("#")]
    targets += [f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", full)]
    assert {target[1:] for target in targets} <= set(found)


def test_the_page_needs_nothing_from_anywhere(full):
    reader = Reader(full)
    assert re.findall(r"https?://[^\s\"'<)]+", full) == [PAPER]
    assert [attrs for attrs in reader.every("a") if attrs["href"] == PAPER]
    assert not reader.every("link") and "@import" not in full
    assert not any("src" in attrs for attrs in reader.every("script"))
    assert all(attrs["src"].startswith("data:image/") for attrs in reader.every("img"))
    assert "default-src 'none'" in full
    # The one script that the policy lets run is the page's own.
    (script,) = re.findall(r"<script>(.*?)</script>", full, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in full


def test_the_page_says_what_when_and_on_what(full):
    text = Reader(full).text
    for what in ("acd:smoke", "1 × TPU", "abc1234", "2026-01-01", "image1", "rank 1 of 4", "By season", "By terrain"):
        assert what in text
    for what in ("posterior mean", "3 dB below", "by scene", "11 × 11", '"seed": 3407', "results.csv", "speed-up"):
        assert what.lower() in text.lower()


def test_the_page_opens_with_the_headline_numbers(full):
    text = Reader(full).text
    assert "PSNR against the original +6.00 dB Student, 4 steps, minus the original in 1,000 steps" in text
    assert "Speed-up 250×" in text
    assert "LPIPS 0.580 Student, 4 steps; DDIM in 4 steps has 0.630. Lower is better." in text


def test_markdown_is_set_and_all_else_is_escaped(full):
    assert "<li>Measured with <strong>care</strong>.</li>" in full
    assert page.inline("**a** *b* `c` <i> & **d") == (
        "<strong>a</strong> <em>b</em> <code>c</code> &lt;i&gt; &amp; **d"
    )


def test_hostile_names_stay_text(fabricate):
    attack = '"><script>alert(1)</script>'
    groups = {attack: [attack, "b", "b", attack]}
    methods = [("ddpm", 1000), ("lcm", 4)]
    results = fabricate(methods, groups=groups, ids=[attack] * 4, name=attack, remarks=(attack,))
    text = render(results, title=attack, config={"name": f"</pre>{attack}"})
    reader = Reader(text)
    assert len(reader.every("script")) == 1
    assert not any("alert" in name for _, attrs in reader.elements for name in attrs)
    assert "alert(1)" in reader.text


def test_charts_show_names_that_pictures_cannot(fabricate):
    text = render(fabricate([("ddpm", 1000), ("generator", 1)], name="方法 $a$"))
    (chart, *_) = re.findall(r'<svg class="chart".*?speed.*?</svg>', text[text.index('id="speed"') :], flags=re.S)
    assert "方法 $a$" in re.sub(r"aria-label=\"[^\"]*\"", "", chart)


def test_areas_are_those_of_the_colour_shift(fabricate, monkeypatch):
    monkeypatch.setattr(page, "COLOUR_BLOCK", 5)
    assert "Mean colours of areas of 5 × 5 pixels" in Reader(render(fabricate())).text


def test_images_have_alternative_texts_and_tables_have_heads(full):
    reader = Reader(full)
    assert all(attrs["alt"] for attrs in reader.every("img"))
    assert all(attrs["aria-label"] for attrs in reader.every("svg") if attrs.get("role") == "img")
    assert all(attrs["scope"] in ("col", "row", "colgroup", "rowgroup") for attrs in reader.every("th"))


def test_small_images_keep_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8)
    kind, data = page.picture(image).split(",")
    assert kind == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image)


def test_large_images_keep_their_colours():
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    image = np.stack([np.tile(ramp, (256, 1)), np.tile(ramp[:, None], (1, 256)), np.full((256, 256), 90, np.uint8)], -1)
    kind, data = page.picture(image).split(",")
    assert kind == "data:image/webp;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), int)
    assert np.abs(shown - image).mean() < 2


def test_eight_rows_of_large_images_stay_below_five_megabytes(fabricate):
    results = fabricate(count=12, size=(256, 256))
    rng = np.random.default_rng(0)
    # As rough as a photograph of fields: noise at all scales.
    rough = sum(
        np.kron(rng.normal(0, 9, (12, n, n, 3)), np.ones((1, 256 // n, 256 // n, 1))) for n in (8, 32, 128, 256)
    )
    for result in results.methods:
        object.__setattr__(result, "images", lambda places: np.clip(110 + rough[list(places)], 0, 255).astype(np.uint8))
    assert len(render(results)) < 5e6


@pytest.mark.skipif(BROWSER is None, reason="No Chromium was found to open the page with.")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_opens_the_page_without_complaint(tmp_path, full, width):
    # A frame of the width of a phone, because a window cannot be as narrow; it may report its size, the page may not.
    tell = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", full).replace("</body>", tell)
    (tmp_path / "page.html").write_text(open_page, encoding="utf-8")
    frame = f"""<body style="margin: 0"><iframe src="page.html" style="border: 0; width: {width}px; height: 900px"
      onload="document.title = this.contentDocument.title"></iframe></body>"""
    (tmp_path / "frame.html").write_text(frame, encoding="utf-8")
    (tmp_path / "report.html").write_text(full, encoding="utf-8")

    def browse(name: str) -> subprocess.CompletedProcess:
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom"]
        return subprocess.run(
            [*command, (tmp_path / name).as_uri()], capture_output=True, text=True, timeout=120, check=True
        )

    assert "CONSOLE" not in browse("report.html").stderr
    found = re.search(r"<title>(\d+) of (\d+)</title>", browse("frame.html").stdout)
    assert found, "The page did not tell its width."
    content, window = map(int, found.groups())
    assert content <= window == width


def test_the_page_says_how_it_was_trained_and_how_to_repeat_it(full):
    text = Reader(full).text
    assert "git checkout abc1234 sar2opt train --config=acd:smoke" in text
    assert "train.batch_size 8 16" in text
    assert "teacher 2 12,345 3 s 0.67" in text
    assert "@article{bai2024accelerating" in text
    assert 'aria-label="Losses, teacher"' in full and 'aria-label="Validation: PSNR (dB)"' in full


def test_the_radar_and_the_truth_of_every_row_can_be_found(full):
    rows = re.findall(r"<(?:tr|div)[^>]* data-row=.*?</(?:tr|figure)>", full, flags=re.S)
    assert len(rows) == 1 + 4 + 3 + 4  # The opening, side by side, examples, colours.
    for row in rows[:-4]:
        assert row.count('data-role="sar"') == row.count('data-role="truth"') == 1
        assert 'data-name="Student, 4 steps"' in row


def test_the_template_is_part_of_the_package():
    assert (Path(page.__file__).parent / "report.html.jinja").is_file()
