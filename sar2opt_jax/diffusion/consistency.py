"""The consistency function and its multistep times (arXiv 2303.01469; in discrete time arXiv 2310.04378)."""

from sar2opt_jax.diffusion.schedule import over_image
from sar2opt_jax.types import Array, Denoiser

TIME_SCALE = 10.0
"""Discrete times enter the boundary coefficients ten-fold, so that c_skip is negligible from the first grid time on."""


def boundary(t: Array, *, sigma_data: float = 0.5) -> tuple[Array, Array]:
    """The coefficients ``(c_skip, c_out)`` at the times ``t``, each shaped like ``t``; (1, 0) at t = 0.

    c_skip = d^2 / ((10 t)^2 + d^2),  c_out = 10 t / sqrt((10 t)^2 + d^2),  d = sigma_data.
    """
    scaled = TIME_SCALE * t.astype("float32")
    c_skip = sigma_data**2 / (scaled**2 + sigma_data**2)
    c_out = scaled / (scaled**2 + sigma_data**2) ** 0.5
    return c_skip, c_out


def consistency_function(denoise: Denoiser, *, sigma_data: float = 0.5) -> Denoiser:
    """f(x, t) = c_skip(t) x + c_out(t) x_0(x, t), which is x itself at t = 0."""

    def f(x: Array, t: Array) -> Array:
        c_skip, c_out = (over_image(c, x) for c in boundary(t, sigma_data=sigma_data))
        return c_skip * x + c_out * denoise(x, t)

    return f
