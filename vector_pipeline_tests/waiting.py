"""Waiting for what others do: until it is so, and never for a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

_T = TypeVar("_T")


def wait_until(look: Callable[[], _T], seconds: float = 60.0, pause: float = 0.02) -> _T:
    """What `look` returns as soon as that counts as true.

    Raises:
        RetryError: it doesn't within so many seconds.
    """
    looking = Retrying(stop=stop_after_delay(seconds), wait=wait_fixed(pause), retry=retry_if_result(lambda it: not it))
    return looking(look)
