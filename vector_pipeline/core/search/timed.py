"""What a part of a search has taken, for people who want to know where the time goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Timed(Generic[_T]):
    """A function without arguments that is called as it was, and adds up the seconds that this takes."""

    def __init__(self, function: Callable[[], _T]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self) -> _T:
        started = time.monotonic()
        try:
            return self._function()
        finally:
            self.seconds += time.monotonic() - started
