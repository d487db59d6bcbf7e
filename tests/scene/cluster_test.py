import functools
import threading
from collections import Counter
from pathlib import Path

import pytest
import stand_in

from sar2opt_jax.scene import cluster, inputs, many
from sar2opt_jax.scene.cluster import WorkerModel
from sar2opt_jax.scene.translate import SceneSettings

distributed = pytest.importorskip("distributed", reason="needs the extra dask")

NAMES = ["bad", "fatal", "flaky", *(f"{number:02}" for number in range(20))]


@pytest.fixture(scope="module")
def client():
    """Of two processes with one thread each."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as workers,
        cluster.connect(workers.scheduler_address) as client,
    ):
        yield client


@pytest.fixture
def forgets():
    yield
    cluster._loaded.clear()


def model(log: Path, load=stand_in.StandIn, path: str = "run") -> WorkerModel:
    return WorkerModel(path, functools.partial(load, log), stand_in.StandIn.model)


def tasks(folder: Path, names=NAMES) -> list[many.Task]:
    (folder / "in").mkdir()
    for name in names:
        (folder / "in" / f"{name}.tif").touch()
    found = inputs.find(str(folder / "in"), stand_in.StandIn.radar, output=folder / "out")
    return many.plan(found.scenes, folder / "out", SceneSettings())


def test_every_scene_is_done_once_though_a_worker_is_killed(tmp_path, client):
    before, log = {*client.nthreads()}, tmp_path / "log"
    planned = tasks(tmp_path)
    run = functools.partial(cluster.there, client=client, model=model(log), say=pytest.fail)
    done = many.translate(planned, run, journal=tmp_path / "scenes.jsonl", quiet=True)
    # A worker that dies takes along what it had not told yet: the next one finds these scenes made.
    assert done.counts["done"] + done.counts.get("current", 0) == 22 and done.counts["failed"] == 1
    assert done.failures == {str(tmp_path / "in" / "bad.tif"): "it is bad."}
    lines = Counter(log.read_text().splitlines())
    assert [lines[f"end {name}"] for name in NAMES] == [0, *[1] * 22]
    assert (lines["start fatal"], lines["start flaky"]) == (2, 3)
    assert lines["start bad"] in (1, 2)  # Again where the worker that died had tried it.
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {*NAMES} - {"bad"}
    assert {*client.nthreads()} != before  # One has died.
    again = many.translate(planned, run, journal=tmp_path / "scenes.jsonl", quiet=True)
    assert again.counts == {"current": 22, "failed": 1}


def test_a_worker_with_another_network_is_refused(tmp_path, client):
    there = cluster.there([], client=client, model=model(tmp_path / "log", stand_in.other, "other"), say=pytest.fail)
    with pytest.raises(ValueError, match=r"Worker tcp://.* cannot load the network: other is another network"):
        list(there)


def test_a_network_that_cannot_be_loaded_is_said_before_scenes_fail(tmp_path, client):
    there = cluster.there([], client=client, model=model(tmp_path / "log", Path.stat, "absent"), say=pytest.fail)
    with pytest.raises(OSError, match=r"Worker tcp://.* cannot load the network: .*No such file"):
        list(there)


def test_a_worker_with_several_threads_translates_one_scene_at_a_time(tmp_path, forgets):
    active, most, loads = [], [], []

    class Watched(stand_in.StandIn):
        def __call__(self, source, target, settings, **kw):
            active.append(target)
            most.append(len(active))
            done = super().__call__(source, target, settings, **kw)
            active.remove(target)
            return done

    def load(log):
        loads.append(log)
        return Watched(log)

    planned, barrier = tasks(tmp_path, [f"{number}" for number in range(8)]), threading.Barrier(8)
    watched = model(tmp_path / "log", load)

    def work(task):
        barrier.wait()
        assert cluster._translated(task, watched).status == "done"

    threads = [threading.Thread(target=work, args=(task,)) for task in planned]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8 and max(most) == 1 and len(loads) == 1


def test_a_network_of_another_training_is_loaded_anew(tmp_path, forgets):
    one = cluster._load(model(tmp_path / "log"))
    assert cluster._load(model(tmp_path / "log")) is one
    retrained = WorkerModel("run", functools.partial(stand_in.other, tmp_path / "log"), stand_in.other(tmp_path).model)
    assert cluster._load(retrained) is not one


def test_a_scheduler_that_does_not_answer_is_said(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(OSError, match=r"No Dask scheduler answers at --scheduler=tcp://127\.0\.0\.1:9"):
        cluster.connect("tcp://127.0.0.1:9")
