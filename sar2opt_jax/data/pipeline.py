"""From a prepared dataset to batches: TFDS data source -> Grain -> ``Batch``.

One order of the examples exists per seed, whatever the number of hosts. Example ``p`` of the run is fixed by
(seed, p): which pair, which crop, which turn. Step ``k`` takes the positions ``[k B, (k + 1) B)``, and with ``H``
hosts host ``h`` reads the ``h``-th of ``H`` equal parts of them, in order: the hosts' batches laid end to end are the
batch of a single host.
"""

import functools
from collections.abc import Sequence
from typing import Any, cast

import grain
import numpy as np

from sar2opt_jax.data.encoded import EncodedImage
from sar2opt_jax.data.prepared import Example, Source, StoredPairs, text
from sar2opt_jax.data.scaling import to_float
from sar2opt_jax.types import Batch

IMAGES = ("optical", "sar")


class _Undecoded:
    """A source as a training reads it, with images that are still encoded where they are stored so."""

    def __init__(self, source: Source):
        self._read = source.encoded if isinstance(source, StoredPairs) else source.__getitem__
        self._length = len(source)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int, /) -> Example:
        return self._read(index)


def training_batches(
    source: Source,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    augment: bool,
    radar_jitter: float = 0.0,
    host_index: int = 0,
    host_count: int = 1,
    num_threads: int = 4,
    start_step: int = 0,
) -> grain.DatasetIterator[Batch]:
    """Endless batches in random order, every pair once an epoch.

    The iterator's state is its current step. It is saved and restored by ``get_state`` and ``set_state``, or with
    ``grain.checkpoint.CheckpointSave`` and ``CheckpointRestore`` inside an Orbax checkpoint; the run then continues
    with exactly the batches it would have had. A checkpoint of another number of hosts is resumed by ``start_step``.

    Args:
        source: the pairs, such as ``prepared.open_split`` returns.
        image_size: side of the batches' images in pixels; larger stored images are cropped at a random position.
        batch_size: examples in a step, over all hosts.
        seed: decides order, crops and turns.
        augment: turn by a random multiple of 90 degrees and flip, the same way for both images of a pair.
        radar_jitter: how far the radar image's contrast and level are varied, see ``jittered``; 0 leaves it as it is.
        host_index: which host this is, 0 .. host_count - 1.
        host_count: how many hosts read.
        num_threads: threads that prepare batches ahead, one batch each; 0 prepares a batch when it is asked for.
        start_step: the step to begin with.

    Returns:
        An iterator over ``Batch`` of numpy arrays: optical [batch_size / host_count, image_size, image_size, 3] and
        sar [..., channel], float32 in [-1, 1], and index [...], int32, the examples' positions in the run.

    Raises:
        ValueError: no examples, images smaller than ``image_size``, or a batch that cannot be divided among the hosts.
    """
    if len(source) == 0:
        raise ValueError("The source has no examples: nothing to train on.")
    if batch_size < 1 or batch_size % host_count:
        raise ValueError(
            f"batch_size ({batch_size}) must be a positive multiple of the number of hosts ({host_count})."
        )
    if not 0 <= host_index < host_count:
        raise ValueError(f"host_index ({host_index}) must be between 0 and host_count - 1 ({host_count - 1}).")
    undecoded = _Undecoded(source)
    check_pair(undecoded[0], image_size)

    vary = functools.partial(_vary, image_size=image_size, augment=augment, radar_jitter=radar_jitter)
    dataset = (
        grain.MapDataset.source(cast(Any, undecoded))
        .seed(seed)
        .shuffle()
        .repeat()
        .map_with_index(_number)
        .random_map(vary)
        # Slicing whole batches, not examples, keeps the examples of a step in order over the hosts. Grain evaluates
        # from the end: a host reads only what it returns.
        # Without drop_remainder Grain computes the length in floats, beyond the largest integer of a length.
        .batch(batch_size // host_count, drop_remainder=True, batch_fn=_stack)
        .slice(slice(host_index, None, host_count))
    )
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=num_threads)
    iterator = iter(dataset.to_iter_dataset(options))
    grain.experimental.set_next_index(iterator, start_step)
    return iterator


def ids_of_step(source: Source, *, step: int, batch_size: int, seed: int) -> list[str]:
    """The ids of the pairs that all hosts together read in a step of training, in order.

    Args:
        source: the pairs that are trained on.
        step: which step, as it is logged: the first one is 1.
        batch_size: examples in a step, over all hosts.
        seed: the one of ``training_batches``.
    """
    order = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat()
    positions = range((step - 1) * batch_size, step * batch_size)
    return [text(source[int(cast(Any, order[position]))]["id"]) for position in positions]


def _number(position: int, example: Example) -> dict[str, Any]:
    """The images and the position in the run; texts are left behind, an array library cannot batch them."""
    return {"optical": example["optical"], "sar": example["sar"], "index": position}


def _vary(
    example: Example, rng: np.random.Generator, *, image_size: int, augment: bool, radar_jitter: float
) -> dict[str, Any]:
    """A random crop, one of the eight symmetries of the square, and another radiometry of the radar image."""
    height, width = check_pair(example, image_size)
    top, left = (int(rng.integers(side - image_size + 1)) for side in (height, width))
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))

    example = _crop(example, top=top, left=left, size=image_size)
    if augment:
        for name in IMAGES:
            example[name] = _turn(example[name], turns=turns, flip=flip)
    if radar_jitter:
        # Drawn last: crops and turns stay what they are without it.
        contrast, *levels = rng.uniform(-radar_jitter, radar_jitter, 1 + example["sar"].shape[-1])
        example["sar"] = jittered(example["sar"], contrast=contrast, levels=levels)
    return example


def jittered(sar: np.ndarray, *, contrast: float, levels: Sequence[float]) -> np.ndarray:
    """A radar image as another calibration, incidence angle or season would have it, in dB a straight line.

    Grey levels go away from or nearer to the middle of their range, then each channel is shifted as a whole. 0 stays 0:
    it is also what stands where a pixel has no value.

    Args:
        sar: [size, size, channel] uint8.
        contrast: 0 for none; 0.1 stretches by a tenth.
        levels: of each channel, in halves of the range of 0 .. 255; 0.1 is about 1.3 dB of a range of 25 dB.

    Returns:
        Like ``sar``, clipped to 1 .. 255.
    """
    middle = np.float32(255 / 2)
    shifted = (sar - middle) * np.float32(1 + contrast) + middle * (1 + np.asarray(levels, np.float32))
    return np.where(sar == 0, 0, np.clip(np.rint(shifted), 1, 255)).astype(np.uint8)


def _turn(image: np.ndarray, *, turns: int, flip: bool) -> np.ndarray:
    """Turned anticlockwise by quarters, then mirrored left to right where wanted; [size, size, channel] uint8."""
    # As items of some bytes, pixels are moved whole, in half the time that NumPy takes for one channel after another.
    pixels = np.ascontiguousarray(image).view(f"V{image.shape[-1]}")[..., 0]
    turned = np.rot90(pixels, turns)
    turned = np.ascontiguousarray(turned[:, ::-1] if flip else turned)
    return turned.view(np.uint8).reshape(image.shape)


def _crop(example: Example, *, top: int, left: int, size: int) -> dict[str, Any]:
    return {**example, **{name: _window(example[name], top, left, size) for name in IMAGES}}


def _window(image: np.ndarray | EncodedImage, top: int, left: int, size: int) -> np.ndarray:
    if isinstance(image, EncodedImage):
        return image.window(top=top, left=left, height=size, width=size)
    return image[top : top + size, left : left + size]


def centre(example: Example, size: int, *, of: str) -> np.ndarray:
    """The middle of one image of a pair, [size, size, channel]; raises ValueError where the pair is smaller."""
    height, width = check_pair(example, size)
    return _window(example[of], (height - size) // 2, (width - size) // 2, size)


def _stack(examples: Sequence[Example]) -> Batch:
    # `Batch` is declared with the arrays of JAX, which take these numpy arrays as they are.
    optical, sar = (cast(Any, to_float(np.stack([e[name] for e in examples]))) for name in ("optical", "sar"))
    index = cast(Any, np.asarray([e["index"] for e in examples], np.int32))
    return Batch(optical=optical, sar=sar, index=index)


def check_pair(example: Example, image_size: int) -> tuple[int, int]:
    """Height and width of a pair; raises where it cannot be cropped to ``image_size``."""
    height, width = example["optical"].shape[:2]
    if example["sar"].shape[:2] != (height, width):
        sar_height, sar_width = example["sar"].shape[:2]
        raise ValueError(
            f"A pair must have images of one size, got sar {sar_height} x {sar_width}, optical {height} x {width}."
        )
    check_size(height, width, image_size=image_size)
    return height, width


def check_size(height: int | None, width: int | None, *, image_size: int) -> None:
    """Raises ValueError where stored images, of a known size, cannot be cropped to ``image_size``."""
    if image_size < 1 or (height and width and min(height, width) < image_size):
        raise ValueError(f"image_size ({image_size}) must be between 1 and the stored {height} x {width} pixels.")
