"""Shows a page in the browser to try a network on:

    sar2opt demo
    sar2opt demo --model=runs/acd-simulated --port=7861

Drop a radar image (GeoTIFF, PNG, JPEG) and see it translated, under a slider. The page is for this machine alone unless
--host=0.0.0.0 opens it to the network; images stay on the machine that runs it, and are deleted when it ends.
Needs the extra demo: pip install 'sar2opt-jax[demo]'.
"""

import contextlib
import functools
import importlib.resources
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib
import numpy as np
from absl import app, flags
from PIL import Image

from sar2opt_jax import inference
from sar2opt_jax.cli import start
from sar2opt_jax.cli.network_flags import MODEL, STAGE
from sar2opt_jax.interop import pretrained
from sar2opt_jax.scene import patch, previews, units
from sar2opt_jax.scene.translate import SceneSettings, SceneTranslator
from tfds_builders import interruption

_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; the default is this machine alone.")
_PORT = flags.DEFINE_integer("port", 7860, "Port to listen on.")

FAILURES = (ValueError, OSError, MemoryError, jax.errors.JaxRuntimeError)
"""What an upload that does not fit leads to, the device's memory included."""
SAMPLES = 4
"""Translations that the spread is measured over."""
MAX_SPREAD = 64.0
"""Standard deviation in grey levels that is shown brightest."""
WARNING = "**Generated detail is invented: not for measuring.** Another seed gives another plausible image."


class Shown(NamedTuple):
    """What the page shows of a translation.

    Attributes:
      pair: the radar image and its translation, [height, width, 3] uint8 both.
      spread: the standard deviation over several noises as colours, likewise; None where it was not asked for.
      file: the translation as a cloud-optimised GeoTIFF.
      text: what is to be said of it, Markdown.
    """

    pair: tuple[np.ndarray, np.ndarray]
    spread: np.ndarray | None
    file: str
    text: str


def translate(
    load: Callable[[str], SceneTranslator],
    folder: Path,
    file: str | None,
    model: str,
    steps: int,
    seed: int,
    sar_range: str,
    with_spread: bool,
) -> Shown:
    """Translates an uploaded file.

    Args:
      load: a network by its name.
      folder: where outputs go.
      file: path of the upload; None without one.
      model: a name that ``load`` knows.
      steps: network evaluations.
      seed: of the noise.
      sar_range: as of ``units.parse_limits``; empty: the file is as the network takes it.
      with_spread: whether to measure it.

    Raises:
      ValueError: for what does not fit, as one sentence.
      OSError: where the file cannot be read.
    """
    if not file:
        raise ValueError("There is no radar image yet: drop one, or choose an example.")
    translator, source = load(model), Path(file)
    limits = units.parse_limits(sar_range.strip()) if sar_range and sar_range.strip() else None
    settings = SceneSettings(
        steps=int(steps), seed=int(seed), samples=SAMPLES if with_spread else 1, sar_range=limits, overwrite=True
    )
    made = Path(tempfile.mkdtemp(dir=folder))
    if source.suffix.lower() in (".png", ".jpg", ".jpeg"):  # Grey may be stored as three equal colours.
        values = patch.read(source, translator.radar)
        source = made / "radar.tif"
        Image.fromarray(np.ma.getdata(values)[..., 0]).save(source)
    began, notes = time.monotonic(), []
    done = translator(source, made / "optical.tif", settings, say=notes.append)
    seconds = time.monotonic() - began
    said = f"{done.height} x {done.width} pixels, {steps} {'step' if steps == 1 else 'steps'}, {seconds:.1f} s"
    notes = [note for note in notes if "coordinate" not in note or source.parent != made]
    spread = None
    if done.uncertainty is not None:
        spread = heat(previews.of_raster(done.uncertainty)[..., 0])
        notes.append(f"The spread is over {SAMPLES} noises: black is none, bright is {MAX_SPREAD:.0f} grey levels.")
    radar = previews.of_radar(source, translator, settings)
    optical = previews.of_raster(done.output).astype(np.uint8)
    return Shown((radar, optical), spread, str(done.output), "  \n".join([said, *notes]))


def heat(deviation: np.ndarray) -> np.ndarray:
    """A standard deviation [height, width] in grey levels as colours, [height, width, 3] uint8."""
    colours = matplotlib.colormaps["inferno"](np.clip(deviation / MAX_SPREAD, 0, 1))
    return np.asarray(colours[..., :3] * 255).astype(np.uint8)


def examples() -> list[str]:
    """Radar images that come with the package."""
    folder = Path(str(importlib.resources.files("sar2opt_jax") / "samples"))
    return sorted(str(path) for path in folder.glob("*.png"))


def page(models: Sequence[str], load: Callable[[str], SceneTranslator], folder: Path) -> Any:
    """The page, of Gradio, not yet served."""
    import gradio as gr  # pyright: ignore[reportMissingImports] - an extra

    def run(*given: Any, progress: Any = gr.Progress(track_tqdm=True)) -> tuple[Any, ...]:  # noqa: B008 - Gradio's way
        del progress  # Gradio fills it in, and shows the bars of tqdm by it.
        try:
            shown = translate(load, folder, *given)
        except FAILURES as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise gr.Error(said, title="Not translated") from error
        spread = gr.update(value=shown.spread, visible=shown.spread is not None)
        return shown.pair, spread, gr.update(value=shown.file, interactive=True), shown.text

    with gr.Blocks(title="sar2opt", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gr.Markdown(f"# Radar to optical\n{WARNING}")
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                file = gr.File(
                    label="Radar image: GeoTIFF, PNG or JPEG", file_types=[".tif", ".tiff", ".png", ".jpg", ".jpeg"],
                    type="filepath", height=140,
                )  # fmt: skip
                gr.Examples([[path] for path in examples()], inputs=[file], label="Sentinel-1 (SEN1-2, CC-BY 4.0)")
                model = gr.Dropdown(list(models), value=models[0], label="Model")
                steps = gr.Slider(1, 8, value=2, step=1, label="Steps")
                seed = gr.Number(value=0, precision=0, label="Seed")
                sar_range = gr.Textbox(
                    label="Range in dB",
                    placeholder="-25,0",
                    info="What becomes 0 and 255, for files that are not 8-bit.",
                )
                with_spread = gr.Checkbox(label=f"Where is it a guess? ({SAMPLES} times slower)")
                button = gr.Button("Translate", variant="primary")
            with gr.Column(scale=2, min_width=300):
                slider = gr.ImageSlider(label="Radar and translation", interactive=False, format="png", max_height=640)
                text = gr.Markdown("The first translation of a model takes longest: its program is compiled.")
                spread = gr.Image(label="Standard deviation over several noises", visible=False, format="png")
                download = gr.DownloadButton("Download as GeoTIFF", interactive=False)
        given = [file, model, steps, seed, sar_range, with_spread]
        button.click(run, given, [slider, spread, download, text], api_name="translate")
    return blocks


def main(argv: list[str]) -> None:
    """Flags, then one call."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    start.show_log()
    if importlib.util.find_spec("gradio") is None:
        sys.exit("sar2opt demo needs the package gradio: pip install 'sar2opt-jax[demo]'.")
    own: list[str] = [] if MODEL.value is None else [MODEL.value]
    models = list(dict.fromkeys([*own, *pretrained.shipped()]))
    load = functools.lru_cache(maxsize=2)(functools.partial(inference.load_scenes, stage=STAGE.value))
    try:
        load(models[0])  # What does not fit is said before there is a page.
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    with tempfile.TemporaryDirectory(prefix="sar2opt-demo-") as folder:
        blocks = page(models, load, Path(folder))
        try:
            blocks.launch(
                server_name=_HOST.value, server_port=_PORT.value, quiet=True, share=False, prevent_thread_lock=True
            )
        except OSError:
            sys.exit(
                f"Nothing can listen on port {_PORT.value} of {_HOST.value}, or something does; choose another --port."
            )
        print(f"The page is http://{_HOST.value}:{_PORT.value}; Ctrl-C ends it.", flush=True)
        with contextlib.suppress(interruption.Interrupted):  # How a page ends.
            blocks.block_thread()
        blocks.close()


def run() -> None:
    """The entry point, of ``sar2opt demo``."""
    shown = ("model", "host", "port", "stage")
    start.run(main, start.Command(module="sar2opt_jax.demo", text=__doc__ or "", shown=shown, required=()))


if __name__ == "__main__":
    run()
