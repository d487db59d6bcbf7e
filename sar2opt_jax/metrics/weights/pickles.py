"""Pickles, read without running what is in them.

A pickle is a program: it calls what it names. Here it can name nothing but the entries of a short table, whose values
are inert or our own, and no name outside the table is ever imported. What it may cost is bounded by its length.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Table = Mapping[tuple[str, str], Any]
"""What a pickle gets for a module and a name in it: a tuple, or a class with ``__setstate__``. A pickle can set the
attributes of what it gets, of a function too; of these it cannot."""

PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
"""Opcodes that number what they remember; Python makes room for all smaller numbers, too."""
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
"""Types of numbers in a pickle of numpy arrays: kind and bytes."""
DEPTH = 32
"""How deep the dictionaries of a pickle of numpy arrays may be nested."""


class Names(dict[Any, Any]):
    """A dictionary for a pickle that wants an ``OrderedDict``; attributes that it sets are dropped."""

    def __setstate__(self, state: Any) -> None:
        """Drops ``state``."""


def load(file: BytesIO, table: Table, *, where: str, persistent: Callable[[Any], Any] | None = None) -> Any:
    """Reads the pickle at which ``file`` stands, and leaves it behind its end.

    Args:
      file: the content of a file, in memory: from there no read takes more than there is, whatever a length says.
      table: all that the pickle may name.
      where: the file's name, for messages.
      persistent: what the pickle gets for an object that lies outside it, from what it says of it.

    Raises:
      ValueError: for a pickle that names something else, or is corrupt.
    """
    start = file.tell()
    length = len(file.getbuffer())
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in PUTS and isinstance(argument, int) and argument > length:
                raise ValueError(f"it remembers {argument} objects in {length} bytes")
    except Exception as error:  # What pickletools raises for what it cannot read is of many kinds.
        raise _damaged(where, error) from None
    file.seek(start)
    try:
        return _Unpickler(file, table, persistent, where=where).load()
    except _ForbiddenError as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # So is what pickle raises.
        raise _damaged(where, error) from None


def read_numpy(path: Path) -> Any:
    """Reads a pickle of dictionaries and lists of numpy arrays, of protocol 3 or 4.

    Args:
      path: of the file.

    Returns:
      What was pickled, with arrays of their own, in the machine's byte order.

    Raises:
      FileNotFoundError: where it does not exist.
      ValueError: for a pickle that holds anything else than numbers, names and numpy arrays of numbers, is corrupt, or
        has an array whose values are not as many as its shape says.
    """
    table: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): Names}
    for module in ("numpy.core", "numpy._core"):  # Before numpy 2, and since.
        table[f"{module}.multiarray", "_reconstruct"] = _Array
    table |= {("numpy", "ndarray"): _NdarrayName(), ("numpy", "dtype"): _Dtype}
    return _Filled(str(path)).of(load(BytesIO(path.read_bytes()), table, where=str(path)))


class _ForbiddenError(Exception):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BytesIO, table: Table, persistent: Callable[[Any], Any] | None, *, where: str):
        super().__init__(file)
        self._table, self._persistent, self._where = table, persistent, where

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (entry := self._table.get((module_name, global_name))) is None:
            known = ", ".join(".".join(key) for key in self._table)
            raise _ForbiddenError(
                f"{self._where} asks for {module_name}.{global_name}, which no file of tensors needs; expected "
                f"{known or 'no names'} at most."
            )
        return entry

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to objects outside itself")
        return self._persistent(pid)


class _NdarrayName(NamedTuple):
    """Stands for the class ``numpy.ndarray``, which a pickle hands to ``_reconstruct``; it cannot be changed."""


class _Dtype:
    """What a pickle says of a ``numpy.dtype``; a hostile one may leave out all of it."""

    name = order = ""

    def __init__(self, name: str, align: bool = False, copy: bool = True):
        del align, copy
        self.name, self.order = name, "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class _Array:
    """What a pickle says of a ``numpy.ndarray``, which it makes empty and gives a state.

    That is  (version, shape, dtype, Fortran order, bytes).
    """

    state: Any = ()

    def __init__(self, kind: _NdarrayName, shape: tuple[int, ...], code: bytes):
        del kind, shape, code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """The array, or an error that says what is wrong with it."""
        _, shape, dtype, fortran, content = self.state
        if not isinstance(dtype, _Dtype) or dtype.name not in DTYPES or dtype.order not in ("<", ">", "|", "="):
            raise ValueError(f"type {getattr(dtype, 'name', dtype)!r}; expected one of {', '.join(DTYPES)}")
        if not isinstance(content, bytes):
            raise ValueError(f"values that are a {type(content).__name__}; expected bytes")
        kind = np.dtype(dtype.name).newbyteorder(dtype.order)
        flat = np.frombuffer(content, kind).astype(kind.newbyteorder("="))
        return np.array(flat.reshape(shape, order="F" if fortran else "C"), order="C")


class _Filled:
    """The unpickled tree with its arrays; what occurs twice is made once."""

    def __init__(self, where: str):
        self._where = where
        self._made: dict[int, Any] = {}

    def of(self, node: Any, *names: str) -> Any:
        """What ``node`` stands for, at the path ``names``."""
        if len(names) > DEPTH:
            raise ValueError(f"{self._where} is nested more than {DEPTH} deep; expected names and numpy arrays.")
        if id(node) not in self._made:
            self._made[id(node)] = self._make(node, *names)
        return self._made[id(node)]

    def _make(self, node: Any, *names: str) -> Any:
        if isinstance(node, dict):
            return {str(key): self.of(value, *names, str(key)) for key, value in node.items()}
        if type(node) in (list, tuple):  # What stands for a class is a tuple of another type.
            return [self.of(value, *names, str(i)) for i, value in enumerate(node)]
        if isinstance(node, _Array):
            try:
                return node.values()
            except (TypeError, ValueError) as error:
                raise ValueError(f"{self._where}: array {'/'.join(names)} is corrupt: {error}.") from None
        if node is None or isinstance(node, bool | int | float | str):
            return node
        name = "/".join(names) or "all of it"
        raise ValueError(f"{self._where}: {name} is a {type(node).__name__}; expected names and numpy arrays.")


def _damaged(where: str, error: Exception) -> ValueError:
    return ValueError(f"{where} is not a whole pickle: {error}. Download or write it again.")
