"""Holds the import order: every file imports only from the rows above its own, as CONTRIBUTING.md has them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS: dict[str, tuple[str, ...]] = {
    "types": (),
    "paths": (),
    "diffusion": ("types",),
    "models": ("types",),
    "stages": ("types", "diffusion"),
    "translator": ("types", "diffusion"),
    "data": ("types", "paths"),
    "metrics": ("types", "paths"),
    "engine": ("types", "paths", "tfds_builders.lock"),
    "description": ("types", "diffusion", "models", "translator", "__version__"),
    "export": ("types", "paths", "translator", "description", "engine.networks"),
    "interop": ("types", "paths", "translator", "description", "export"),
    "evaluation": ("types", "paths", "data.scaling", "translator", "description", "metrics", "engine.parallel"),
    "report": ("types", "paths", "data.scaling", "metrics", "evaluation"),
    "planner": ("types", "paths", "__version__"),
    "scene": (
        "types",
        "paths",
        "data.scaling",
        "translator",
        "description",
        "export",
        "__version__",
        "tfds_builders.imagery",
    ),
}
ROWS["run"] = (*ROWS, "tfds_builders")
ROWS["inference"] = ("types", "paths", "data.scaling", "translator", "description", "export", "interop", "scene")
ROWS["cli"] = ("__version__", "tfds_builders.interruption")
COMMANDS = (*(name for name in ROWS if name not in ("models", "stages", "metrics")), "tfds_builders.interruption")
ROWS |= dict.fromkeys(("main", "plan", "translate", "convert", "deploy", "demo"), COMMANDS)
"""What each package, or module outside a package, may import; modules of one package may import each other."""
PACKAGES = ("sar2opt_jax", "tfds_builders", "configs", "tests")
FILES = sorted(path.relative_to(ROOT) for name in PACKAGES[:3] for path in (ROOT / name).rglob("*.py"))


def imported(source: str) -> Iterator[str]:
    """Dotted names of all that is imported, anywhere in the source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are written from the package down"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden(path: str | Path, source: str) -> list[str]:
    """Those imports of a file that its row does not allow."""
    package, *rest = Path(path).with_suffix("").parts
    allowed = [package]
    if package == "sar2opt_jax" and rest != ["__init__"]:
        allowed = [
            name if name.startswith("tfds_builders") else f"{package}.{name}" for name in (rest[0], *ROWS[rest[0]])
        ]
    own = (name for name in imported(source) if name.split(".")[0] in PACKAGES)
    return [name for name in own if not f"{name}.".startswith(tuple(f"{prefix}." for prefix in allowed))]


def documented() -> dict[str, set[str]]:
    """The rows of the table in CONTRIBUTING.md, by name."""
    names = re.compile(r"`([\w.]+)/?`").findall
    rows: dict[str, set[str]] = {}
    for line in (ROOT / "CONTRIBUTING.md").read_text().partition("| May import |")[2].splitlines()[2:]:
        if not line:
            break
        _, name, allowed, *_ = line.split("|")
        listed, _, excepted = allowed.partition(" but ")
        above = {*rows} if "all above" in listed else set()
        rows |= dict.fromkeys(names(name), (above | {*names(listed)}) - {*names(excepted)})
    return rows


def test_contributing_has_this_table():
    assert documented() == {
        **{name: {*allowed} for name, allowed in ROWS.items()},
        "tfds_builders": set(),
        "configs": set(),
    }


@pytest.mark.parametrize("path", FILES, ids=str)
def test_file_imports_only_from_above(path):
    assert forbidden(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sar2opt_jax/stages/made_up.py", "import sar2opt_jax.models.unet"),
        ("sar2opt_jax/stages/made_up.py", "def late():\n    from sar2opt_jax.models import unet"),
        ("sar2opt_jax/models/made_up.py", "from sar2opt_jax.diffusion.schedule import Schedule"),
        ("sar2opt_jax/evaluation/made_up.py", "from sar2opt_jax.engine import loop"),
        ("sar2opt_jax/scene/made_up.py", "from sar2opt_jax.data import pipeline"),
        ("sar2opt_jax/export.py", "from sar2opt_jax.run import plan"),
        ("sar2opt_jax/main.py", "from sar2opt_jax.stages import teacher"),
        ("sar2opt_jax/types.py", "import sar2opt_jax"),
        ("sar2opt_jax/paths.py", "from sar2opt_jax.engine import durable"),
        ("sar2opt_jax/diffusion/made_up.py", "from sar2opt_jax import paths"),
        ("sar2opt_jax/run/plan.py", "from configs import base"),
        ("sar2opt_jax/run/made_up.py", "from sar2opt_jax import main"),
        ("tfds_builders/made_up.py", "from sar2opt_jax.data import scaling"),
        ("configs/made_up.py", "from sar2opt_jax import run"),
    ],
)
def test_checker_finds_violation(path, source):
    assert len(forbidden(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sar2opt_jax/stages/made_up.py", "from sar2opt_jax.stages.network import Network"),
        (
            "sar2opt_jax/evaluation/made_up.py",
            "from sar2opt_jax.data import scaling\nimport sar2opt_jax.engine.parallel",
        ),
        ("sar2opt_jax/run/plan.py", "from tfds_builders.prepare import prepare\nimport jax"),
        ("sar2opt_jax/run/made_up.py", "from sar2opt_jax.run.stages import STAGES"),
    ],
)
def test_checker_passes_what_is_allowed(path, source):
    assert forbidden(path, source) == []
