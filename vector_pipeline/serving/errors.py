"""Errors of the core as HTTP answers.

What was asked wrongly is told in full: 422, 404. What is wrong with this deployment is told by the name of the service
and a reference id, under which the log has the rest: 503. Bodies are `{"detail": …}`, here with a `reference` beside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import pymysql
from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from vector_pipeline.core.errors import (
    ConfigurationError,
    DeclaredInAFileError,
    IndexExistsError,
    IndexSpecError,
    NotDeclaredHereError,
    NotQuarantinedError,
    NotYetSyncedError,
    ProviderError,
    SearchRequestError,
    SourceKeyError,
    SourceRefusedError,
    SourceUnavailableError,
    SourceValueError,
    TargetRefusedError,
    TargetUnavailableError,
    UnreadableIndexError,
    VectorPipelineError,
)
from vector_pipeline.core.search.many import EveryIndexFailedError
from vector_pipeline.declarations import UnknownIndexError
from vector_pipeline.serving.dagster_client import DagsterRefusedError, DagsterUnavailableError, UnknownRunError
from vector_pipeline.serving.methods import methods_of
from vector_pipeline.serving.observing.request import current_id, new_id
from vector_pipeline.serving.threads import TookTooLongError

MYSQL_UNAVAILABLE = "MySQL service unavailable"
EMBEDDING_UNAVAILABLE = "Embedding service unavailable"
SEARCH_ERROR = "Database search error"
DAGSTER_UNAVAILABLE = "Dagster service unavailable"
UNAVAILABLE = "Service unavailable"

_SOURCE = (SourceUnavailableError, SourceRefusedError, SourceKeyError, SourceValueError, pymysql.MySQLError)
_PROVIDER = (ProviderError, ConfigurationError)
_DAGSTER = (DagsterUnavailableError, DagsterRefusedError)
_TARGET = (
    TargetUnavailableError,
    TargetRefusedError,
    NotYetSyncedError,
    UnreadableIndexError,
    EveryIndexFailedError,
    psycopg.Error,
)

# What a search waits for that has no limit of a few seconds is the provider.
_WAITED_FOR = {
    "search": EMBEDDING_UNAVAILABLE,
    "words": SEARCH_ERROR,
    "source": MYSQL_UNAVAILABLE,
    "dagster": DAGSTER_UNAVAILABLE,
}

_log = logging.getLogger(__name__)


def service_of(error: Exception) -> str:
    """Which service is to blame, in the words of the API."""
    if isinstance(error, TookTooLongError):
        return _WAITED_FOR.get(error.kind, UNAVAILABLE)
    if isinstance(error, _SOURCE):
        return MYSQL_UNAVAILABLE
    if isinstance(error, _PROVIDER):
        return EMBEDDING_UNAVAILABLE
    if isinstance(error, _DAGSTER):
        return DAGSTER_UNAVAILABLE
    return SEARCH_ERROR if isinstance(error, _TARGET) else UNAVAILABLE


def told(error: VectorPipelineError) -> str:
    """What a client is told of an error that leaves the rest of the answer standing; the log has what it isn't."""
    if isinstance(error, SearchRequestError | NotYetSyncedError | UnknownIndexError):
        return str(error)
    reference = new_reference()
    _log.warning("%s: %s: %s", reference, service_of(error), error)
    return f"{service_of(error)} (reference {reference})"


def new_reference() -> str:
    """An id that the log can be searched for: that of the request, where there is one."""
    return current_id() or new_id()


def reference_of(request: Request) -> str:
    """The id under which the log tells of this request."""
    given = getattr(request.state, "request_id", None)
    return given if isinstance(given, str) else new_reference()


def add_error_handlers(app: FastAPI) -> None:
    """Lets the app answer the core's errors."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(SearchRequestError, _cannot_be_answered)
    for unknown in (UnknownIndexError, NotDeclaredHereError, NotQuarantinedError, UnknownRunError):
        app.add_exception_handler(unknown, _unknown)
    for unfit in (NotYetSyncedError, IndexSpecError, IndexExistsError, DeclaredInAFileError):
        app.add_exception_handler(unfit, _not_as_things_stand)
    for error in (VectorPipelineError, psycopg.Error, pymysql.MySQLError):
        app.add_exception_handler(error, unavailable)
    app.add_exception_handler(Exception, _a_bug)


def problem(location: Sequence[str | int], message: str, kind: str) -> dict[str, Any]:
    """One thing that is wrong with a request, as FastAPI writes it."""
    return {"type": kind, "loc": list(location), "msg": message}


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without what was given: it may be no proper text, and it is the client's own.
    problems = [problem(found["loc"], _in_words(found), found["type"]) for found in error.errors()]
    return JSONResponse({"detail": problems}, 422)


def _in_words(found: Mapping[str, Any]) -> str:
    """What is wrong; a body that was not even read as JSON is one whose type says that it is something else."""
    is_unread = found["type"] == "model_attributes_type" and tuple(found["loc"]) == ("body",)
    return "give a JSON object, with the header Content-Type: application/json" if is_unread else str(found["msg"])


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:
        # FastAPI's word for JSON that Python can't read: nested too deeply, no UTF-8, numbers of thousands of digits.
        return JSONResponse({"detail": [problem(("body",), str(error.detail), "json_invalid")]}, 422)
    if error.status_code == 405:
        allowed = ", ".join(methods_of(request.app.routes, request.url.path))
        return JSONResponse({"detail": error.detail}, 405, {"Allow": allowed})
    return await http_exception_handler(request, error)


async def _cannot_be_answered(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": [problem(("body",), str(error), "request")]}, 422)


async def _unknown(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 404)


async def _not_as_things_stand(request: Request, error: Exception) -> JSONResponse:
    """The contract knows nothing of indexes, and so nothing of what is wrong with one."""
    if not request.url.path.startswith("/v1/"):
        return await unavailable(request, error)
    return JSONResponse({"detail": str(error)}, 409)


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """503, with the service that is to blame."""
    detail, reference = service_of(error), reference_of(request)
    _log.warning("%s: %s: %s", reference, detail, error)
    return JSONResponse({"detail": detail, "reference": reference}, 503)


async def _a_bug(request: Request, error: Exception) -> JSONResponse:
    reference = reference_of(request)
    _log.error("%s: %s", reference, type(error).__name__, exc_info=error)
    return JSONResponse({"detail": "Internal Server Error", "reference": reference}, 500)
