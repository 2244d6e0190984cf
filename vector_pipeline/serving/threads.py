"""Threads for what blocks: databases, providers, Dagster.

Each kind of work has threads of its own, so that a provider or a server that hangs takes those of its kind, and the
event loop and all other kinds go on. They belong to the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Literal, TypeVar

from vector_pipeline.core.errors import VectorPipelineError

Kind = Literal["search", "words", "source", "health", "access", "metrics", "dagster", "runs", "rest"]
"""A search that may wait for a provider; one that asks none; what reads MySQL; what looks whether servers are there;
what reads API keys; what writes metrics; what asks Dagster something; what has it start runs, and waits for them;
status and the like."""

WORD_THREADS = 4
_THREADS: dict[Kind, int] = {
    "search": 16,
    "words": WORD_THREADS,
    "source": 8,
    "health": 8,
    "access": 2,
    "metrics": 1,
    "dagster": 8,
    "runs": 8,
    "rest": 8,
}
# A query's statements have limits of their own, and so has its request to the provider, a minute as a rule: by then
# nobody waits any more.
_SECONDS: dict[Kind, float] = {"search": 30.0, "words": 30.0}

_T = TypeVar("_T")

_in_line: contextvars.ContextVar[float] = contextvars.ContextVar("seconds until a thread was free", default=0.0)

_under_way: Counter[Kind] = Counter()
_counting = threading.Lock()


class TookTooLongError(VectorPipelineError):
    """Nobody waits for it any more; it may come to its end all the same."""

    def __init__(self, kind: Kind, seconds: float) -> None:
        self.kind = kind
        super().__init__(f"no answer within {seconds:g} s (threads {kind!r})")


async def run_blocking(kind: Kind, function: Callable[[], _T], seconds: float | None = None) -> _T:
    """What the function returns or raises; it runs in a thread of its kind, with the context variables of the caller.

    Waits until a thread is free. A caller that is cancelled leaves it running.

    Args:
        seconds: how long is waited for it, its turn included; if left out, a kind's own limit, which searches have.

    Raises:
        TookTooLongError: the time is over.
    """
    context = contextvars.copy_context()
    future = _threads(kind).submit(context.run, _in_its_turn, function, time.perf_counter())
    with _counting:
        _under_way[kind] += 1
    future.add_done_callback(partial(_note_end, kind))
    running = asyncio.wrap_future(future)
    limit = _SECONDS.get(kind) if seconds is None else seconds
    try:
        return await asyncio.wait_for(running, limit)
    except TimeoutError:
        if not running.cancelled():
            raise
        raise TookTooLongError(kind, limit or 0) from None


def seconds_in_line() -> float:
    """How long what runs in this thread has waited until a thread was free."""
    return _in_line.get()


def are_busy(kind: Kind) -> bool:
    """Whether all threads of a kind are at work."""
    return _under_way[kind] >= _THREADS[kind]


def set_threads(kind: Kind, number: int) -> None:
    """How many threads a kind has. To be called before any of it has run."""
    _THREADS[kind] = number


def _in_its_turn(function: Callable[[], _T], submitted: float) -> _T:
    _in_line.set(time.perf_counter() - submitted)
    return function()


def _note_end(kind: Kind, _: object) -> None:
    with _counting:
        _under_way[kind] -= 1


@cache
def _threads(kind: Kind) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS[kind], f"serving-{kind}")
