"""GET /openapi.json: the document that describes the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute

from vector_pipeline.serving.access.needs import ANYBODY_KNOWN

router = APIRouter(dependencies=[Depends(ANYBODY_KNOWN)])


@router.get("/openapi.json", include_in_schema=False)
async def openapi_document(request: Request) -> JSONResponse:
    """As FastAPI writes it, with the null of examples."""
    return JSONResponse(request.app.openapi())


def with_nulls(document: dict[str, Any], routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The document with the examples of answers as they are declared: FastAPI leaves out what is null in them, and
    clients would read that it may be missing."""
    schemas = document.get("components", {}).get("schemas", {})
    for context in iter_route_contexts(routes):
        route = context.original_route
        model = route.response_model if isinstance(route, APIRoute) else None
        declared = getattr(model, "model_config", {}).get("json_schema_extra", {})
        name = getattr(model, "__name__", None)
        if "examples" in declared and name in schemas:
            schemas[name]["examples"] = declared["examples"]
    return document
