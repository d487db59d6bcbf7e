"""Translates scenes on a Dask cluster: each worker one at a time, with a network that it loads once."""

import asyncio
import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import jax

from sar2opt_jax.scene import many
from sar2opt_jax.scene.journal import SceneRecord
from sar2opt_jax.scene.many import Task, Translates

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 2
"""How often a scene is tried again after an error that may pass, on any worker."""
MAY_PASS = (OSError, jax.errors.JaxRuntimeError)
CONNECT_SECONDS = 30

_one_scene = threading.Lock()
_loaded: dict[str, tuple[dict[str, str], Translates]] = {}


@dataclasses.dataclass(frozen=True)
class WorkerModel:
    """A network that workers load.

    Attributes:
      path: of the network, as workers see it too; and whatever else tells it from others.
      load: loads it; importable by workers.
      identity: ``SceneTranslator.model`` of what is expected there.
    """

    path: str
    load: Callable[[], Translates]
    identity: dict[str, str]


def connect(address: str) -> "Client":
    """A client of the scheduler at an address such as ``tcp://10.0.0.1:8786``.

    Raises:
      ValueError: without the package distributed.
      OSError: where no scheduler answers.
    """
    try:
        import distributed
    except ModuleNotFoundError:
        raise ValueError('--scheduler needs the package distributed: pip install "sar2opt-jax[dask]".') from None
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error).strip().splitlines()
        raise OSError(
            f"No Dask scheduler answers at --scheduler={address}: {reason[0] if reason else error!r}"
        ) from None


def there(
    tasks: Sequence[Task], *, client: "Client", model: WorkerModel, say: Callable[[str], Any]
) -> Iterator[SceneRecord]:
    """Translates the scenes on the workers that the cluster has and gets; yields the records as they end.

    A scene whose worker dies is given to another one, which resumes it.

    Args:
      tasks: of ``many.plan``; workers see the same paths.
      client: of the cluster.
      model: the network.
      say: is told what is worth to know of the cluster.

    Raises:
      OSError: where a worker cannot load the network, or the scheduler is lost.
      ValueError: see ``OSError``.
    """
    import distributed

    _prepare(client, model, say)
    # One group with one name, which the dashboard shows, and of which the scheduler hands out a few at a time.
    name = f"scene-{uuid.uuid4().hex}"
    futures = client.map(
        _translated, tasks, model=model, key=[(name, number) for number in range(len(tasks))], retries=RETRIES
    )
    numbers = {future.key: number for number, future in enumerate(futures)}
    ended = distributed.as_completed(futures)
    del futures  # A future that is kept would have its record computed again where its worker dies later.
    for future in ended:
        task = tasks[numbers[future.key]]
        if future.status == "finished":
            yield future.result()
        elif future.status in ("lost", "pending"):
            ended.add(future)  # Its worker died with the record; another one makes it again.
        elif future.status == "error":
            yield many.failed(task, _explained(future.exception()), model=model.identity["model"])
        else:
            raise OSError(f"The Dask scheduler was lost, or gave up a scene ({future.status}). Run the command again.")


def _prepare(client: "Client", model: WorkerModel, say: Callable[[str], Any]) -> None:
    """Loads the network on all workers there are, so that what is wrong is found before scenes fail by it."""
    workers = cast(dict[str, int], client.nthreads())  # Of a client that is not asynchronous.
    if not workers:
        say("The cluster has no workers yet; waiting for them.")
    if several := [address for address, threads in workers.items() if threads > 1]:
        say(
            f"{len(several)} worker(s) have several threads, such as {several[0]}; each translates one scene at a "
            "time: start them with --nthreads=1, one for each device."
        )
    answers = cast(dict[str, object], client.run(_load_aside, model, on_error="return"))
    for address, answer in answers.items():
        if isinstance(answer, BaseException):
            kind = ValueError if isinstance(answer, ValueError) else OSError
            raise kind(f"Worker {address} cannot load the network: {str(answer) or type(answer).__name__}")


async def _load_aside(model: WorkerModel) -> None:
    await asyncio.to_thread(_load, model)  # The worker's own thread goes on answering the scheduler.


def _load(model: WorkerModel) -> Translates:
    """The network, loaded once in a process."""
    with _one_scene:
        if model.path not in _loaded or _loaded[model.path][0] != model.identity:
            _loaded.clear()
            translator = model.load()
            if (found := dict(translator.model)) != model.identity:
                raise ValueError(f"{model.path} is another network on this worker: {found}, not {model.identity}.")
            _loaded[model.path] = model.identity, translator
        return _loaded[model.path][1]


def _translated(task: Task, model: WorkerModel) -> SceneRecord:
    translator = _load(model)
    with _one_scene:
        return many.translated(task, translator, raises=MAY_PASS)


def _explained(error: BaseException) -> BaseException:
    """An error of a task in words; the number of deaths is the scheduler's setting ``allowed-failures``."""
    if type(error).__name__ == "KilledWorker":
        return OSError("the workers that had it died repeatedly, maybe of memory; their logs say why.")
    return error
