"""Shuffling of splits that TFDS does not hold in memory.

TFDS sorts the examples of a split by a hash of their keys. Those of more than ``shuffle.MAX_MEM_BUFFER_SIZE`` bytes it
spreads over files, its buckets, which it writes with TensorFlow and keeps open, all 1,000 at once. Here TensorFlow is
not needed, and 1,024 open files are often all that a process may have.
"""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

from tensorflow_datasets.core import shuffle

_HEADER = struct.Struct("<16sQ")  # The hash of a key, and the number of bytes that follow.


class Bucket:
    """A part of a split in a file that is open only while it is written to or read; stands in for TFDS's own.

    Attributes:
        size: bytes of all examples.
    """

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = Path(path)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, key: int, data: bytes) -> None:
        """Appends an example; ``key`` is the hash of its key, of 128 bits."""
        with self._path.open("ab") as file:
            file.write(_HEADER.pack(key.to_bytes(16, "big"), len(data)))
            file.write(data)
        self._length += 1
        self.size += len(data)

    def read_values(self) -> Iterator[tuple[int, bytes]]:
        """All hashes and examples, in the order in which they were added."""
        if not self._length:
            return
        with self._path.open("rb") as file:
            for _ in range(self._length):
                key, size = _HEADER.unpack(file.read(_HEADER.size))
                yield int.from_bytes(key, "big"), file.read(size)

    def del_file(self) -> None:
        """Removes the file, if there is one."""
        self._path.unlink(missing_ok=True)


def copied(size: int) -> int:
    """The bytes that a split of ``size`` bytes takes besides those of its files while it is written."""
    return size if size > shuffle.MAX_MEM_BUFFER_SIZE else 0


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Within, TFDS shuffles with ``Bucket``."""
    own = shuffle._Bucket
    shuffle._Bucket = Bucket  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        shuffle._Bucket = own
