"""TFDS builders of SAR and optical image pairs.

Importing this package makes their names known to TFDS: ``tfds.data_source("sen12", split="train", data_dir=...)``. A
builder itself is imported when its name is asked for, and TFDS not before somebody imports it: reading image files
needs neither.
"""

import importlib
from typing import Any

import wrapt

BUILDERS = {
    "gf3": "tfds_builders.gf3",
    "pairs": "tfds_builders.pairs",
    "sen12": "tfds_builders.sen12",
    "simulated": "tfds_builders.simulated",
}
"""The module of each dataset's ``Builder``."""


class _Provider:
    """Tells TFDS of the datasets in ``BUILDERS``."""

    def has_dataset(self, name: str) -> bool:
        return name in BUILDERS

    def get_builder_cls(self, name: str) -> Any:
        return importlib.import_module(BUILDERS[name]).Builder


@wrapt.when_imported("tensorflow_datasets")
def _register(tfds: Any) -> None:
    # First, because the provider of TFDS's own datasets imports all of them before it says that it has none of a name.
    tfds.core.add_dataset_builder_provider(_Provider(), index=0)
