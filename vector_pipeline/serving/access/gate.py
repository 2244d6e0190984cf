"""Lets nobody in of whom it isn't known who they are: by a key, or by the address where no key is needed.

Whatever is not declared open is refused here, before its body is read. What a caller may do is checked where it is
declared: see `needs`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.store.api_keys import AccessScope
from vector_pipeline.serving.access.answers import refuse
from vector_pipeline.serving.access.caller import AccessRefusedError, Caller, put_caller, put_finder
from vector_pipeline.serving.access.key_ring import KeyRing
from vector_pipeline.serving.access.origin import Client, client_of, is_of_a_foreign_page, is_ours, is_this_machine
from vector_pipeline.serving.access.settings import AccessSettings
from vector_pipeline.serving.errors import unavailable

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_WRONG = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
_HOW = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
_OTHERS_ARE_SERVED = (
    "make an API key (`vector-pipeline keys create NAME`), or name the client's network in "
    "VECTOR_PIPELINE_TRUSTED_NETWORKS"
)


class Gate:
    """ASGI middleware: no request passes without a caller, but for what is open.

    Args:
        is_open: whether what a request asks for is open to all.
    """

    def __init__(self, app: ASGIApp, settings: AccessSettings, keys: KeyRing, is_open: Callable[[Scope], bool]) -> None:
        self.app = app
        self._settings = settings
        self._keys = keys
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._keys.look()
            await self.app(scope, partial(self._until_the_end, receive), send)
        elif scope["type"] != "http":
            # Before it is accepted, closing answers 403.
            await send({"type": "websocket.close", "code": 1008})
        elif self._is_open(scope):
            put_finder(scope, partial(self.who_asks, scope))
            await self.app(scope, receive, send)
        else:
            try:
                put_caller(scope, await self.who_asks(scope))
            except AccessRefusedError as refused:
                await refuse(scope, receive, send, refused.status, str(refused), refused.headers)
                return
            except VectorPipelineError as error:
                await (await unavailable(Request(scope), error))(scope, receive, send)
                return
            await self.app(scope, receive, send)

    async def _until_the_end(self, receive: Receive) -> Message:
        """Passes on what the application is told. When that is its end, PostgreSQL can still be asked."""
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await self._keys.note_last_uses()
        return message

    async def who_asks(self, scope: Scope) -> Caller:
        """Finds out.

        Raises:
            AccessRefusedError: nobody who is served.
            TargetUnavailableError: it can't be found out.
        """
        headers = Headers(scope=scope)
        secret = _presented(headers)
        client = client_of(scope, self._settings.proxies)
        if secret is not None:
            return await self._by_key(secret)
        trusted = self._settings.trusted(client.address) if client.address is not None else None
        if trusted is not None:
            self._refuse_who_hides(client, headers, is_ours)
            return Caller(str(client.address), trusted.scopes, counted_as=f"address {client.address}")
        if self._settings.trusted_networks or await self._keys.any_ever_made():
            raise AccessRefusedError(401, f"an API key is needed: {_HOW}", _CHALLENGE)
        if client.address is None or not client.address.is_loopback:
            raise AccessRefusedError(
                403,
                f"without API keys and trusted networks this server serves its own machine only: {_OTHERS_ARE_SERVED}",
            )
        # Who may do everything is not to be led here by anybody.
        self._refuse_who_hides(client, headers, is_this_machine)
        return Caller("this machine", frozenset(AccessScope))

    async def _by_key(self, secret: str) -> Caller:
        key = await self._keys.find(secret)
        if key is None:
            raise AccessRefusedError(401, "this API key is unknown, revoked or expired", _WRONG)
        only = None if key.indexes is None else frozenset(key.indexes)
        return Caller(f"key {key.name}", frozenset(key.scopes), only, counted_as=f"key {key.key_id}")

    def _refuse_who_hides(
        self, client: Client, headers: Headers, is_known: Callable[[str | None, Collection[str]], bool]
    ) -> None:
        """An address alone tells who asks only if nobody stands between: no proxy, no page in somebody's browser.

        Args:
            is_known: whether a Host header, beside those that are declared, is known to be this server's.
        """
        if not client.vouched:
            _refuse_without_key(
                f"a proxy that is not named has forwarded this from {client.address}: name it in "
                "VECTOR_PIPELINE_PROXIES"
            )
        if not is_known(headers.get("host"), self._settings.hosts):
            _refuse_without_key(
                "the Host header has a name that is not known to be this server's: name it in VECTOR_PIPELINE_HOSTS"
            )
        if is_of_a_foreign_page(headers, self._settings.cors_origins):
            _refuse_without_key("a page of another server sends this: name its origin in VECTOR_PIPELINE_CORS_ORIGINS")


def _refuse_without_key(problem: str) -> NoReturn:
    raise AccessRefusedError(403, f"{problem}, or send an API key")


def _presented(headers: Headers) -> str | None:
    """The key that a request brings; None if none.

    Raises:
        AccessRefusedError: it brings something else, or several.
    """
    found = {key for key in headers.getlist("x-api-key") if key}
    for value in headers.getlist("authorization"):
        scheme, _, key = value.partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise AccessRefusedError(401, f"only API keys are taken: {_HOW}", _CHALLENGE)
        found.add(key.strip())
    if len(found) > 1:
        raise AccessRefusedError(401, "the request has several API keys: send one", _WRONG)
    return next(iter(found), None)
