"""Paths and addresses of rasters as GDAL opens them."""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

_SIGNATURES = re.compile(
    r"(?i)x-(amz|goog)-.*|sig|signature|s[tepvrk]|sk[a-z]+|key-pair-id|expires|policy|(google|aws)accesskeyid|.*token"
)
"""Parameters of signed addresses, of Azure, AWS, Google and others."""

Source = str | os.PathLike[str] | tuple[str | os.PathLike[str], ...]
"""A scene: one file, or one for each band in the network's order."""


def files(source: Source) -> tuple[str, ...]:
    """The files of a scene, with a home directory (``~``) expanded."""
    return tuple(os.path.expanduser(os.fspath(each)) for each in (source if isinstance(source, tuple) else (source,)))


def is_remote(address: str) -> bool:
    """Whether an address is none of this machine's files, such as ``https://...``, ``s3://...`` or ``/vsicurl/...``."""
    return "://" in address or address.startswith("/vsi")


def unsigned(address: str) -> str:
    """An address without the parameters that sign it, which change each time and are nobody else's business."""
    if "?" not in address or not is_remote(address):
        return address
    parts = urlsplit(address)
    given = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in given if not _SIGNATURES.fullmatch(name)]
    return address if len(kept) == len(given) else urlunsplit(parts._replace(query=urlencode(kept)))


def stem(address: str) -> str:
    """What a file is called after it: its name without folder, suffix and parameters; letters, digits, ``_.-`` only."""
    path = unquote(urlsplit(address).path) if is_remote(address) else address
    return safe(Path(path.rstrip("/")).stem)


def safe(name: str) -> str:
    """A name as a file of any system may have it."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "scene"
