from collections.abc import Callable

import numpy as np
import pytest

from sar2opt_jax.evaluation.results import Result, Results
from sar2opt_jax.translator import Method

TEACHER = [("ddpm", 1000), ("ddim", 1), ("ddim", 4), ("ddim", 8), ("dpm_solver_pp", 8)]
STUDENT = [("lcm", 1), ("lcm", 4)]
KINDS = {None: "linear", "lcm": "student", "generator": "generator"}


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
            linear=result(0, None, 0),
            methods=tuple(result(i + 1, sampler, steps) for i, (sampler, steps) in enumerate(methods)),
            remarks=remarks,
        )

    return make
