"""The answers of torch and diffusers that ``record.py`` wrote, by name; their versions are ``version/...``."""

from pathlib import Path

import numpy as np

with np.load(Path(__file__).with_name("references.npz")) as _file:
    RECORDED = {name: _file[name] for name in _file.files}
