import json

import pytest

from sar2opt_jax.interop import json_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config.json"


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_object_is_read_with_and_without_a_byte_order_mark(path, mark):
    path.write_text(mark + json.dumps({"a": [1, -2.5], "b": None}), encoding="utf-8")
    assert json_file.read(path) == {"a": [1, -2.5], "b": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{'a': 1}", "is not JSON: "),
        ("", "is not JSON: "),
        ("[1]", "holds a list; expected names and values"),
        ("null", "holds a NoneType; expected names and values"),
        ("[" * 200_000, "is nested too deeply"),
        ('{"a":' * 200_000, "is nested too deeply"),
        ('{"a": {"b": 1, "b": 2}}', "is not JSON: it says 'b' twice"),
        (f'{{"a": {"9" * 5000}}}', "is not JSON: it has a number of 5000 digits"),
    ],
)
def test_what_is_none_is_refused_with_the_file(path, content, message):
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"config\.json .*{message}"):
        json_file.read(path)


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes("{}".encode("utf-16"))
    with pytest.raises(ValueError, match=r"config\.json is not JSON: 'utf-8' codec"):
        json_file.read(path)


def test_size_is_bounded(path, monkeypatch):
    path.write_text('{"a": "' + "x" * 100 + '"}')
    size = path.stat().st_size
    monkeypatch.setattr(json_file, "MAX_BYTES", size)
    assert len(json_file.read(path)["a"]) == 100
    monkeypatch.setattr(json_file, "MAX_BYTES", size - 1)
    with pytest.raises(ValueError, match=r"config\.json has more than 0 MiB; expected a JSON file of some kilobytes"):
        json_file.read(path)


def test_long_values_are_cut_in_messages():
    assert json_file.shown("ab") == "'ab'"
    assert json_file.shown(list(range(10_000))).startswith("[0, 1, 2, ")
    assert len(json_file.shown("x" * 10_000)) == json_file.MAX_SHOWN + len("...")
