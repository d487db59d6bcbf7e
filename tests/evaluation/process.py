"""One of several processes that evaluate together:  python tests/evaluation/process.py --directory=DIR."""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.data.examples import Examples
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.evaluation import evaluate
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.evaluation.translations import Contender
from sar2opt_jax.metrics.linear_baseline import LinearBaseline
from sar2opt_jax.translator import Method, Translator

SIDE, COUNT = 12, 7


def model(params, x_t, t, sar):
    """Depends on the noise."""
    del t
    return params["gain"] * x_t + 0.5 * jnp.repeat(sar, 3, axis=-1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--coordinator")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0)
    flags = parser.parse_args()
    if flags.coordinator:
        jax.distributed.initialize(flags.coordinator, flags.processes, flags.process)
    rng = np.random.default_rng(0)
    pairs = [
        {
            "sar": rng.integers(0, 256, (SIDE, SIDE, 1), np.uint8),
            "optical": rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8),
            "id": f"p{number}",
        }
        for number in range(COUNT)
    ]
    examples = Examples(pairs, num_examples=COUNT, image_size=SIDE)
    fit = examples.batch()
    contender = Contender(
        name="teacher",
        translator=Translator(model=model, schedule=make_schedule("cosine", num_steps=20), prediction="x_0"),
        params={"gain": np.float32(0.4)},
        method=Method(sampler="ddpm", num_steps=5),
        identity={},
    )
    results = evaluate.run(
        [contender],
        examples,
        linear_baseline=lambda: LinearBaseline.fit(np.asarray(fit.sar), np.asarray(fit.optical), window=3),
        measures=Measures(),
        directory=flags.directory / "translations",
        batch_size=4,
        rng=jax.random.key(0),
    )
    if results is not None:
        method = results.methods[0]
        found = {
            "psnr": method.metrics["psnr"].tolist(),
            "timed": bool(method.ms_per_image and method.images_per_second),
        }
        (flags.directory / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
