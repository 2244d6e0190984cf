"""The request that is being answered: its id, and what is learned of it on the way.

Threads that work for it see the same one, since `threads.run_blocking` gives them the context of who asked.
"""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar, Token
from dataclasses import dataclass, field

from vector_pipeline.core.store.api_keys import without_keys

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass
class ObservedRequest:
    """One request. `indexes` are those that it has searched, `queries` the words that it searched for."""

    request_id: str
    indexes: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)


_current: ContextVar[ObservedRequest | None] = ContextVar("observed_request", default=None)


def begin(given_id: str | None) -> tuple[ObservedRequest, Token[ObservedRequest | None]]:
    """A request begins, and ends with `end`.

    Args:
        given_id: the client's own id for it, which is taken if it is one: up to 64 letters, digits and . _ -, and not
            an API key.
    """
    is_sane = given_id is not None and _SANE.fullmatch(given_id) and without_keys(given_id) == given_id
    request = ObservedRequest(given_id if given_id is not None and is_sane else new_id())
    return request, _current.set(request)


def end(token: Token[ObservedRequest | None]) -> None:
    _current.reset(token)


def new_id() -> str:
    return uuid.uuid4().hex[:16]


def current_id() -> str | None:
    """The id of the request that is being answered; None outside of one."""
    request = _current.get()
    return request.request_id if request is not None else None


def note_search(index: str, query: str) -> None:
    """The request searches an index."""
    request = _current.get()
    if request is None:
        return
    if index not in request.indexes:
        request.indexes.append(index)
    if query and query not in request.queries:
        request.queries.append(query)
