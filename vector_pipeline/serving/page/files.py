"""GET / and the files of the page. They are open to all: whatever they show, they ask the API for, with its rules."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from vector_pipeline.serving.access.needs import OPEN, Guarded

_HEADERS = {
    # A browser asks each time whether its copy is still good, which an ETag answers in a few bytes.
    "Cache-Control": "no-cache",
    # Nothing on the page may turn a text into HTML or a script, not even by mistake.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
}


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        MutableHeaders(raw=response.raw_headers).update(_HEADERS)
        return response


_files = _Files(directory=Path(__file__).parent / "static")

router = APIRouter(dependencies=[Depends(OPEN)])
files = Mount("/page", Guarded(_files, OPEN))
"""The route to what the page loads."""


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """The search page."""
    return await _files.get_response("index.html", request.scope)
