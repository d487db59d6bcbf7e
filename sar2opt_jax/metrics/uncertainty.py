"""Does the spread of several translations say how far they are from the truth?"""

import dataclasses

import numpy as np

TARGET = 0.9
"""The interval whose coverage is measured holds this share of the samples, or what is nearest to it."""
STEP = 0.5
"""Width of a bin of deviations in grey levels; bins are joined before they are shown."""
GROUPS = 10
"""Points of the curve, of about equally many pixels each."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What the spread of samples says of their error.

    Attributes:
      num_samples: translations of each image.
      nominal: the share of pixels that the interval would hold if the truth were one more sample.
      coverage: the share of pixels and colours that it holds, of each image, [num_images].
      deviation: of groups of pixels, root mean square in levels of 0 .. 255, ascending.
      error: of the mean of the samples in these pixels, root mean square, likewise.
    """

    num_samples: int
    nominal: float
    coverage: np.ndarray
    deviation: np.ndarray
    error: np.ndarray


class Uncertainty:
    """Collects images one by one, in memory that does not grow with their number."""

    def __init__(self, num_samples: int):
        """Nothing is measured yet.

        Args:
          num_samples: K, translations of each image.

        Raises:
          ValueError: below 2.
        """
        if num_samples < 2:
            raise ValueError(f"A spread needs 2 translations of an image or more; got {num_samples}.")
        self._num_samples = num_samples
        # The truth is equally likely to fall into each of the K + 1 gaps between K samples and beyond them.
        self._outside = max(1, round((1 - TARGET) / 2 * (num_samples + 1)))
        self._coverage: list[float] = []
        self._sums = np.zeros((3, round(256 / STEP)))

    def add(self, samples: np.ndarray, truth: np.ndarray) -> None:
        """Measures one image.

        Args:
          samples: its translations, [K, height, width, 3] uint8.
          truth: [height, width, 3] uint8.
        """
        ordered = np.sort(samples, axis=0)
        low, high = ordered[self._outside - 1], ordered[-self._outside]
        self._coverage.append(float(((low <= truth) & (truth <= high)).mean()))
        levels = samples.astype(np.float64)
        spread = deviation(levels)
        error = ((levels.mean(axis=0) - truth) ** 2).mean(axis=-1)
        bins = np.minimum(spread / STEP, self._sums.shape[1] - 1).astype(int).ravel()
        for row, values in enumerate((np.ones_like(spread), spread**2, error)):
            self._sums[row] += np.bincount(bins, values.ravel(), self._sums.shape[1])

    def result(self) -> Calibration:
        """Of all images so far, at least one."""
        count, variance, error = self._sums[:, self._sums[0] > 0]
        group = np.minimum(GROUPS * (np.cumsum(count) - count / 2) / count.sum(), GROUPS - 1).astype(int)
        joined = [np.bincount(group, values) for values in (count, variance, error)]
        count, variance, error = (sums[joined[0] > 0] for sums in joined)
        return Calibration(
            num_samples=self._num_samples,
            nominal=1 - 2 * self._outside / (self._num_samples + 1),
            coverage=np.asarray(self._coverage),
            deviation=np.sqrt(variance / count),
            error=np.sqrt(error / count),
        )


def deviation(levels: np.ndarray) -> np.ndarray:
    """Standard deviation of samples, [K, height, width, 3]: the root mean square over the colours, [height, width]."""
    return np.sqrt(levels.var(axis=0, ddof=1).mean(axis=-1))
