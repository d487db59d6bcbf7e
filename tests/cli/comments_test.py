"""What values mean, read from the source of made-up and of the shipped configs."""

from types import ModuleType

import pytest
from ml_collections import ConfigDict

from sar2opt_jax.cli import comments, configs

BASE = """
def get_base(name):
    config = _defaults()
    PRESETS[name](config)
    return config


def _defaults():
    config = ConfigDict()
    config.seed = 1
    config.train = ConfigDict()  # the same for all
    config.train.size = 2  # pixels, 'quoted # in it'
    # Above the value,
    # on two lines.
    config.train.rate = 3
    config.train.long = (  # not this one
        4
    )  # this one
    config.net = _nested(5)
    return config


def _nested(width):
    return ConfigDict(
        {
            "width": width,  # channels
            "depth": 6,
        }
    )


def _small(config):
    config.train.size = 1  # a preset's reason
"""
OWN = """
def get_config():
    config = get_base("small")  # of no value
    config.train.size = 7
    config.net.depth = 8  # mine
    return config
"""
EXPECTED = {
    "seed": "",
    "train": "the same for all",
    "train.size": "pixels, 'quoted # in it'",
    "train.rate": "Above the value, on two lines.",
    "train.long": "this one",
    "net": "",
    "net.width": "channels",
    "net.depth": "mine",
}


def module(path, source: str) -> ModuleType:
    path.write_text(source)
    made = ModuleType(path.stem)
    made.__file__ = str(path)
    return made


def test_comments_are_read_through_calls_and_of_no_preset(tmp_path):
    modules = [module(tmp_path / "own.py", OWN), module(tmp_path / "base.py", BASE)]
    assert comments.read(modules) == EXPECTED


def test_order_is_that_of_the_source(tmp_path):
    modules = [module(tmp_path / "own.py", OWN), module(tmp_path / "base.py", BASE)]
    assert list(comments.read(modules)) == list(EXPECTED)


def test_functions_that_call_each_other_end(tmp_path):
    source = "def get_config():\n    config = other()\n    return config\n\n\ndef other():\n    return get_config()\n"
    assert comments.read([module(tmp_path / "own.py", source)]) == {}


@pytest.mark.parametrize("name", configs.names())
def test_every_value_of_a_shipped_config_is_found_in_its_source(name):
    loaded = configs.load(name)
    found = comments.read(loaded.modules)

    def paths(config, prefix=""):
        for key in config:
            yield prefix + key
            if isinstance(config[key], ConfigDict):
                yield from paths(config[key], f"{prefix}{key}.")

    # name, preset and stages are assigned together, and say what they are.
    assert set(paths(loaded.config)) - {"name", "preset", "stages"} == set(found)
    assert found["distill.huber_c"] == "in units of [-1, 1] intensity"
    assert found["pix2pix.optimizer.decay"].startswith("down to zero: cosine")
