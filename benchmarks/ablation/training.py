"""A stage trained on a device that holds its data: many steps are one call."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.ablation import pairs as data
from benchmarks.ablation.pairs import Pairs, Views
from benchmarks.ablation.variants import STEPS_A_CALL
from sar2opt_jax.run.optimizers import Config, adamw
from sar2opt_jax.run.stages import STAGES
from sar2opt_jax.types import Array, Batch, Networks, PyTree, Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training was, and what it left.

    Attributes:
      export: the stage's, on the device.
      steps: optimiser steps taken.
      seconds: of the steps, without compiling.
      compile_seconds: of the compilation that all seeds share.
      curve: means of the metrics over each call, with the step that it ended at.
    """

    export: Networks
    steps: int
    seconds: float
    compile_seconds: float
    curve: list[dict[str, float]]


class Trainer:
    """A stage of a config with its compiled steps, for any number of seeds and any length."""

    def __init__(
        self,
        config: Config,
        name: str,
        *,
        train: Pairs,
        steps_a_call: int = STEPS_A_CALL,
        one_program: bool | None = None,
    ):
        """Takes the training pairs to the device.

        Args:
          config: of ``configs/``.
          name: of the stage.
          train: the training split.
          steps_a_call: how many steps are one call; the number of steps should be a multiple of it.
          one_program: whether they are compiled into one program; by default not on a CPU, where a step in a loop takes
            three times as long.
        """
        self.config, self.name, self.pairs = config, name, train
        self.settings = config[STAGES[name].groups[0]]
        self.stage: Stage[Any] = STAGES[name].make(config, train.sar.shape[-1])
        self.steps_a_call = min(steps_a_call, self.settings.num_steps)
        self.one_program = jax.default_backend() != "cpu" if one_program is None else one_program
        self._on_device = jax.tree.map(jnp.asarray, train)
        self._program: Callable[..., tuple[PyTree, PyTree]]
        self.compile_seconds: float | None = None

    def prepare(self, export: Networks | None = None) -> None:
        """Compiles the steps, for an export of these shapes to start from."""
        started = time.perf_counter()
        views, init_rng, rng = self._views(0, self.steps_a_call), *jax.random.split(jax.random.key(0))
        function, views = (self._steps, views) if self.one_program else (self._step, _at(views, 0))
        arguments = self.stage.init(init_rng, export), views, self._on_device, rng, jnp.float32(1)
        self._program = jax.jit(function, donate_argnums=0).lower(*arguments).compile()
        self.compile_seconds = time.perf_counter() - started

    def seconds_a_step(self, export: Networks | None = None) -> float:
        """Measured on a state that is thrown away; the second of two calls."""
        return self.run(seed=0, export=export, steps=2 * self.steps_a_call).seconds / (2 * self.steps_a_call)

    def run(
        self, *, seed: int, export: Networks | None = None, deadline: float = float("inf"), steps: int | None = None
    ) -> Trained:
        """Trains with a seed.

        Args:
          seed: of parameters, noise and the order of the data; the stage's place is added, as in a run.
          export: what the stage starts from.
          deadline: of ``time.monotonic``, after which no further call is made.
          steps: in place of the config's; the learning rate ends with them.
        """
        if self.compile_seconds is None:
            self.prepare(export)
        seed += list(STAGES).index(self.name)
        init_rng, rng, _ = jax.random.split(jax.random.key(seed), 3)
        total = -(-(steps or self.settings.num_steps) // self.steps_a_call) * self.steps_a_call
        views = self._views(seed, total)
        state, done, curve, times = self.stage.init(init_rng, export), 0, [], []
        while done < total and (done == 0 or time.monotonic() < deadline):
            part = _at(views, slice(done, done + self.steps_a_call))
            started = time.perf_counter()
            state, metrics = self._call(state, part, rng, jnp.float32(total))
            times.append(time.perf_counter() - started)
            done += self.steps_a_call
            curve.append({"step": done} | {name: float(np.mean(value)) for name, value in metrics.items()})
        # The first call also loads the program.
        times[0] = min(times[0], float(np.median(times[1:] or times)))
        return Trained(
            export=self.stage.export(state), steps=done, seconds=sum(times),
            compile_seconds=self.compile_seconds or 0.0, curve=curve,
        )  # fmt: skip

    def _views(self, seed: int, steps: int) -> Views:
        return data.draw_views(
            self.pairs,
            steps=steps,
            batch_size=self.config.train.batch_size,
            image_size=self.config.data.image_size,
            seed=seed,
            augment=self.config.data.augment,
            radar_jitter=self.config.data.radar_jitter,
        )

    def _call(self, state: PyTree, views: Views, rng: Array, total: Array) -> tuple[PyTree, dict[str, Any]]:
        """The state after a call's steps, and the metrics of each."""
        if self.one_program:
            state, metrics = self._program(state, views, self._on_device, rng, total)
            return state, jax.device_get(metrics)
        found = []
        for i in range(self.steps_a_call):
            state, metrics = self._program(state, _at(views, i), self._on_device, rng, total)
            found.append(jax.device_get(metrics))
        return state, {name: np.stack([metrics[name] for metrics in found]) for name in found[0]}

    def _steps(self, state: PyTree, views: Views, pairs: Pairs, rng: Array, total: Array) -> tuple[PyTree, PyTree]:
        """As many steps as the views are of, of ``total``."""
        return jax.lax.scan(lambda state, view: self._step(state, view, pairs, rng, total), state, views)

    def _step(self, state: PyTree, view: Views, pairs: Pairs, rng: Array, total: Array) -> tuple[PyTree, PyTree]:
        """One step of ``total``."""
        stage = with_length(self.stage, self.config, self.settings, total)
        batch: Batch = data.cut(pairs, view, image_size=self.config.data.image_size)
        grads, metrics = stage.gradients(state, batch, rng)
        return stage.update(state, grads), metrics


def _at(views: Views, index: int | slice) -> Views:
    """The views of one step, or of several."""
    return jax.tree.map(lambda array: array[index], views)


def with_length(stage: Any, config: Config, settings: Config, total: Array) -> Any:
    """The stage with learning rates that end after ``total`` steps, which need not be known when it is compiled."""
    changes = {"optimizer": adamw(settings.optimizer, rate(settings.optimizer, total))}
    if hasattr(stage, "discriminator_optimizer"):
        discriminator = config.adversarial.optimizer
        changes["discriminator_optimizer"] = adamw(discriminator, rate(discriminator, total))
    return dataclasses.replace(stage, **changes)


def rate(config: Config, total: Array) -> optax.Schedule:
    """``run.optimizers.learning_rate`` of a length that is an array."""
    warmup = jnp.minimum(config.warmup_steps, total // 2)

    def at(count: Array) -> Array:
        rising = count / jnp.maximum(warmup, 1)
        return config.learning_rate * jnp.where(count < warmup, rising, FALLING[config.decay](count, warmup, total))

    return at


def _cosine(count: Array, warmup: Array, total: Array) -> Array:
    return 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip((count - warmup) / (total - warmup), 0, 1)))


def _second_half(count: Array, warmup: Array, total: Array) -> Array:
    del warmup
    return jnp.clip((total - count) / (total - total // 2), 0, 1)


FALLING = {"cosine": _cosine, "second_half": _second_half}
