import json
import resource
import shutil
import threading
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from sar2opt_jax.engine import digests, durable, networks
from sar2opt_jax.engine.checkpoint import Checkpoints, SaveError
from sar2opt_jax.engine.parallel import DataParallel
from sar2opt_jax.engine.recovery import ITEMS

META = {"stage": "teacher", "model": {"widths": [32, 64]}, "consistency": None}
KEY = jax.random.key(3)


def read_newest(directory):
    """Metadata of the newest checkpoint, whose networks can be read."""
    return networks.read(networks.newest(networks.as_directory(directory)))[1]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "teacher" / "checkpoints"


@pytest.fixture
def write(linear_stage, batches, directory):
    """Trains and saves at some steps; returns copies of the saved states."""

    def write(*, steps, num_devices=4, keep=2):
        stage, iterator, saved = linear_stage(optax.adam(0.1)), batches(), {}
        parallel = DataParallel(stage, devices=jax.devices()[:num_devices])
        state, rng = parallel.place(stage.init(KEY)), parallel.place(KEY)
        with Checkpoints(directory, keep=keep, meta=META) as checkpoints:
            for step in range(1, max(steps) + 1):
                state, _ = parallel.step(state, parallel.shard(next(iterator)), rng)
                if step in steps:
                    saved[step] = jax.tree.map(np.array, state)
                    # The next step is given these very buffers while they are being written.
                    checkpoints.save(step, state, iterator, stage.export(state), progress={"step": step})
        return saved

    return write


def restore(directory, stage, iterator, *, num_devices=4):
    parallel = DataParallel(stage, devices=jax.devices()[:num_devices])
    with Checkpoints(directory, keep=2, meta=META) as checkpoints:
        return checkpoints.restore(parallel.place(stage.init(KEY)), iterator)


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("num_devices", [1, 4])
def test_restore_gives_back_state_position_and_progress(write, directory, linear_stage, batches, num_devices):
    saved = write(steps=[2, 5])
    iterator = batches()
    state, step, progress = restore(directory, linear_stage(optax.adam(0.1)), iterator, num_devices=num_devices)
    assert (step, progress) == (5, {"step": 5})
    assert_equal(state, saved[5])
    assert all(len(leaf.sharding.device_set) == num_devices for leaf in jax.tree.leaves(state))
    np.testing.assert_array_equal(next(iterator).index, np.arange(40, 48))


def test_only_the_newest_are_kept(write, directory):
    write(steps=[1, 2, 3], keep=2)
    assert sorted(entry.name for entry in directory.iterdir()) == ["2", "3"]
    with pytest.raises(ValueError, match="keep_checkpoints must be at least 1; got 0"):
        Checkpoints(directory, keep=0, meta=META)


def test_checkpoint_is_forced_to_the_disk_before_it_has_its_name(write, directory, monkeypatch):
    seen = []
    monkeypatch.setattr(durable, "force", lambda path: seen.append((path.name, (path / digests.FILE).exists())))
    monkeypatch.setattr(durable, "force_names", lambda path: seen.append(sorted(x.name for x in path.iterdir())))
    write(steps=[2])
    [(name, with_digests), names] = seen
    assert name.startswith("2.orbax-checkpoint-tmp") and with_digests
    assert names == ["2"]


def as_of_an_earlier_version(checkpoint):
    """It neither has digests nor says that it was saved with them."""
    (checkpoint / digests.FILE).unlink()
    path = checkpoint / "meta" / "metadata"
    meta = json.loads(path.read_text())
    del meta["saved_by"]
    path.write_text(json.dumps(meta))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES = {flip: "does not match its digest", truncate: "does not match its digest", Path.unlink: "is missing"}


@pytest.mark.parametrize("item", ITEMS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(
    write, directory, linear_stage, batches, caplog, item, damage
):
    saved = write(steps=[2, 5])
    files = [path for path in (directory / "5" / item).rglob("*") if path.is_file() and "commit" not in path.name]
    victim = max(files, key=lambda path: path.stat().st_size)
    damage(victim)
    iterator = batches()
    state, step, _ = restore(directory, linear_stage(optax.adam(0.1)), iterator)
    assert step == 2
    assert_equal(state, saved[2])
    np.testing.assert_array_equal(next(iterator).index, np.arange(16, 24))
    name = victim.relative_to(directory / "5")
    assert f"Checkpoint {directory / '5'} cannot be read: it is damaged: {name} {DAMAGES[damage]}" in caplog.text
    assert sorted(entry.name for entry in directory.iterdir()) == ["2", "unreadable.5"]


def test_item_that_is_missing_altogether_is_noticed_without_digests(write, directory, linear_stage, batches, caplog):
    write(steps=[2, 5])
    as_of_an_earlier_version(directory / "5")
    shutil.rmtree(directory / "5" / "export")
    assert restore(directory, linear_stage(optax.adam(0.1)), batches())[1] == 2
    assert "it is damaged: export is missing" in caplog.text


def test_damage_that_the_library_finds_counts_without_digests(write, directory, linear_stage, batches, caplog):
    write(steps=[2, 5])
    as_of_an_earlier_version(directory / "5")
    for path in (directory / "5" / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    assert restore(directory, linear_stage(optax.adam(0.1)), batches())[1] == 2
    assert f"Checkpoint {directory / '5'} cannot be read" in caplog.text


def test_checkpoint_of_an_earlier_version_is_used_and_said_to_be_unverified(
    write, directory, linear_stage, batches, caplog
):
    saved = write(steps=[2, 5])
    as_of_an_earlier_version(directory / "5")
    state, step, _ = restore(directory, linear_stage(optax.adam(0.1)), batches())
    assert step == 5
    assert_equal(state, saved[5])
    unverified = f"Checkpoint {directory / '5'} is of an earlier version, without digests.json: whether it is damaged"
    assert unverified in caplog.text
    caplog.clear()
    assert read_newest(directory)["step"] == 5
    assert unverified in caplog.text


def test_digests_that_are_gone_are_damage(write, directory, linear_stage, batches, caplog):
    write(steps=[2, 5])
    (directory / "5" / digests.FILE).unlink()
    with pytest.raises(ValueError, match=r"checkpoints/5 is corrupt: digests.json is missing\. Name an older"):
        read_newest(directory)
    assert restore(directory, linear_stage(optax.adam(0.1)), batches())[1] == 2
    assert f"Checkpoint {directory / '5'} cannot be read: it is damaged: digests.json is missing." in caplog.text


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff"])
def test_description_that_is_gone_with_the_digests_is_damage(write, directory, linear_stage, batches, caplog, content):
    write(steps=[2, 5])
    (directory / "5" / digests.FILE).unlink()
    (directory / "5" / "meta" / "metadata").write_bytes(content)
    assert restore(directory, linear_stage(optax.adam(0.1)), batches())[1] == 2
    assert "it is damaged: meta/metadata cannot be read" in caplog.text


def test_export_that_is_handed_on_has_its_digests(directory):
    networks.save(directory, {"unet": {"w": np.ones(2)}}, meta=META, step=3)
    assert read_newest(directory)["step"] == 3
    (directory / "3" / digests.FILE).unlink()
    with pytest.raises(ValueError, match=r"digests.json is missing"):
        read_newest(directory)


def test_checkpoint_of_other_devices_says_what_stays(write, directory, linear_stage, batches, caplog, monkeypatch):
    write(steps=[5])
    stage = linear_stage(optax.adam(0.1))
    with caplog.at_level("INFO", logger="sar2opt_jax"):
        restore(directory, stage, batches())
        assert "The examples, their order and their noise stay" not in caplog.text
        monkeypatch.setattr("jax.device_count", lambda: 2)
        restore(directory, stage, batches())
    assert "step 5 was saved by 1 process(es) with 4 device(s); now it is 1 with 2. The examples, their" in caplog.text


def test_checkpoint_of_another_stage_is_not_taken(write, directory, tmp_path, linear_stage, batches, caplog):
    write(steps=[2, 5])
    stage, other = linear_stage(optax.adam(0.1)), tmp_path / "distill" / "checkpoints"
    with Checkpoints(other, keep=2, meta={"stage": "distill"}) as checkpoints:
        state = stage.init(KEY)
        checkpoints.save(3, state, batches(), stage.export(state), progress={})
    shutil.copytree(directory / "5", other / "7")
    with Checkpoints(other, keep=2, meta={"stage": "distill"}) as checkpoints:
        _, step, _ = checkpoints.restore(DataParallel(stage).place(stage.init(KEY)), batches())
    assert step == 3
    assert "it is a checkpoint of stage 'teacher'; expected one of stage 'distill'" in caplog.text
    assert sorted(entry.name for entry in other.iterdir()) == ["3", "unreadable.7"]


def test_nothing_that_was_moved_aside_is_overwritten(write, directory, linear_stage, batches):
    write(steps=[2, 5])
    (directory / "unreadable.5").mkdir()
    (directory / "unreadable.5" / "kept").touch()
    (directory / "5" / "meta" / "metadata").unlink()
    restore(directory, linear_stage(optax.adam(0.1)), batches())
    assert sorted(entry.name for entry in directory.iterdir()) == ["2", "unreadable.5", "unreadable.5.2"]
    assert (directory / "unreadable.5" / "kept").exists()


@pytest.fixture
def disk_is_full():
    """A switch: no file of this process may grow beyond a few bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def switch(full):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 if full else soft, hard))

    yield switch
    switch(False)


# The library's own threads trip over a save that failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_failed_save_is_reported_removed_and_tried_again(directory, linear_stage, batches, disk_is_full, caplog):
    stage, iterator = linear_stage(), batches()
    state = stage.init(KEY)
    with Checkpoints(directory, keep=1, meta=META) as checkpoints:
        for step, full in [(1, False), (2, True), (3, True), (4, False)]:
            disk_is_full(full)
            checkpoints.save(step, state, iterator, stage.export(state), progress={})
            if not full:
                checkpoints.wait()
            else:
                with pytest.raises(SaveError, match=f"state of step {step} could not be saved in .*is of step 1;"):
                    checkpoints.wait()
                assert [entry.name for entry in directory.iterdir()] == ["1"]
                assert read_newest(directory)["step"] == 1
    assert [entry.name for entry in directory.iterdir()] == ["4"]
    assert f"Checkpoint {directory / '2'} could not be written: " in caplog.text
    assert "The newest complete one is of step 1; the next save tries again." in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_failed_save_does_not_raise_before_the_end(directory, linear_stage, batches, disk_is_full, caplog):
    stage, iterator = linear_stage(), batches()
    state = stage.init(KEY)
    with Checkpoints(directory, keep=1, meta=META) as checkpoints:
        disk_is_full(True)
        checkpoints.save(1, state, iterator, stage.export(state), progress={})
        while "async_save" in {thread.name for thread in threading.enumerate()}:
            time.sleep(0.01)
        disk_is_full(False)
        checkpoints.save(2, state, iterator, stage.export(state), progress={})
        checkpoints.wait()
    assert "could not be written" in caplog.text and "There is no complete one; the next" in caplog.text
    assert [entry.name for entry in directory.iterdir()] == ["2"]


def test_reading_networks_of_a_damaged_one_raises_and_names_the_file(write, directory):
    write(steps=[2, 5])
    flip(directory / "5" / "meta" / "metadata")
    with pytest.raises(ValueError, match=r"teacher/checkpoints/5 is corrupt: meta/metadata does not match its digest"):
        read_newest(directory)
    flip(directory / "2" / "data" / "process_0-of-1.json")  # No part of what is handed on.
    assert networks.read(networks.as_directory(directory / "2"))[1]["step"] == 2


def test_another_optimiser_raises_and_moves_nothing(write, directory, linear_stage, batches):
    write(steps=[2, 5])
    for _ in range(2):  # The second time as the first: nobody must start again from nothing.
        with pytest.raises(ValueError, match=r"None of the checkpoints .* \(steps 5, 2\)(.|\n)*another network or opt"):
            restore(directory, linear_stage(), batches())
    assert sorted(entry.name for entry in directory.iterdir()) == ["2", "5"]


def test_restore_without_a_checkpoint_raises(directory, linear_stage, batches):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint in"):
        restore(directory, linear_stage(), batches())


def test_position_is_found_under_another_number_of_processes(write, directory, linear_stage, batches):
    write(steps=[5])
    data = directory / "5" / "data"
    (data / "process_0-of-1.json").rename(data / "process_0-of-2.json")
    as_of_an_earlier_version(directory / "5")
    iterator = batches()
    _, step, _ = restore(directory, linear_stage(optax.adam(0.1)), iterator)
    assert step == 5
    np.testing.assert_array_equal(next(iterator).index, np.arange(40, 48))


def test_what_a_killed_save_left_is_removed_and_never_loaded(write, directory, tmp_path):
    write(steps=[5])
    left = directory / "9.orbax-checkpoint-tmp"
    (left / "export").mkdir(parents=True)
    assert read_newest(directory)["step"] == 5
    write(steps=[6])  # Orbax removes it in the background, but before something is saved.
    assert not left.exists()
