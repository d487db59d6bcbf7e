"""Networks that are a formula with examples for them, and results with known numbers."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.diffusion.translation import Method, Translator
from sar2opt_jax.evaluation import translations
from sar2opt_jax.evaluation.results import Result, Results
from sar2opt_jax.evaluation.translations import Contender

SIDE = 12
SCHEDULE = make_schedule("cosine", num_steps=100)
TEACHER = [("ddpm", 1000), ("ddim", 1), ("ddim", 4), ("ddim", 8), ("dpm_solver_pp", 8)]
STUDENT = [("lcm", 1), ("lcm", 4)]
KINDS = {None: "floor", "lcm": "student", "generator": "generator"}


def from_sar(params, x_t, t, sar):
    """Knows the truth: grey and proportional to the SAR image, whatever the noise."""
    del x_t, t
    return params["gain"] * jnp.repeat(sar, 3, axis=-1)


def from_noise(params, x_t, t, sar):
    """Depends on the noise as well."""
    del t
    return params["gain"] * x_t + 0.5 * sar.mean(axis=-1, keepdims=True)


def make_contender(sampler, num_steps, *, model=from_sar, gain=0.5, name=""):
    return Contender(
        name=name or ("student" if sampler == "lcm" else "teacher"),
        translator=Translator(
            model=model, schedule=SCHEDULE, prediction="x_0", solver_steps=50 if sampler == "lcm" else None
        ),
        params={"gain": np.float32(gain)},
        method=Method(sampler=sampler, num_steps=num_steps),
        identity={"gain": gain, "model": model.__name__},
    )


def make_examples(count=5):
    """Optical images that are half as bright as the radar image, and 0.1 brighter."""
    rng = np.random.default_rng(0)
    pairs = []
    for number in range(count):
        sar = rng.integers(0, 256, (SIDE, SIDE, 1), np.uint8)
        optical = np.rint(0.5 * sar + 127.5 * 0.6).astype(np.uint8).repeat(3, axis=-1)
        pairs.append({"sar": sar, "optical": optical, "id": f"p{number}", "season": "fall" if number % 2 else "spring"})
    return Examples(pairs, num_examples=count, image_size=SIDE)


@pytest.fixture
def contender():
    """Makes a contender: sampler, number of steps, and what differs from a network that knows the truth."""
    return make_contender


@pytest.fixture
def examples():
    """Makes examples."""
    return make_examples


@pytest.fixture
def untimed(monkeypatch):
    """Latency needs a compilation of its own, which most tests can do without."""
    monkeypatch.setattr(translations, "latency_ms", lambda function, *args, repeats: 1.0)


def flat(level: int, size: tuple[int, int], channels: int = 3) -> Callable:
    """Images of one grey each, by their positions; a little lighter from image to image."""
    return lambda positions: np.stack([np.full((*size, channels), (level + i) % 250, np.uint8) for i in positions])


@pytest.fixture(scope="session")
def fabricate() -> Callable[..., Results]:
    """A function that makes results with known numbers: image ``i`` of method ``m`` has a PSNR of 15 + m + i dB."""

    def make(
        methods=(*TEACHER, *STUDENT),
        *,
        count: int = 4,
        size: tuple[int, int] = (16, 16),
        channels: int = 1,
        keys=("psnr", "ssim", "lpips_alexnet", "colour_shift", "sharpness", "gradient_distance"),
        distances=("frechet_alexnet",),
        groups=None,
        ids=None,
        remarks=(),
        name: str | None = None,
        psnr=None,
        timed: bool = True,
    ) -> Results:
        def result(rank: int, sampler: str | None, steps: int) -> Result:
            values = {
                "psnr": 15.0 + rank + np.arange(count) if psnr is None else np.array(psnr, float),
                "ssim": np.full(count, 0.5 + 0.01 * rank),
                "lpips_alexnet": 0.5 - 0.01 * rank + 0.1 * np.arange(count),
                "colour_shift": np.full(count, 9.0 - 0.5 * rank),
                "sharpness": np.full(count, 0.02 + 0.004 * rank),
                "gradient_distance": np.full(count, 0.01),
            }
            return Result(
                name=name or {None: "linear", "lcm": "student", "generator": "pix2pix"}.get(sampler, "teacher"),
                kind=KINDS.get(sampler, "teacher"),
                method=Method(sampler=sampler, num_steps=steps) if sampler else None,
                metrics={key: values[key] for key in keys},
                distances=dict.fromkeys(distances, 100.0 - rank),
                images=flat(60 + 10 * rank, size),
                ms_per_image=5.0 * steps if sampler and timed else None,
                images_per_second=400.0 / steps if sampler and timed else None,
            )

        return Results(
            ids=[f"image{i}" for i in range(count)] if ids is None else ids,
            groups=groups or {},
            sar=flat(10, size, channels),
            optical=flat(30, size),
            image_size=size,
            truth_sharpness=np.full(count, 0.04),
            floor=result(0, None, 0),
            methods=tuple(result(i + 1, sampler, steps) for i, (sampler, steps) in enumerate(methods)),
            remarks=remarks,
        )

    return make
