"""Prints what must not depend on JAX's environment variables, as JSON: dtypes and random numbers."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parent / "parity")]

import our_metrics

from configs.base import get_base
from sar2opt_jax.diffusion.schedule import make_schedule
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.metrics import colour, fidelity, inception, lpips
from sar2opt_jax.metrics.weights.inception import to_flax
from sar2opt_jax.metrics.weights.lpips import NETS, load_lpips
from sar2opt_jax.models.discriminator import Discriminator
from sar2opt_jax.models.unet import UNet
from sar2opt_jax.run.stages import STAGES
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Batch, PyTree, make_key

METHODS = {
    "teacher": [Method(sampler=name, num_steps=3) for name in ("ddpm", "ddim", "dpm_solver_pp")],
    "student": [Method(sampler="lcm", num_steps=2)],
    "generator": [Method(sampler="direct", num_steps=1)],
}


def dtypes(tree: PyTree) -> list[str]:
    """All that occur in a tree, but for those of keys."""
    return sorted(
        {str(leaf.dtype) for leaf in jax.tree.leaves(tree) if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)}
    )


def config(name: str):
    made = get_base(name="acd", stages=(name,), preset="smoke")
    made.model.widths, made.model.attention, made.model.blocks_per_level = (8, 8), (False, True), 1
    made.model.head_width, made.model.norm_groups = 8, 4
    made.model.prediction = "v"  # Unlike x_0, its target has the noise in it, and so the dtype of that.
    for baseline in ("pix2pix", "cyclegan"):
        made[baseline].discriminator_widths = (8,)
    return made


def training_steps() -> dict[str, list[str]]:
    """For each stage, the dtypes of its state before and after a step, and of the metrics."""
    images = np.zeros((2, 32, 32, 4), np.float32)
    batch = Batch(optical=images[..., :3], sar=images[..., 3:], index=np.arange(2, dtype=np.int32))
    found, export = {}, None
    for name, entry in STAGES.items():
        stage = entry.make(config(name), 1)
        state = stage.init(make_key(0), export)
        export = export or stage.export(state)  # The teacher's: the first.
        parallel = DataParallel(stage, devices=jax.devices()[:1])
        after, metrics = jax.eval_shape(parallel.step, state, parallel.shard(batch), make_key(1))
        found |= {f"{name} before": dtypes(state), f"{name} after": dtypes(after), f"{name} metrics": dtypes(metrics)}
    return found


def fresh_networks() -> dict[str, list[str]]:
    """The dtypes of parameters as Flax makes them; those of the stages come from ``models/init.py``."""
    unet = UNet(widths=(32,), attention=(True,))
    networks = {"U-Net": unet, "discriminator": Discriminator(unet=unet)}
    return {
        name: dtypes(jax.eval_shape(module.init, make_key(0), *module.input_shapes(image_size=8, sar_channels=1)))
        for name, module in networks.items()
    }


def translator(kind: str) -> Translator:
    return Translator(
        model=lambda params, x_t, t, sar: params["gain"] * x_t,
        schedule=make_schedule("scaled_linear"),
        prediction="v",
        solver_steps=50 if kind == "student" else None,
        is_generator=kind == "generator",
    )


@functools.cache
def sample(kind: str, method: Method) -> Callable[..., jax.Array]:
    params = {"gain": np.float32(0.1)}
    return jax.jit(lambda sar, rngs: translator(kind)(params, sar, rngs, method=method))


def translations(rngs: jax.Array) -> dict[str, list[list[float]]]:
    """An example for each key, all at once, by every method."""
    sar, found = np.zeros((len(rngs), 2, 2, 1), np.float32), {}
    for kind, methods in METHODS.items():
        for method in methods:
            translated = sample(kind, method)(sar, rngs)
            assert dtypes(translated) == ["float32"], method
            found[method.sampler] = translated.reshape(len(rngs), -1).tolist()
    return found


def metrics() -> dict[str, list[str]]:
    image = np.zeros((2, 32, 32, 3), np.float32)
    found = {"fidelity": fidelity.measure, "colour": colour.colour_shift}
    for net in NETS if vgg16_is_installed() else ["alexnet"]:
        params = load_lpips(net)
        found[net] = lambda *images, net=net, params=params: lpips.lpips(params, *images, net=net)
    found["features"] = lambda image, _: lpips.features(load_lpips("alexnet"), image)
    params = to_flax(our_metrics.inception_tensors(seed=0), where="made up")
    found["inception"] = lambda image, _: inception.features(params, jnp.asarray(image, jnp.uint8))
    return {name: dtypes(jax.eval_shape(measure, image, image)) for name, measure in found.items()}


def vgg16_is_installed() -> bool:
    try:
        return bool(load_lpips("vgg16"))
    except FileNotFoundError:
        return False


def random_numbers() -> dict[str, dict[str, list]]:
    """Translations with keys as this package makes them; and with JAX's default keys, in company and alone."""
    own, default = (jax.random.split(make(3), 3) for make in (make_key, jax.random.key))
    company = translations(default)
    alone = [translations(default[i : i + 1]) for i in range(3)]
    return {
        "translations": translations(own),
        "company": company,
        "alone": {sampler: [each[sampler][0] for each in alone] for sampler in company},
    }


if __name__ == "__main__":
    all_dtypes = {**training_steps(), **fresh_networks(), **metrics()} if "--dtypes" in sys.argv else {}
    print(json.dumps({"dtypes": all_dtypes, **random_numbers()}))
