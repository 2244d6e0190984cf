"""The API beyond the old contract, under /v1: searches with all that they can do, and the indexes themselves."""

from __future__ import annotations

from fastapi import APIRouter

from vector_pipeline.serving.v1 import declaring, documents, indexes, quarantine, runs, search, status, unanswered

ROUTERS: tuple[APIRouter, ...] = (
    search.router,
    indexes.router,
    declaring.router,
    status.router,
    documents.router,
    quarantine.router,
    runs.router,
    unanswered.router,
)
"""In the order of the OpenAPI document."""
