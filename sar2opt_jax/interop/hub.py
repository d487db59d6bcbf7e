"""The Hugging Face hub: networks are fetched from it, and put there with a model card."""

import re
from pathlib import Path
from typing import Any

from sar2opt_jax.description import Description

PREFIX = "hf://"
FILES = ("*.json", "*.safetensors")
"""What is fetched: nothing that could run."""
_NAME = re.compile(rf"{PREFIX}(?P<model>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


def fetch(name: str) -> Path:
    """The folder of a model, fetched if it is not there yet.

    Args:
      name: ``hf://USER/NAME``, or with a revision, ``hf://USER/NAME@REVISION``.

    Raises:
      ValueError: for a malformed name, or without the package that fetches.
      OSError: where the hub cannot be reached, or has no such model.
    """
    model, revision = _parsed(name)
    hub = _package(f"To fetch {name}")
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # As in ``upload``.
        raise OSError(f"{name} could not be fetched: {_said(error)}") from error


def check(name: str) -> None:
    """Raises ValueError as ``upload`` does, before anything is made for it."""
    if _parsed(name)[1] is not None:
        raise ValueError(f"--output={name} names a revision; a model is put at hf://USER/NAME.")
    _package(f"To write to {name}")


def upload(name: str, folder: Path) -> str:
    """Puts a folder on the hub, by the login of its own command ``hf auth login``; makes the model where it is new.

    Returns:
      The address of the model's page.

    Raises:
      ValueError: for a malformed name, or without the package.
      OSError: where the hub cannot be reached, or does not let the user write there.
    """
    model, _ = _parsed(name)
    hub = _package(f"To write to {name}")
    try:
        api = hub.HfApi()
        api.create_repo(model, repo_type="model", private=True, exist_ok=True)
        api.upload_folder(repo_id=model, repo_type="model", folder_path=str(folder))
    except Exception as error:  # Without a network it is one of whatever library the package talks to the hub by.
        raise OSError(f"{name} could not be written: {_said(error)}") from error
    return f"https://huggingface.co/{model}"


def card(about: Description, *, name: str, parameters: int) -> str:
    """A model card, Markdown with the hub's header, of what a description states; what nobody states is asked for.

    Args:
      about: of the network.
      name: ``hf://USER/NAME``.
      parameters: how many the network has.
    """
    model, _ = _parsed(name)
    radar, steps = about.radar, about.usual_steps or (4 if about.kind == "student" else None)
    limits = "" if radar.limits is None else f", {'; '.join(f'{low:g} to {high:g}' for low, high in radar.limits)}"
    rows = {
        "Kind": f"{about.kind}, stage `{about.stage}`, {about.step:,} optimiser steps",
        "Network": f"U-Net, {parameters:,} parameters, widths {', '.join(map(str, about.unet.widths))}",
        "Radar": f"{', '.join(radar.bands)}, {radar.quantity}{limits}",
        "Optical": f"{', '.join(about.optical.bands)}, {about.optical.quantity}",
        "Ground sampling": "unknown" if about.ground_sampling_m is None else f"{about.ground_sampling_m:g} m",
        "Trained on": f"`{about.dataset.name}`, {about.image_size} x {about.image_size} pixels",
        "Recipe": f"`{about.preset}`, fingerprint `{about.fingerprint}`, sar2opt_jax {about.software}",
    }
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    flag = "" if steps is None else f" --steps={steps}"
    return f"""---
library_name: sar2opt-jax
pipeline_tag: image-to-image
tags: [sar, remote-sensing, jax]
---
# {model.split("/")[1]}

Translates radar (SAR) images into optical-looking ones, with sar2opt_jax. **Its detail is invented: not for measuring,
detecting or deciding anything.**

```sh
sar2opt translate --model={name} --input=scene.tif --output=optical.tif{flag}
```

| | |
| --- | --- |
{table}

## To be filled in by whom it belongs to

- The licence of the weights, and the licence and attribution of the training data.
- How many images of which places, seasons and sensors it saw, and how it was evaluated.
- Where it fails.
"""


def _parsed(name: str) -> tuple[str, str | None]:
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise ValueError(
            f"{name} is no model of the Hugging Face hub; expected hf://USER/NAME or hf://USER/NAME@REVISION."
        )
    return matched["model"], matched["revision"]


def _package(purpose: str) -> Any:
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise ValueError(f"{purpose}, the package huggingface_hub is needed: pip install 'sar2opt-jax[hub]'.") from None
    return huggingface_hub


def _said(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
