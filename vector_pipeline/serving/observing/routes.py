"""The template of a path, such as /v1/indexes/{index}: what a request is counted and logged by.

Known for requests too that are refused before any route is looked for. Paths themselves are logged nowhere: they have
keys of rows in them, and whoever makes paths up would make as many time series.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, compile_path

from vector_pipeline.serving.access.needs import INDEX_PARAMETER, doors

UNKNOWN = "unknown"

RouteOf = Callable[[str], tuple[str, str | None]]
"""From a path to its template, and to the index that it names, if it does."""


def route_of(routes: Sequence[BaseRoute]) -> RouteOf:
    """Finds the templates of an application that has all its routes."""
    exact: dict[str, str] = {}
    patterns: list[tuple[re.Pattern[str], str]] = []
    mounts: list[str] = []
    for door in doors(routes):
        if door.mounted:
            mounts.append(door.path)
        elif "{" in door.path:
            patterns.append((compile_path(door.path)[0], door.path))
        else:
            exact[door.path] = door.path

    def find(path: str) -> tuple[str, str | None]:
        if path in exact:
            return path, None
        for pattern, template in patterns:
            if match := pattern.fullmatch(path):
                return template, match.groupdict().get(INDEX_PARAMETER)
        return next((mount for mount in mounts if path.startswith(f"{mount}/")), UNKNOWN), None

    return find
