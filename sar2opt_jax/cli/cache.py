"""How commands compile: quietly, and once, as a persistent cache keeps what was compiled for later starts."""

import importlib.util
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any, cast

logger = logging.getLogger(__name__)

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,  # JAX leaves out what compiles within a second
    "jax_persistent_cache_min_entry_size_bytes": -1,
}

ACCELERATORS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")
"""Packages that bring JAX a GPU or a TPU."""
UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '([\w.<>-]+)'")
"""JAX's warning of an entry that it cannot read, with the name of the function, by which the entry's begins."""


def default(name: str = "xla") -> Path:
    """A folder in the user's own cache, ``~/.cache/sar2opt-jax/NAME`` or below ``XDG_CACHE_HOME``.

    Args:
      name: ``xla`` for compiled programs, ``plans`` for what ``sar2opt plan`` found.

    Raises:
      RuntimeError: where the user has no home directory.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    return (root if root.is_absolute() else Path.home() / ".cache") / "sar2opt-jax" / name


def silence_alarm() -> None:
    """Keeps XLA from printing an alarm on every program that it compiles for more than two minutes.

    A CPU does, and the log says so beforehand. XLA calls the alarm an error, so that its errors go with it: only where
    no accelerator's plugin is installed, whose errors a user must see, and not where the environment sets a level.
    """
    if not any(map(importlib.util.find_spec, ACCELERATORS)):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def enable() -> None:
    """Turns the cache on, before anything is compiled; what the environment sets for JAX takes precedence.

    Several processes share it: JAX compiles anew where an entry is missing or cannot be read, such as one that another
    process is writing. What a full disk or a kill left half-written is removed, so that it is compiled anew once only.
    A folder that cannot be written is a warning; commands work without a cache.
    """
    silence_alarm()  # Before XLA is loaded, which reads the level once.
    import jax  # Here, so that --help does not wait for it.

    for name, value in SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    _remove_unreadable()
    if VARIABLE in os.environ:
        return
    try:
        directory = default()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # Code is run from it: nobody else shall write to it.
        if not os.access(directory, os.W_OK):
            raise PermissionError(f"{directory} is not writable.")
    except (OSError, RuntimeError) as error:
        logger.warning("No compilation cache, every start compiles anew: %s %s names another folder.", error, VARIABLE)
        return
    jax.config.update("jax_compilation_cache_dir", str(directory))


def _remove_unreadable() -> None:
    """Removes an entry when JAX warns that it cannot be read: JAX itself never replaces one."""
    import jax

    show = warnings.showwarning

    def remove(message: Warning | str, *details: Any, **options: Any) -> None:
        unreadable, directory = UNREADABLE.match(str(message)), cast(Any, jax.config).jax_compilation_cache_dir
        if unreadable is None or directory is None:
            show(message, *details, **options)
            return
        for entry in Path(directory).glob(f"{unreadable[1]}-*"):
            entry.unlink(missing_ok=True)  # Those of other shapes under the same name are written again as well.

    warnings.showwarning = remove
