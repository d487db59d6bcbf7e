"""Forces files to the disk (fsync), so that they survive a power failure once they have their names."""

import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Errors of file systems without fsync, such as some in user space."""


def force(directory: os.PathLike[str]) -> None:
    """Returns when all files and folders below a directory, and itself, are on the disk.

    Raises:
      OSError: where the disk fails; the files may then be incomplete after a power failure.
    """
    for root, _, files in os.walk(directory, topdown=False):  # A folder after what is in it.
        _force(Path(root, name) for name in files)
        _force([Path(root)])


def force_names(directory: os.PathLike[str]) -> None:
    """Returns when the names in a directory are on the disk, such as that of a file just renamed."""
    _force([Path(directory)])


def _force(paths: Iterable[Path]) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            logger.debug("%s cannot be forced to the disk: %s.", path, error.strerror)
        finally:
            os.close(descriptor)
