"""Errors as agents are told them: what they can put right in full, what is wrong with this deployment by the name of
the service and a reference id, under which the log has the rest."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError

from vector_pipeline.core.errors import (
    DeclaredInAFileError,
    IndexExistsError,
    IndexSpecError,
    NotDeclaredHereError,
    NotYetSyncedError,
    SearchRequestError,
    VectorPipelineError,
)
from vector_pipeline.declarations import REGISTRY, UnknownIndexError
from vector_pipeline.serving.access.caller import AccessRefusedError
from vector_pipeline.serving.errors import UNAVAILABLE, service_of
from vector_pipeline.serving.mcp.asked import CannotDoError
from vector_pipeline.serving.mcp.size import TooLongError
from vector_pipeline.serving.mcp.tool import Tool
from vector_pipeline.serving.threads import TookTooLongError

_TOLD = (
    AccessRefusedError,
    CannotDoError,
    SearchRequestError,
    UnknownIndexError,
    IndexExistsError,
    NotDeclaredHereError,
    DeclaredInAFileError,
)
_LONGEST_PLACE = 80

_log = logging.getLogger(__name__)


def told(error: Exception, tool: Tool[Any], reference: str) -> str:
    """What the one who called is told."""
    said = _what_to_change(error, tool)
    if said is not None:
        return said
    service = service_of(error)
    if service == UNAVAILABLE and not isinstance(error, VectorPipelineError):
        _log.error("%s: %s: %s", reference, tool.name, type(error).__name__, exc_info=error)
    else:
        _log.warning("%s: %s: %s: %s", reference, tool.name, service, error)
    return f"{service} (reference {reference})"


def _what_to_change(error: Exception, tool: Tool[Any]) -> str | None:
    """What the one who called can do about it; None where they can't."""
    said = None
    match error:
        case ValidationError():
            said = _wrong_arguments(error)
        case NotYetSyncedError():
            said = "the index holds nothing yet: index_status tells how far it is, sync_index starts filling it"
        case TookTooLongError():
            said = f"{tool.name} took longer than {tool.seconds:g} s; ask for less at once, or again later"
        case TooLongError():
            said = "the answer would be longer than 5 MB; ask for less at once"
        case IndexSpecError(origin=origin) if origin == REGISTRY:
            said = "; ".join(str(problem) for problem in error.problems)
        case VectorPipelineError() if isinstance(error, _TOLD):
            said = str(error)
    return said


def _wrong_arguments(error: ValidationError) -> str:
    """Without what was given: it may be long, and is known to who has given it."""
    problems = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(map(str, found["loc"]))[:_LONGEST_PLACE].encode("utf-8", "backslashreplace").decode()
        message = found["msg"].removeprefix("Value error, ")
        problems.append(f"{place}: {message}" if place else message)
    return f"wrong arguments: {'; '.join(problems)}"
