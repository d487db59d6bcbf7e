"""The rival of the input pipeline: a PyTorch DataLoader over PNG files.

Imports neither JAX nor the package, so that its worker processes hold nothing but what they need.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, RandomSampler

Images = tuple[torch.Tensor, torch.Tensor]
"""sar and optical, float32 in [-1, 1], [channel, height, width] or a batch of them."""


class PairFiles(Dataset[Images]):
    """Pairs of files as a training reads them: decoded by Pillow, cropped, turned and flipped at random."""

    def __init__(self, paths: Sequence[tuple[Path, Path]], *, image_size: int, augment: bool = True):
        """Keeps the paths, each of a radar and an optical image, and the side of the crops in pixels."""
        self._paths = paths
        self._size = image_size
        self._augment = augment

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Images:
        images = []
        for path in self._paths[index]:
            with Image.open(path) as image:
                images.append(np.asarray(image))
        height, width = images[0].shape[:2]
        top = int(torch.randint(height - self._size + 1, ()))
        left = int(torch.randint(width - self._size + 1, ()))
        turns, flip = int(torch.randint(4, ())), bool(torch.randint(2, ()))

        varied = []
        for image in images:
            window = image[top : top + self._size, left : left + self._size]
            if self._augment:
                window = np.rot90(window, turns)
                window = window[:, ::-1] if flip else window
            window = window.reshape(self._size, self._size, -1).transpose(2, 0, 1)
            # Copied as bytes, a quarter of the work that it is as floats.
            varied.append(torch.from_numpy(window.copy()).float().div_(127.5).sub_(1))
        return varied[0], varied[1]


def batches(
    paths: Sequence[tuple[Path, Path]], *, image_size: int, batch_size: int, workers: int, device: str
) -> Iterator[Any]:
    """Endless batches on a device, every pair once an epoch, by worker processes that live as long as the iterator."""
    dataset = PairFiles(paths, image_size=image_size)
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=RandomSampler(dataset, num_samples=2**40),
        num_workers=workers,
        pin_memory=device != "cpu",
        # A process that holds JAX cannot be forked.
        multiprocessing_context="spawn" if workers else None,
    )
    for sar, optical in loader:
        batch = sar.to(device, non_blocking=True), optical.to(device, non_blocking=True)
        if device != "cpu":
            torch.cuda.synchronize()
        yield batch
