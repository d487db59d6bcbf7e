"""Noise schedules of the variance-preserving diffusion  x_t = alpha_t x_0 + sigma_t eps."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from sar2opt_jax.types import Array, Denoiser

Predictor = Callable[[Array, Array], Array]
"""``predictor(x_t, t)``: a network's raw output with parameters and condition bound."""

PREDICTIONS = ("eps", "v", "x_0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """One noise schedule, shared by training, distillation and sampling.

    A mismatch between the three is itself a colour shift, hence one object for all.

    Attributes:
      name: what it was made as, for messages and for the description of an export.
      alphas_bar: [num_steps] float64, alpha_bar_t, decreasing.
    """

    name: str
    alphas_bar: np.ndarray

    def __post_init__(self):
        decreasing = np.all(np.diff(self.alphas_bar) < 0)
        # Below 1 at t = 0 too: eps and the signal-to-noise ratio divide by sigma_t.
        if not (decreasing and self.alphas_bar[0] < 1 and self.alphas_bar[-1] >= 0):
            raise ValueError(f"alphas_bar of schedule {self.name!r} must decrease within [0, 1), 1 excluded.")

    @property
    def num_steps(self) -> int:
        """T, the number of training times."""
        return len(self.alphas_bar)

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether nothing of the image is left at the last time."""
        return bool(self.alphas_bar[-1] == 0)

    def alpha(self, t: Array) -> Array:
        """sqrt(alpha_bar_t), shaped like ``t``; 1 at t = -1, the clean image."""
        return self._look_up(np.sqrt(self.alphas_bar), t, clean=1.0)

    def sigma(self, t: Array) -> Array:
        """sqrt(1 - alpha_bar_t), shaped like ``t``; 0 at t = -1."""
        return self._look_up(np.sqrt(1 - self.alphas_bar), t, clean=0.0)

    def snr(self, t: Array) -> Array:
        """Signal-to-noise ratio (alpha_t / sigma_t)^2, shaped like ``t``."""
        return (self.alpha(t) / self.sigma(t)) ** 2

    def add_noise(self, x_0: Array, eps: Array, t: Array) -> Array:
        """x_t = alpha_t x_0 + sigma_t eps, for ``t`` of shape [batch] or []."""
        return over_image(self.alpha(t), x_0) * x_0 + over_image(self.sigma(t), x_0) * eps

    def velocity(self, x_0: Array, eps: Array, t: Array) -> Array:
        """v = alpha_t eps - sigma_t x_0 (arXiv 2202.00512, appendix D)."""
        return over_image(self.alpha(t), x_0) * eps - over_image(self.sigma(t), x_0) * x_0

    def to_x_0(self, output: Array, x_t: Array, t: Array, *, prediction: str) -> Array:
        """The estimate of x_0 in a network's output at ``x_t``.

        An eps-network's output is divided by alpha_t, which amplifies its error 14.6 (scaled-linear), 157 (linear)
        or 20,291 (cosine) times at the last time; a v-network's is not amplified.
        """
        check_known(prediction)
        alpha, sigma = over_image(self.alpha(t), x_t), over_image(self.sigma(t), x_t)
        if prediction == "eps":
            return (x_t - sigma * output) / alpha
        if prediction == "v":
            return alpha * x_t - sigma * output
        return output

    def to_eps(self, x_0: Array, x_t: Array, t: Array) -> Array:
        """The noise that leads from ``x_0`` to ``x_t``:  eps = (x_t - alpha_t x_0) / sigma_t."""
        return (x_t - over_image(self.alpha(t), x_t) * x_0) / over_image(self.sigma(t), x_t)

    def target(self, x_0: Array, eps: Array, t: Array, *, prediction: str) -> Array:
        """What a network of this kind of prediction should put out."""
        check_known(prediction)
        return {"eps": eps, "v": self.velocity(x_0, eps, t), "x_0": x_0}[prediction]

    def denoiser(self, predictor: Predictor, *, prediction: str, clip: bool) -> Denoiser:
        """Turns a network into an estimate of x_0; the only place where x_0 is clipped.

        Samplers derive eps from this x_0 again, so clipping equals diffusers' ``use_clipped_model_output=True``.
        """

        def denoise(x_t: Array, t: Array) -> Array:
            x_0 = self.to_x_0(predictor(x_t, t), x_t, t, prediction=prediction)
            return jnp.clip(x_0, -1, 1) if clip else x_0

        return denoise

    def check_prediction(self, prediction: str) -> None:
        """Raises ValueError where a network of this kind cannot be trained on this schedule."""
        check_known(prediction)
        if prediction == "eps" and self.zero_terminal_snr:
            raise ValueError(
                f"Schedule {self.name!r} has zero terminal SNR: at its last time eps says nothing about the image. "
                "Use prediction 'v' or 'x_0', or rescale_zero_snr=False."
            )

    @staticmethod
    def _look_up(table: np.ndarray, t: Array, *, clean: float) -> Array:
        # Index -1 is the clean image: appended last, it is what the negative index finds.
        return jnp.asarray(np.append(table, clean), jnp.float32)[t]


def check_known(prediction: str) -> None:
    """Raises ValueError for an unknown kind of prediction."""
    if prediction not in PREDICTIONS:
        raise ValueError(f"Unknown prediction {prediction!r}; known: {', '.join(PREDICTIONS)}.")


def over_image(coefficient: Array, image: Array) -> Array:
    """Lays a coefficient of shape [batch] or [] over ``image``, [batch, height, width, channel]."""
    return coefficient.reshape(coefficient.shape + (1,) * (image.ndim - coefficient.ndim))


def _linear(num_steps: int, beta_start: float = 1e-4, beta_end: float = 2e-2) -> np.ndarray:
    return np.cumprod(1 - np.linspace(beta_start, beta_end, num_steps))


def _scaled_linear(num_steps: int, beta_start: float = 8.5e-4, beta_end: float = 1.2e-2) -> np.ndarray:
    return np.cumprod(1 - np.linspace(beta_start**0.5, beta_end**0.5, num_steps) ** 2)


def _cosine(num_steps: int, max_beta: float = 0.999) -> np.ndarray:
    """arXiv 2102.09672, equation 17, with the clipping of beta given there."""
    angle = (np.arange(num_steps + 1) / num_steps + 0.008) / 1.008 * np.pi / 2
    alphas_bar = np.cos(angle) ** 2
    return np.cumprod(1 - np.minimum(1 - alphas_bar[1:] / alphas_bar[:-1], max_beta))


SCHEDULES = {"linear": _linear, "scaled_linear": _scaled_linear, "cosine": _cosine}


def make_schedule(name: str, *, num_steps: int = 1000, rescale_zero_snr: bool = False) -> Schedule:
    """Makes a schedule by name.

    Args:
      name: ``linear`` (beta 1e-4 .. 2e-2), ``scaled_linear`` (sqrt(beta) linear, 8.5e-4 .. 1.2e-2) or ``cosine``.
      num_steps: T.
      rescale_zero_snr: shift and scale alpha so that alpha_{T-1} = 0 (arXiv 2305.08891, algorithm 1). A terminal
        alpha above zero lets the network see the image's brightness at the noisiest time in training, which it
        does not see when sampling: a likely root of the colour shift.

    Raises:
      ValueError: for an unknown name.
    """
    if name not in SCHEDULES:
        raise ValueError(f"Unknown schedule {name!r}; known: {', '.join(SCHEDULES)}.")
    alphas_bar = SCHEDULES[name](num_steps)
    if rescale_zero_snr:
        alpha = np.sqrt(alphas_bar)
        alpha = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
        alphas_bar, name = alpha**2, f"{name}, zero terminal SNR"
    return Schedule(name=name, alphas_bar=alphas_bar)
