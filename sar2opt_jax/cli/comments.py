"""Reads from the source of a config what its values mean: the comments beside them."""

import ast
import io
import tokenize
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import NamedTuple


class _Function(NamedTuple):
    node: ast.FunctionDef
    source: "_Source"


class _Source(NamedTuple):
    lines: list[str]
    comments: dict[int, str]  # by line, counted from 1

    @classmethod
    def of(cls, text: str) -> "_Source":
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        found = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
        return cls(text.splitlines(), found)

    def beside(self, node: ast.stmt | ast.expr) -> str:
        """The comment that ends the node's last line, or the lines of comments above its first one."""
        if node.end_lineno in self.comments:
            return self.comments[node.end_lineno]
        above, line = [], node.lineno - 1
        while line in self.comments and self.lines[line - 1].lstrip().startswith("#"):
            above.insert(0, self.comments[line])
            line -= 1
        return " ".join(above) if isinstance(node, ast.stmt) else ""


def read(modules: Sequence[ModuleType]) -> dict[str, str]:
    """The comments on the values that ``get_config`` of the first module sets, in the order of the source.

    Assignments such as ``config.train.batch_size = 16  # examples a step`` are read, and dictionaries in a
    ``ConfigDict``, through calls of functions of these modules, so that one table of defaults serves all configs.

    Args:
      modules: a config's own, then those it imports from.

    Returns:
      From ``train.batch_size`` to ``examples a step``; an empty text where a value has no comment.
    """
    functions: dict[str, _Function] = {}
    for module in reversed(modules):  # The first one's functions hide others of the same name.
        with open(str(module.__file__), encoding="utf-8") as file:
            text = file.read()
        source = _Source.of(text)
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                functions[node.name] = _Function(node, source)
    return _of_call("get_config", functions, ())


def _of_call(name: str, functions: dict[str, _Function], callers: tuple[str, ...]) -> dict[str, str]:
    """The comments on what a function sets and returns."""
    if name not in functions or name in callers:
        return {}
    node, source = functions[name]
    found: dict[str, str] = {}
    for statement in ast.walk(node):
        if isinstance(statement, ast.Return):
            paths = [""]
        elif isinstance(statement, ast.Assign):
            paths = [path for path in map(_path, statement.targets) if path is not None]
        else:
            continue
        for path in paths:
            if path and (not found.get(path) or source.beside(statement)):
                found[path] = source.beside(statement)
            for key, comment in _of_value(statement.value, source, functions, (*callers, name)):
                found[f"{path}.{key}" if path else key] = comment
    return found


def _of_value(
    value: ast.expr | None, source: _Source, functions: dict[str, _Function], callers: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """The comments within what is assigned or returned: a call of a known function, or ConfigDict({...})."""
    if not isinstance(value, ast.Call):
        return
    for argument in value.args:
        if isinstance(argument, ast.Dict):
            for key, item in zip(argument.keys, argument.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value, source.beside(item)
    if isinstance(value.func, ast.Name):
        yield from _of_call(value.func.id, functions, callers).items()


def _path(target: ast.expr) -> str | None:
    """``config.train.batch_size`` as ``train.batch_size``, a bare name as the empty path, None for anything else."""
    names: list[str] = []
    while isinstance(target, ast.Attribute):
        names.insert(0, target.attr)
        target = target.value
    return ".".join(names) if isinstance(target, ast.Name) else None
