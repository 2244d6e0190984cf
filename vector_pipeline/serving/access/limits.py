"""Bounds of a request: how many there may be of one caller, how long its body, how long until its answer.

The middleware here is inside of the gate, so that it only ever sees requests of known callers, and those of what is
open to all, which are not counted.
"""

from __future__ import annotations

import asyncio
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vector_pipeline.serving.access.answers import refuse
from vector_pipeline.serving.access.caller import caller_if_known

_TIME_LIMIT = "time_limit"


class RateLimit:
    """So many requests a minute of one key, or of one address without. Counted in this process alone."""

    def __init__(self, app: ASGIApp, per_minute: int) -> None:
        self.app = app
        self._limit = RateLimitItemPerMinute(per_minute)
        self._counts = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_if_known(scope)
        counted_as = caller.counted_as if caller is not None else None
        if counted_as is None or self._counts.hit(self._limit, counted_as):
            await self.app(scope, receive, send)
            return
        wait = self._counts.get_window_stats(self._limit, counted_as).reset_time - time.time()
        await refuse(
            scope,
            receive,
            send,
            429,
            f"more than {self._limit.amount} requests a minute",
            {"Retry-After": str(max(1, math.ceil(wait)))},
        )


class BodyLimit:
    """Refuses a body that is too long: at once where its length is told, else as soon as that much has come."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app = app
        self._most = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and int(told) > self._most:
            await self._refuse(scope, receive, send)
            return
        read = 0
        started = False

        async def counted_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, "the body is too long")
            return message

        async def passing_send(message: Message) -> None:
            nonlocal started
            # Whatever the application has made of the error, what the client is told is this.
            if read > self._most and not started:
                if message["type"] == "http.response.start":
                    await self._refuse(scope, receive, send)
                return
            started = started or message["type"] == "http.response.start"
            await send(message)

        await self.app(scope, counted_receive, passing_send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(scope, receive, send, 413, f"the body is longer than {self._most} bytes")


class TimeLimit:
    """Gives up on an answer that has not begun in time. One that has begun may take as long as it does."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def stop_the_clock(message: Message) -> None:
            if limit.when() is not None:
                limit.reschedule(None)
            await send(message)

        limit = asyncio.timeout(self._seconds)
        scope.setdefault("state", {})[_TIME_LIMIT] = limit
        try:
            async with limit:
                await self.app(scope, receive, stop_the_clock)
        except TimeoutError:
            if not limit.expired():
                raise
            await refuse(scope, receive, send, 504, "the answer took too long")


def allow_time(scope: Scope, seconds: float) -> None:
    """Lets the answer to this request begin that much later from now on, instead of what is usual."""
    limit = scope.get("state", {}).get(_TIME_LIMIT)
    if isinstance(limit, asyncio.Timeout):
        limit.reschedule(asyncio.get_running_loop().time() + seconds)
