"""GET /openapi.json: the document that describes the API."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from vector_pipeline.serving.access.needs import ANYBODY_KNOWN

router = APIRouter(dependencies=[Depends(ANYBODY_KNOWN)])


@router.get("/openapi.json", include_in_schema=False)
async def openapi_document(request: Request) -> JSONResponse:
    """As FastAPI writes it."""
    return JSONResponse(request.app.openapi())
