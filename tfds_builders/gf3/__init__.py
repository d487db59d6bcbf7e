"""Gaofen-3 pairs, prepared by ``python -m tfds_builders.prepare gf3/qxs_saropt``."""

from tfds_builders.gf3.gf3_dataset_builder import Builder as Builder
