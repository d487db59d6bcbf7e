"""Pairs in the memory of a device, and batches cut from them there: hundreds of steps a second leave no time to read.

The file of pairs is an ``npz`` with ``SPLIT/sar``, ``SPLIT/optical`` (uint8, [n, height, width, channel]) and
``SPLIT/id``. Crops, the eight symmetries and radar jitter are those of ``data/pipeline.py``, every pair is seen once an
epoch; the order is drawn by another generator, so that runs are not those of the training pipeline bit for bit.
"""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sar2opt_jax.data.scaling import to_float
from sar2opt_jax.types import Array, Batch

SPLITS = ("train", "validation", "test")


class Pairs(NamedTuple):
    """One split."""

    sar: Any  # [n, height, width, channel] uint8, of numpy or on the device
    optical: Any  # [n, height, width, 3] uint8


class Views(NamedTuple):
    """What each example of each step is cut from; all of shape [steps, batch] but the last."""

    pair: Any  # int32
    top: Any  # int32
    left: Any
    turns: Any  # int32, anticlockwise quarters
    flip: Any  # bool
    contrast: Any  # float32
    levels: Any  # [steps, batch, channel] float32
    index: Any  # int32, the position in the run


def pack(name: str, path: str | os.PathLike[str], *, data_dir: str | None = None) -> None:
    """Writes the file of a prepared dataset; raises as ``prepared.open_split`` does."""
    from sar2opt_jax.data import prepared  # TFDS and Grain are not needed where the file is read.
    from tfds_builders import preparation

    if name.partition("/")[0] == "simulated":
        preparation.prepare(name, data_dir=data_dir)  # Drawn where it is not there yet, as by a run.
    found = {}
    for split in SPLITS:
        source = prepared.open_split(name, split=split, data_dir=data_dir)
        examples = [source[i] for i in range(len(source))]
        found |= {f"{split}/{key}": np.stack([example[key] for example in examples]) for key in ("sar", "optical")}
        found[f"{split}/id"] = np.asarray([prepared.text(example["id"]) for example in examples])
    np.savez(path, **found)


def read(path: str | os.PathLike[str]) -> dict[str, Pairs]:
    """The splits that are in a file of pairs.

    Raises:
      ValueError: where it has none.
    """
    with np.load(path) as file:
        found = {s: Pairs(file[f"{s}/sar"], file[f"{s}/optical"]) for s in SPLITS if f"{s}/sar" in file.files}
    if not found:
        raise ValueError(f"{path} holds no pairs; expected SPLIT/sar and SPLIT/optical of {', '.join(SPLITS)}.")
    return found


def crops(pairs: Pairs, size: int) -> Pairs:
    """All pairs cut into squares without overlap, what does not fill one is left out; of numpy."""

    def cut(images: np.ndarray) -> np.ndarray:
        n, height, width, channels = images.shape
        rows, columns = height // size, width // size
        blocks = images[:, : rows * size, : columns * size].reshape(n, rows, size, columns, size, channels)
        return blocks.swapaxes(2, 3).reshape(-1, size, size, channels)

    return Pairs(*map(cut, pairs))


def centres(pairs: Pairs, size: int) -> Pairs:
    """The middle of every pair, as the evaluation of a run takes it."""

    def middle(images: np.ndarray) -> np.ndarray:
        top, left = ((side - size) // 2 for side in images.shape[1:3])
        return images[:, top : top + size, left : left + size]

    return Pairs(*map(middle, pairs))


def draw_views(
    pairs: Pairs, *, steps: int, batch_size: int, image_size: int, seed: int, augment: bool, radar_jitter: float
) -> Views:
    """What all steps of a stage are trained on, drawn beforehand."""
    rng, shape = np.random.default_rng(seed), (steps, batch_size)
    n, height, width, channels = pairs.sar.shape
    epochs = -(-steps * batch_size // n)
    order = np.concatenate([rng.permutation(n) for _ in range(epochs)])[: steps * batch_size]
    return Views(
        pair=order.reshape(shape).astype(np.int32),
        top=rng.integers(height - image_size + 1, size=shape, dtype=np.int32),
        left=rng.integers(width - image_size + 1, size=shape, dtype=np.int32),
        turns=rng.integers(4, size=shape, dtype=np.int32) * np.int32(augment),
        flip=rng.integers(2, size=shape).astype(bool) & augment,
        contrast=rng.uniform(-radar_jitter, radar_jitter, shape).astype(np.float32),
        levels=rng.uniform(-radar_jitter, radar_jitter, (*shape, channels)).astype(np.float32),
        index=np.arange(steps * batch_size, dtype=np.int32).reshape(shape),
    )


def cut(pairs: Pairs, views: Views, *, image_size: int) -> Batch:
    """The batch of one step, whose views are of shape [batch]; inside of a compiled function."""
    row, column = jnp.mgrid[:image_size, :image_size]
    last = image_size - 1

    def one(view: Views) -> tuple[Array, Array]:
        # Where each pixel of the turned and mirrored crop comes from: numpy's rot90, undone quarter by quarter.
        across = jnp.where(view.flip, last - column, column)
        rows = jnp.stack([row, across, last - row, last - across])[view.turns]
        columns = jnp.stack([across, last - row, last - across, row])[view.turns]
        sar, optical = (images[view.pair, view.top + rows, view.left + columns] for images in pairs)
        return sar, optical

    sar, optical = jax.vmap(one)(views)
    middle = jnp.float32(255 / 2)
    shifted = (sar - middle) * (1 + views.contrast[:, None, None, None]) + middle * (1 + views.levels[:, None, None])
    sar = jnp.where(sar == 0, 0, jnp.clip(jnp.rint(shifted), 1, 255))
    return Batch(optical=_scaled(optical), sar=_scaled(sar), index=views.index)


def _scaled(image: Array) -> Array:
    return image.astype(jnp.float32) / jnp.float32(127.5) - 1


def as_inputs(images: np.ndarray) -> np.ndarray:
    """uint8 to [-1, 1], as networks take it."""
    return np.asarray(to_float(images))
