"""Jobs that run at once, each in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Job = Callable[[], object]


class AtOnce:
    """Jobs in threads of their own; `finish` waits for them and raises what went wrong in one."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def start(self, job: Job) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _run(self, job: Job) -> None:
        try:
            job()
        except BaseException as error:
            self._errors.append(error)

    def finish(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        for error in self._errors:
            raise error
        assert not any(thread.is_alive() for thread in self._threads), "a job hangs"
