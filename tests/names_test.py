"""One thing, one name: no two public classes of the package share theirs, and keys are made in one function."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sar2opt_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
KEYS_OF_DEFAULT_PRNG = ("jax.random.key", "jax.random.PRNGKey")


def public_classes(source: str) -> set[str]:
    """Those at the top level of a file."""
    names = (node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    return {name for name in names if not name.startswith("_")}


def calls(source: str) -> Iterator[str]:
    """What is called in a file, as it is written, such as ``jax.random.key``."""
    return (ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def test_public_classes_have_names_of_their_own():
    files = defaultdict(list)
    for path in FILES:
        for name in public_classes(path.read_text()):
            files[name].append(str(path.relative_to(PACKAGE)))
    assert len(files) > 50
    assert {name: paths for name, paths in files.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "types.py"], ids=lambda path: path.stem)
def test_keys_are_made_by_make_key(path):
    assert not {*calls(path.read_text())} & {*KEYS_OF_DEFAULT_PRNG}


def test_checks_see_what_they_look_for():
    assert public_classes("class A: pass\nclass _B: pass\nif True:\n    class C: pass") == {"A"}
    assert [*calls("import jax\nx = jax.random.key(0)")] == ["jax.random.key"]
