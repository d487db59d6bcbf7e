import json

from configs.base import get_base
from sar2opt_jax.run.changes import MEANING, changes


def plain(**changed):
    """A config as JSON, with values by their dotted names, __ for dots."""
    config = get_base(name="acd", stages=("teacher", "adversarial"), preset="smoke")
    for key, value in changed.items():
        group, _, name = key.rpartition("__")
        (config[group] if group else config)[name] = value
    return json.loads(json.dumps(config.to_dict()))


def test_same_settings_have_no_news():
    assert changes(plain(), plain()) == []
    assert changes(plain(), plain(data__data_dir="elsewhere", evaluation__num_examples=2)) == []


def test_number_of_threads_says_that_all_is_kept():
    [said] = changes(plain(), plain(train__loader_threads=7))
    assert said.startswith("train.loader_threads was 2 and is 7: every batch stays the same, to the bit;")


def test_batch_size_says_what_cannot_be_kept():
    [said] = changes(plain(), plain(train__batch_size=8))
    assert said.startswith("train.batch_size was 4 and is 8: the place in the data cannot be kept:")


def test_any_other_setting_is_named():
    said = changes(plain(), plain(train__save_every_steps=2, teacher__max_ema_decay=0.5))
    assert said == ["teacher.max_ema_decay was 0.9999 and is 0.5.", "train.save_every_steps was 4 and is 2."]


def test_setting_that_one_version_does_not_know_is_passed_over():
    before = plain()
    del before["train"]["keep_every_steps"]
    assert changes(before, plain()) == []


def test_every_meaning_is_of_a_setting():
    config = plain()
    for name in MEANING:
        group, _, key = name.rpartition(".")
        assert key in (config[group] if group else config)
