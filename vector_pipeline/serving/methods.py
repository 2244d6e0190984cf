"""Which methods a path takes. Starlette tells those of the first route that has the path, and no others."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, compile_path

from vector_pipeline.serving.access.needs import doors


def methods_of(routes: Sequence[BaseRoute], path: str) -> list[str]:
    """Those of all routes that have the path, by name."""
    found = (door for door in doors(routes) if not door.mounted and compile_path(door.path)[0].match(path))
    return sorted({method for door in found for method in door.methods})
