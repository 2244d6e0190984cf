"""GET /healthcheck."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["contract"])


class Health(BaseModel):
    """How the service is."""

    status: str = "healthy"


@router.get("/healthcheck", summary="Whether the service answers")
async def healthcheck() -> Health:
    """Touches nothing, so that it answers whatever else is down."""
    return Health()
