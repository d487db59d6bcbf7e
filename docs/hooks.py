"""What MkDocs does beyond its settings: pages take sections of README.md and READMEs of datasets, written once.

A line ``{{ README.md: Train it }}`` becomes that section, ``{{ tfds_builders/pairs/README.md }}`` that file.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INCLUDE = re.compile(r"^\{\{ (?P<path>[\w./]+\.md)(?:: (?P<section>.+))? \}\}$", flags=re.M)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The text of a page, with what it includes."""
    return INCLUDE.sub(lambda match: _included(match["path"], match["section"], page.file.src_uri), markdown)


def _included(path: str, heading: str | None, page: str) -> str:
    """A section of a file, or all of it, with its links as they are from ``page``."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if heading is not None:
        parts = re.split(r"^## (.+)\n", text, flags=re.M)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        if heading not in sections:
            raise ValueError(f"{path} has no section {heading!r}, for {page}; it has: {', '.join(sections)}.")
        text = sections[heading]
    return LINK.sub(lambda match: _link(match, Path(path).parent.as_posix(), posixpath.dirname(page)), text).strip()


def _link(match: re.Match[str], folder: str, page: str) -> str:
    """A link that leads to another page of the site, or to elsewhere; of a file that is no page, the text alone."""
    target = match["target"]
    if "://" in target:
        return match[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    if not target or not path.startswith("docs/"):
        return match["text"]
    inside = os.path.relpath(path.removeprefix("docs/"), page or ".")
    return f"{match['image']}[{match['text']}]({inside}{match['anchor'] or ''})"
