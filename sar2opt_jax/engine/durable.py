"""Forces files to the disk, so that what has its name is there after a power failure too."""

import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What file systems answer that cannot be forced, such as some that live in user space."""


def force(directory: os.PathLike[str]) -> None:
    """Returns when all files and folders below a directory, and itself, are on the disk; not of a bucket.

    Raises:
      OSError: where the disk fails: what was not forced may not be there.
    """
    if "://" in str(directory):
        return
    for root, _, files in os.walk(directory, topdown=False):  # A folder after what is in it.
        _force(Path(root, name) for name in files)
        _force([Path(root)])


def force_names(directory: os.PathLike[str]) -> None:
    """Returns when the names in a directory are on the disk, such as one that was given a moment ago."""
    if "://" not in str(directory):
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
