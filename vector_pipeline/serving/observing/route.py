"""GET /metrics: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vector_pipeline.serving.access.needs import MetricsCaller
from vector_pipeline.serving.observing.exposition import page
from vector_pipeline.serving.observing.indexes import IndexFigures
from vector_pipeline.serving.responses import UNAVAILABLE
from vector_pipeline.serving.threads import run_blocking

router = APIRouter(tags=["status"])

# The first page of a process has the figures of indexes too, if PostgreSQL is quick.
_FIRST_LOOK_SECONDS = 1.0
# That of Prometheus, and that of OpenMetrics, as the client likes.
_FORMATS = ("text/plain", "application/openmetrics-text")
_EXAMPLE = """\
# HELP vector_pipeline_index_lag_rows Rows, at least, that it is behind its table.
# TYPE vector_pipeline_index_lag_rows gauge
vector_pipeline_index_lag_rows{index="genie_documents"} 0.0
"""
_CONTENT = {form: {"schema": {"type": "string"}, "example": _EXAMPLE} for form in _FORMATS}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses=UNAVAILABLE | {200: {"description": "What was counted.", "content": _CONTENT}},
)
async def metrics(request: Request, caller: MetricsCaller) -> Response:
    """Requests, searches by index and mode, requests to providers, connections, and how each index stands: as it was
    within the last half minute as a rule. Answers also while PostgreSQL is down: `vector_pipeline_up` is 0 then."""
    figures: IndexFigures = request.app.state.index_figures
    accept = request.headers.get("accept", "")

    def written() -> Response:
        figures.wait_for_the_first(_FIRST_LOOK_SECONDS)
        told = page(figures, accept, caller.only)
        return Response(told.content, headers={"Content-Type": told.content_type})

    return await run_blocking("metrics", written)
