"""Links from pages to files of the repository that are no pages.

In the repository they lead to the file itself. The site takes a copy of it along, as text that each browser shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"(?P<before>\]\()(?P<target>\.\./[^)#\s]*)(?P<after>[)#])")
_FOLDER = PurePosixPath("repository")
_PAGES = "docs"


def linked_files(page: str, markdown: str) -> dict[str, Path]:
    """Files outside of docs/ that a page links to, by the link's target. Those that don't exist are left out.

    Args:
        page: the page's path below docs/.
    """
    found = {}
    for link in _LINK.finditer(markdown):
        path = _resolved(page, link["target"])
        if path.parts[0] not in {_PAGES, ".."} and (ROOT / path).is_file():
            found[link["target"]] = Path(path)
    return found


def place_of(file: Path) -> str:
    """Where on the site a file of the repository is, below docs/. mkdocs leaves out what begins with a dot."""
    return str(_FOLDER / f"{str(file).lstrip('.')}.txt")


def with_links_to(page: str, markdown: str, files: Mapping[str, Path]) -> str:
    """The page with links to the copies."""
    start = PurePosixPath(page).parent

    def to_copy(link: re.Match[str]) -> str:
        file = files.get(link["target"])
        target = link["target"] if file is None else os.path.relpath(place_of(file), start)
        return f"{link['before']}{target}{link['after']}"

    return _LINK.sub(to_copy, markdown)


def _resolved(page: str, target: str) -> PurePosixPath:
    return PurePosixPath(os.path.normpath(PurePosixPath(_PAGES, page).parent / target))


def changelog(text: str) -> str:
    """CHANGELOG.md as a page: its links begin in docs/."""
    return text.replace("](docs/", "](")
