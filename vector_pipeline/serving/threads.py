"""Threads for what blocks: databases, providers, Dagster.

Each kind of work has threads of its own, so that a provider or a server that hangs takes those of its kind, and the
event loop and all other kinds go on. They belong to the process.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Literal, TypeVar, get_args

Kind = Literal["search", "source", "health", "rest"]
"""What may wait for a provider; what reads MySQL; what looks whether servers are there; status and the like."""

_THREADS: dict[Kind, int] = {"search": 16, "source": 8, "health": 8, "rest": 8}

_T = TypeVar("_T")


async def run_blocking(kind: Kind, function: Callable[[], _T]) -> _T:
    """What the function returns or raises; it runs in a thread of its kind, with the context variables of the caller.

    Waits until a thread is free. A caller that is cancelled leaves it running.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads(kind), lambda: context.run(function))


def set_threads(kind: Kind, number: int) -> None:
    """How many threads a kind has. To be called before any of it has run."""
    _THREADS[kind] = number


@cache
def _threads(kind: Kind) -> ThreadPoolExecutor:
    assert kind in get_args(Kind)
    return ThreadPoolExecutor(_THREADS[kind], f"serving-{kind}")
