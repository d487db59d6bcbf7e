"""Translations of a split by a network, and everything that the project measures of them."""

import functools
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.ablation.pairs import Pairs, as_inputs
from sar2opt_jax.data.scaling import to_uint8
from sar2opt_jax.description import as_model
from sar2opt_jax.diffusion.input_gain import with_input_gain
from sar2opt_jax.evaluation.batches import Batches
from sar2opt_jax.evaluation.measures import Measures
from sar2opt_jax.metrics.linear_baseline import LinearBaseline
from sar2opt_jax.metrics.weights.lpips import load_lpips
from sar2opt_jax.run.optimizers import Config
from sar2opt_jax.run.stages import STAGES, input_gain, schedule, unet
from sar2opt_jax.translator import Method, Translator
from sar2opt_jax.types import Array, Params, make_key

SEED = 0
"""Of the noise that translations start from, the same for all networks."""
Row = dict[str, Any]
"""What was measured of one set of translations: means over the images, standard errors, distances between sets."""


class Meter:
    """Measures translations of one split."""

    def __init__(self, truth: Pairs, *, batch_size: int = 256):
        """Takes the pairs, all of one size, uint8.

        Args:
          truth: what is translated, and what it should be.
          batch_size: images at once.
        """
        self.truth, self.sar = truth, as_inputs(truth.sar)
        batch_size = min(batch_size, len(truth.sar))
        self._batches, self._batch_size = Batches(batch_size), batch_size
        self._measures = Measures(lpips={"alexnet": load_lpips("alexnet")})
        self._reference = self._measure(truth.optical)
        self._compiled: dict[str, Callable[..., Array]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def _measure(self, images: np.ndarray) -> Any:
        return self._measures.measure(
            lambda positions: images[list(positions)],
            truth=lambda positions: self.truth.optical[list(positions)],
            count=len(images),
            batches=self._batches,
        )

    def row(self, images: np.ndarray) -> Row:
        """All measures of translations [n, height, width, 3] uint8."""
        found = self._measure(images)
        values = {name: np.asarray(value, np.float64) for name, value in found.metrics.items()}
        values["sharpness"] /= np.mean(self._reference.metrics["sharpness"])
        row: Row = {name: round(float(np.mean(value)), 5) for name, value in values.items()}
        root = max(len(images) - 1, 1) ** 0.5
        row["standard_error"] = {name: round(float(np.std(value)) / root, 5) for name, value in values.items()}
        distances = self._measures.distances(found.features, self._reference.features)
        return row | {name: round(value, 4) for name, value in distances.items()}

    def floor(self, train: Pairs, *, window: int = 7, count: int = 512) -> Row:
        """The linear regression on some training pairs, evenly spread."""
        chosen = np.linspace(0, len(train.sar) - 1, min(count, len(train.sar))).astype(int)
        fit = LinearBaseline.fit(*(as_inputs(images[chosen]) for images in train), window=window)
        return self.row(to_uint8(np.concatenate([fit.predict(self.sar[i : i + 1]) for i in range(len(self.sar))])))

    def translate(self, config: Config, stage: str, params: Params, method: Method) -> tuple[np.ndarray, float]:
        """Translations of all images [n, height, width, 3] uint8, and the seconds that they took, without compiling.

        Programs are shared by all variants that are sampled alike.
        """
        parts, seconds = [], 0.0
        for first in range(0, len(self.sar), self._batch_size):
            arguments, new = self._arguments(params, first)
            function = self._program(config, stage, method, arguments)
            started = time.perf_counter()
            parts.append(np.asarray(jax.device_get(function(*arguments)))[:new])
            seconds += time.perf_counter() - started
        return to_uint8(np.concatenate(parts)), seconds

    def prepare(self, config: Config, stage: str, params: Params, method: Method) -> None:
        """Compiles what ``translate`` runs, for parameters of these shapes."""
        self._program(config, stage, method, self._arguments(params, 0)[0])

    def _arguments(self, params: Params, first: int) -> tuple[tuple[Params, Array, Array], int]:
        """Parameters, radar images and numbers of a batch, filled up with its last image; and how many are new."""
        sar = self.sar[first : first + self._batch_size]
        filled = np.concatenate([sar, np.repeat(sar[-1:], self._batch_size - len(sar), axis=0)])
        return (params, jnp.asarray(filled), jnp.arange(first, first + len(filled))), len(sar)

    def _program(self, config: Config, stage: str, method: Method, arguments: tuple[Any, ...]) -> Callable[..., Array]:
        key = json.dumps([config.model.to_json(), config.schedule.to_json(), STAGES[stage].kind, str(method)])
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:  # Of two threads that want one program, one compiles it.
            if key not in self._compiled:
                function = jax.jit(functools.partial(_translate, translator(config, stage), method))
                self._compiled[key] = function.lower(*arguments).compile()
        return self._compiled[key]


def translator(config: Config, stage: str, *, dtype: str | None = None) -> Translator:
    """How an export of ``stage`` is sampled."""
    entry = STAGES[stage]
    network = unet(config).make(dtype=dtype or config[entry.groups[0]].dtype)
    student = {"solver_steps": config.distill.solver_steps, "sigma_data": config.distill.sigma_data}
    return Translator(
        model=with_input_gain(as_model(network), input_gain(config)),
        schedule=schedule(config).make(),
        prediction=config.model.prediction,
        is_generator=entry.kind == "generator",
        **(student if entry.kind == "student" else {}),
    )


def _translate(translator: Translator, method: Method, params: Params, sar: Array, names: Array) -> Array:
    key = make_key(SEED)
    rngs = jax.vmap(lambda name: jax.random.fold_in(key, name))(names)
    return translator(params, sar, rngs, method=method)
