"""SAR-to-optical image translation by adversarial consistency distillation (arXiv 2407.06095), in JAX."""

__version__ = "0.1.0"
