"""Somebody's own pairs, prepared by ``python -m tfds_builders.prepare pairs/NAME``."""

from tfds_builders.pairs.pairs_dataset_builder import Builder as Builder
from tfds_builders.pairs.pairs_dataset_builder import configure as configure
from tfds_builders.pairs.settings import Reading as Reading
from tfds_builders.pairs.settings import Settings as Settings
