"""SEN1-2, prepared by ``python -m tfds_builders.prepare sen12``."""

from tfds_builders.sen12.sen12_dataset_builder import Builder as Builder
