import functools
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from scene_files import db, shows_the_radar, trained, write
from stand_in import StandIn

from sar2opt_jax.scene import inputs, locks, many
from sar2opt_jax.scene.inputs import SceneInput
from sar2opt_jax.scene.translate import SceneSettings, SceneTranslator

USUAL = SceneSettings(steps=1)


def run(folder: Path, output: Path, translator, *, settings=USUAL, shard=None, given=None) -> many.Summary:
    found = inputs.find(str(given or folder), translator.radar, output=output)
    tasks = many.plan(inputs.shard(found.scenes, shard), output, settings)
    here = functools.partial(many.here, translator=translator)
    return many.translate(tasks, here, journal=many.journal_path(output, shard), quiet=True)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def scenes(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.tif").touch()
    return folder


def test_ten_thousand_scenes_are_done_once_by_shards_and_are_current_then(tmp_path):
    folder = scenes(tmp_path / "in", *(f"{number:05}" for number in range(10_000)))
    translator = StandIn(tmp_path / "log")
    done = [run(folder, tmp_path / "out", translator, shard=f"{index}/3") for index in range(3)]
    assert [summary.counts for summary in done] == [{"done": 3334}, {"done": 3333}, {"done": 3333}]
    assert Counter(translator.lines()).most_common(1)[0][1] == 1 and len(translator.lines()) == 20_000
    again = run(folder, tmp_path / "out", translator)
    assert again.counts == {"current": 10_000} and len(translator.lines()) == 20_000
    written = [line for index in range(3) for line in records(tmp_path / f"out/scenes.{index}-of-3.jsonl")]
    assert len({line["output"] for line in written}) == len(written) == 10_000
    assert len({line["output"] for line in records(again.journal)}) == 10_000
    kinds = Counter(path.suffix for path in (tmp_path / "out").iterdir())
    assert kinds == {".tif": 10_000, ".jsonl": 4}  # No locks and no temporary files.


def test_a_failing_scene_does_not_stop_the_rest(tmp_path, caplog):
    folder = scenes(tmp_path / "in", "a", "bad", "broken", "c")
    with caplog.at_level(logging.WARNING):
        done = run(folder, tmp_path / "out", StandIn(tmp_path / "log"))
    assert done.counts == {"done": 2, "failed": 2} and done.megapixels == 2
    assert done.failures == {str(folder / "bad.tif"): "it is bad.", str(folder / "broken.tif"): "KeyError: 'width'"}
    assert [record.exc_info is not None for record in caplog.records] == [True]  # Of what nobody expects.
    a, bad, *_ = records(done.journal)
    time = a.pop("time")
    assert time.endswith("+00:00")
    assert a == {
        "input": str(folder / "a.tif"),
        "output": str(tmp_path / "out" / "a.tif"),
        "status": "done",
        "seconds": 0.5,
        "megapixels": 1.0,
        "notes": ["A note."],
        "reason": None,
        "model": "0123@9",
    }
    assert (bad["status"], bad["reason"], bad["megapixels"]) == ("failed", "it is bad.", None)


def test_a_stale_output_is_made_again_and_a_foreign_file_is_not_replaced(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        write(tmp_path / "in" / f"{name}.tif", db(20, 20))
    go = functools.partial(run, tmp_path / "in", tmp_path / "out")
    translator = SceneTranslator(trained(shows_the_radar))
    assert go(translator).counts == {"done": 2}
    write(tmp_path / "in" / "a.tif", db(20, 30))
    (tmp_path / "out" / "b.tif").write_text("a thesis")
    stale = go(translator)
    assert stale.counts == {"done": 1, "failed": 1}
    assert "b.tif exists and is no translation; --overwrite replaces it." in next(iter(stale.failures.values()))
    assert (tmp_path / "out" / "b.tif").read_text() == "a thesis"
    forced = go(translator, settings=SceneSettings(steps=1, overwrite=True))
    assert forced.counts == {"current": 1, "done": 1}
    assert go(SceneTranslator(trained(shows_the_radar, gain=0.5))).counts == {"done": 2}
    last = records(stale.journal)
    assert [line["status"] for line in last] == ["done", "done"] and last[0]["megapixels"] == 0.0006


def test_what_is_known_of_a_current_output_is_kept(tmp_path):
    folder = scenes(tmp_path / "in", "a")
    first = run(folder, tmp_path / "out", StandIn(tmp_path / "log"))
    [done] = records(first.journal)
    run(folder, tmp_path / "out", StandIn(tmp_path / "log"))
    [current] = records(first.journal)
    assert current == {**done, "status": "current", "time": current["time"]}


def test_a_scene_that_another_process_works_on_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(many, "LOCK_SECONDS", 0)
    folder = scenes(tmp_path / "in", "a", "b")
    with locks.held(tmp_path / "out" / "a.tif"):
        done = run(folder, tmp_path / "out", StandIn(tmp_path / "log"))
    assert done.counts == {"failed": 1, "done": 1}
    assert "another process is at work on" in next(iter(done.failures.values()))


def test_bands_of_an_item_are_settings_unless_stated(tmp_path):
    scene = SceneInput("a", ("a.tif",), bands=("2", "1"))
    plan = functools.partial(many.plan, [scene], tmp_path)
    assert plan(USUAL)[0].settings == SceneSettings(steps=1, bands=("2", "1"))
    assert plan(SceneSettings(bands=("VV", "VH")))[0].settings == SceneSettings(bands=("VV", "VH"))


def test_an_item_without_radar_fails_with_its_reason(tmp_path):
    tasks = many.plan([SceneInput("a", ("items.json#a",), problem="item a has no radar image.")], tmp_path, USUAL)
    [record] = many.here(tasks, translator=StandIn(tmp_path / "log"))
    assert (record.status, record.reason, record.input) == ("failed", "item a has no radar image.", "items.json#a")


def test_an_interrupted_run_keeps_what_is_complete(tmp_path):
    folder = scenes(tmp_path / "in", "a", "b", "c")

    class Interrupted(StandIn):
        def __call__(self, source, target, settings, **kw):
            if Path(target).stem == "b":
                raise KeyboardInterrupt
            return super().__call__(source, target, settings, **kw)

    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / "out", Interrupted(tmp_path / "log"))
    assert [line["status"] for line in records(tmp_path / "out" / "scenes.jsonl")] == ["done"]
    assert run(folder, tmp_path / "out", StandIn(tmp_path / "log")).counts == {"current": 1, "done": 2}
