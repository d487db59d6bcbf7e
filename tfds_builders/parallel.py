"""Maps over processes and threads that keep the order and never run far ahead of the reader."""

import collections
import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

_CHUNK = 16  # items handed to a process at a time
_SHARE = 1000  # images for which it pays to start a process, which takes seconds

Item = TypeVar("Item")
Result = TypeVar("Result")


def process_map(
    function: Callable[[Item], Result], items: Iterable[Item], *, images: int, processes: int, chunk: int | None = None
) -> Iterator[Result]:
    """``map`` over processes, in order; results of a whole dataset are never held at once.

    Processes are started afresh (``spawn``), because a process that holds JAX cannot be forked; few images stay in this
    one.

    Args:
        function: of a module, so that it can be pickled.
        items: also endless ones.
        images: about how many are decoded in all.
        processes: at most; one is this process.
        chunk: items handed to a process at a time.

    Raises:
        OSError: a process was killed.
    """
    processes = min(processes, images // _SHARE)
    if processes <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_leave_signals_to_parent) as pool:

        def submit(part: list[Item]) -> Future[list[Result]]:
            with _interrupts_blocked():  # A process is started here where there are fewer than allowed.
                return pool.submit(_map_chunk, function, part)

        try:
            for results in _in_order(submit, _chunks(items, chunk or _CHUNK), ahead=2 * processes):
                yield from results
        except BrokenProcessPool:
            raise OSError(
                f"One of {processes} processes that decode files was killed, perhaps for want of memory: try again "
                "with fewer --processes."
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def thread_map(function: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """``map`` over threads, in order, for functions that release the interpreter's lock."""
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from _in_order(lambda item: pool.submit(function, item), items, ahead=2 * threads)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(submit: Callable[[Item], Future[Result]], items: Iterable[Item], *, ahead: int) -> Iterator[Result]:
    waiting: collections.deque[Future[Result]] = collections.deque()
    for item in items:
        waiting.append(submit(item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while part := list(itertools.islice(remaining, size)):
        yield part


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Processes that are started inside never see a Ctrl-C, which a terminal sends to all: the first one ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_signals_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _map_chunk(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]
