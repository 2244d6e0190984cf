"""Who asks. The gate finds it out for each request and puts it into the request's state, where routes and the tools of
MCP find it; what runs on this machine without HTTP is `THIS_MACHINE`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from starlette.types import Scope

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.store.api_keys import AccessScope

_FINDING = "find_caller"
_FOUND = "caller"


class AccessRefusedError(VectorPipelineError):
    """Somebody may not do what they ask for. `headers` go with the answer over HTTP."""

    def __init__(self, status: int, problem: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Caller:
    """Somebody who may ask for something.

    Attributes:
        name: for people: of the key, or the address.
        counted_as: what their requests are counted by; None where they are not.
        only: the indexes that they may use; None for all.
    """

    name: str
    scopes: frozenset[AccessScope]
    only: frozenset[str] | None = field(default=None)
    counted_as: str | None = field(default=None)

    def may(self, scope: AccessScope, index: str | None = None) -> bool:
        """Whether they may do what needs a scope, on an index."""
        granted = scope in self.scopes or AccessScope.ADMIN in self.scopes
        return granted and (index is None or self.only is None or index in self.only)

    def require(self, scope: AccessScope, index: str | None = None) -> None:
        """Lets pass who may.

        Raises:
            AccessRefusedError: they may not. Says the same of an index that isn't there.
        """
        if not self.may(scope):
            raise AccessRefusedError(
                403,
                f"{self.name} lacks the scope {scope.value!r}",
                {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope.value}"'},
            )
        if not self.may(scope, index):
            raise AccessRefusedError(403, f"{self.name} is not for index {index!r}")

    def indexes(self, names: Iterable[str]) -> list[str]:
        """Those of the names that they may use, in their order."""
        return [name for name in names if self.only is None or name in self.only]


THIS_MACHINE = Caller("this machine", frozenset(AccessScope))
"""Whoever runs programs here, such as the MCP server on standard input and output."""


def put_caller(scope: Scope, caller: Caller) -> None:
    scope.setdefault("state", {})[_FOUND] = caller


def put_finder(scope: Scope, find: Callable[[], Awaitable[Caller]]) -> None:
    """For what is open to all: who asks is only found out if something wants to know."""
    scope.setdefault("state", {})[_FINDING] = find


def caller_if_known(scope: Scope) -> Caller | None:
    """Who asks, where it was found out."""
    found = scope.get("state", {}).get(_FOUND)
    return found if isinstance(found, Caller) else None


async def find_caller(scope: Scope) -> Caller:
    """Who asks, by the ASGI scope of a request.

    Raises:
        AccessRefusedError: nobody who may ask for anything.
    """
    known = caller_if_known(scope)
    if known is not None:
        return known
    find = scope.get("state", {}).get(_FINDING)
    if find is None:
        raise AccessRefusedError(403, "nobody is served here: the request has not come through the gate")
    found: Caller = await find()
    put_caller(scope, found)
    return found
