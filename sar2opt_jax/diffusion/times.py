"""Grids of sampling times, one small function per convention.

Each returns the pair ``(t, t_next)`` of int32 arrays of the same length: step i goes from ``t[i]`` to ``t_next[i]``,
and -1 means the clean image. ``T`` is the number of training times.
"""

import numpy as np

Timesteps = tuple[np.ndarray, np.ndarray]


def trailing(num_train_steps: int, num_steps: int) -> Timesteps:
    """Evenly spaced from the end, T - 1 always first (arXiv 2305.08891, table 2): T/n i - 1, i = n .. 1."""
    _check(num_steps, num_train_steps)
    return _chain(np.round(np.arange(num_train_steps, 0, -num_train_steps / num_steps))[:num_steps] - 1)


def leading(num_train_steps: int, num_steps: int) -> Timesteps:
    """Evenly spaced from the start, never reaching T - 1: few steps begin at a far too clean time.

    It is the default of diffusers' DDIM and DDPM; here it serves comparisons.
    """
    _check(num_steps, num_train_steps)
    return _chain(np.arange(num_steps)[::-1] * (num_train_steps // num_steps))


def linspace(num_train_steps: int, num_steps: int) -> Timesteps:
    """Evenly spaced with both ends, T - 1 .. 0."""
    _check(num_steps, num_train_steps)
    return _chain(np.round(np.linspace(0, num_train_steps - 1, num_steps))[::-1])


def solver_grid(num_train_steps: int, solver_steps: int = 50) -> np.ndarray:
    """The times a student is distilled at, ascending:  t_i = T/k (i + 1) - 1  (19, 39, .. 999 for k = 50)."""
    if num_train_steps % solver_steps:
        raise ValueError(f"solver_steps ({solver_steps}) must divide the schedule's steps ({num_train_steps}).")
    return num_train_steps // solver_steps * np.arange(1, solver_steps + 1, dtype=np.int32) - 1


def consistency(num_train_steps: int, num_steps: int, *, solver_steps: int = 50) -> Timesteps:
    """Times of the multistep consistency sampler: entries floor(linspace(0, k, n, endpoint=False)) of the
    reversed solver grid. For k = 50: 999; 999, 499; 999, 759, 499, 259; ...

    Raises:
      ValueError: for more steps than the solver grid has.
    """
    if not 1 <= num_steps <= solver_steps:
        raise ValueError(f"A student takes 1 to {solver_steps} steps, as many as it was distilled at; got {num_steps}.")
    entries = np.floor(np.linspace(0, solver_steps, num_steps, endpoint=False)).astype(int)
    return _chain(solver_grid(num_train_steps, solver_steps)[::-1][entries])


def visits(num_train_steps: int, counts: tuple[int, ...], *, solver_steps: int = 50) -> np.ndarray:
    """How often multistep consistency sampling stands at each time of the solver grid, ascending.

    A number of steps is drawn evenly from ``counts``, then one of its times.

    Returns:
      [solver_steps] float64, probabilities.

    Raises:
      ValueError: without counts, or for one that the solver grid does not have.
    """
    probabilities = np.zeros(solver_steps)
    for entries in _visited(num_train_steps, counts, solver_steps):
        probabilities[entries] += 1 / (len(entries) * len(counts))
    return probabilities


def histories(
    num_train_steps: int, counts: tuple[int, ...], *, solver_steps: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """At which times multistep consistency sampling has stood before it comes to a time of the solver grid.

    Sampling in each of ``counts`` steps that comes by a time is one way there; where none does, and at T - 1, from
    which all of them start, the way is T - 1 alone.

    Returns:
      ``(before, probabilities)``: [solver_steps, counts, longest] int32, the times in order, then -1; and
      [solver_steps, counts] float64, how often a visit to a time is that of a number of steps, as ``visits`` draws.

    Raises:
      ValueError: without counts, or for one that the solver grid does not have.
    """
    grid, visited = solver_grid(num_train_steps, solver_steps), _visited(num_train_steps, counts, solver_steps)
    before = np.full((solver_steps, len(counts), max(*counts, 2) - 1), -1, np.int32)
    before[:, :, 0] = grid[-1]
    weights = np.zeros((solver_steps, len(counts)))
    for way, entries in enumerate(visited):
        weights[entries, way] = 1 / len(entries)
        for position, entry in enumerate(entries):
            before[entry, way, :position] = grid[entries[:position]]
    weights[weights.sum(axis=1) == 0, 0] = 1
    return before, weights / weights.sum(axis=1, keepdims=True)


def direct(num_steps: int) -> Timesteps:
    """The only time of a one-step generator, 0.

    Raises:
      ValueError: for more than one step.
    """
    if num_steps != 1:
        raise ValueError(f"A one-step generator takes 1 step; got {num_steps}.")
    return _chain(np.zeros(1))


GRIDS = {"trailing": trailing, "leading": leading, "linspace": linspace, "consistency": consistency}


def _chain(t: np.ndarray) -> Timesteps:
    t = t.astype(np.int32)
    return t, np.append(t[1:], np.int32(-1))


def _visited(num_train_steps: int, counts: tuple[int, ...], solver_steps: int) -> list[np.ndarray]:
    """For each number of steps, the entries of the solver grid where its sampler stands, in its order."""
    if not counts:
        raise ValueError("The numbers of sampling steps to train for must be at least one; got none.")
    grid = solver_grid(num_train_steps, solver_steps)
    return [
        np.searchsorted(grid, consistency(num_train_steps, count, solver_steps=solver_steps)[0]) for count in counts
    ]


def _check(num_steps: int, num_train_steps: int) -> None:
    if not 1 <= num_steps <= num_train_steps:
        raise ValueError(f"The number of sampling steps must be 1 to {num_train_steps}; got {num_steps}.")
