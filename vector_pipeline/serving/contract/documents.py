"""GET /documents: the rows of the table as they are in MySQL now, not as they were synced.

The array is written while it is read, page by page, so that neither side holds all of it. What fails before the first
page is answered as an error; what fails later ends the connection before the array does, since a status has been sent.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.preparation import right_table
from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.pages import PageRow, Span, end_of_page, read_page
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.caller import Caller
from vector_pipeline.serving.access.needs import SearchCaller
from vector_pipeline.serving.dependencies import TheDeployment
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.responses import OF_AN_INDEX
from vector_pipeline.serving.threads import run_blocking

router = APIRouter(tags=["contract"], responses=OF_AN_INDEX)

_NAMES = ("question", "answer", "link", "date")
_ROWS_PER_PAGE = 1000
_CHARACTERS_PER_PAGE = 1_000_000


class Document(BaseModel):
    """A row of the table. What is NULL is an empty text, and so is what the index doesn't declare."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "question": "How do I renew my card?",
                    "answer": "At any counter, with the old one.",
                    "link": "https://example.org/cards",
                    "date": "2026-01-02 03:04:05",
                }
            ]
        }
    )

    question: str
    answer: str
    link: str
    date: str


@dataclass(frozen=True)
class _Reading:
    """What is to be read, with its first page."""

    index: str
    plan: ReadingPlan
    rows: list[PageRow]
    rest: Span | None
    next_after: str | None


@router.get(
    "/documents",
    operation_id="documents",
    summary="All rows of the table",
    response_model=list[Document],
    response_description="In the order of the key. With `limit`, a header `Link` names the next page while there is "
    "one.",
)
async def documents(
    request: Request,
    deployment: TheDeployment,
    caller: SearchCaller,
    limit: Annotated[
        int | None, Query(ge=1, le=1_000_000_000, description="The most rows; all if left out.", examples=[1000])
    ] = None,
    after: Annotated[
        str | None,
        Query(
            max_length=3072, description="A key: only rows behind it, as the header `Link` gives it.", examples=["42"]
        ),
    ] = None,
) -> StreamingResponse:
    """Question, answer, link and date of each row, read from MySQL."""
    reading = await run_blocking("source", lambda: _begin(deployment, caller, limit, after))
    headers = {}
    if reading.next_after is not None:
        following = request.url.include_query_params(limit=limit, after=reading.next_after)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return StreamingResponse(_written(deployment, reading), media_type="application/json", headers=headers)


async def _written(deployment: Deployment, reading: _Reading) -> AsyncIterator[str]:
    rows, rest, plan = reading.rows, reading.rest, reading.plan
    start = "["
    while True:
        if rows:
            yield start + ",\n".join(map(_as_json, rows))
            start = ",\n"
        if rest is None:
            break
        rows, rest = await run_blocking("source", partial(_page, deployment, reading.index, plan, rest))
    yield "[]" if start == "[" else "]"


def _begin(deployment: Deployment, caller: Caller, limit: int | None, after: str | None) -> _Reading:
    index = deployment.contract_index()
    spec = index.spec
    caller.require(AccessScope.SEARCH, spec.name)
    texts, metadata = (
        {name: column for name, column in declared.items() if name in _NAMES}
        for declared in (spec.document.text, spec.document.metadata)
    )
    with deployment.source(spec.name) as source, _refusing_strange_keys(spec.name, after):
        table = right_table(source, spec, spec.source.database or deployment.settings.source.database, index.origin)
        plan = plan_reading(spec, table, texts, metadata)
        last, more = (None, False) if limit is None else end_of_page(source, plan, after, limit)
        rows, rest = _read(source, plan, Span(after, last))
    return _Reading(spec.name, plan, rows, rest, last if more else None)


def _page(deployment: Deployment, index: str, plan: ReadingPlan, span: Span) -> tuple[list[PageRow], Span | None]:
    """On a connection of its own: none waits for a client that takes its time."""
    with deployment.source(index) as source:
        return _read(source, plan, span)


def _read(source: Connection, plan: ReadingPlan, span: Span) -> tuple[list[PageRow], Span | None]:
    rows, complete = read_page(source, plan, span, _ROWS_PER_PAGE, _CHARACTERS_PER_PAGE)
    return rows, None if complete else Span(rows[-1].key, span.last)


@contextmanager
def _refusing_strange_keys(index: str, after: str | None) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise SearchRequestError(f"after: {after!r} is no key of index {index!r}") from None


def _as_json(row: PageRow) -> str:
    found: dict[str, Any] = {name: row.values.get(name) or "" for name in _NAMES}
    return json.dumps(found, ensure_ascii=False)
