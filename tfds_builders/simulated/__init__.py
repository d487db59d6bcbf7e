"""Simulated landscapes, prepared by ``python -m tfds_builders.prepare simulated``."""

from tfds_builders.simulated.simulated_dataset_builder import Builder as Builder
