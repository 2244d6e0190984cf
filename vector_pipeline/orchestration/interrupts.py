"""Cancelling a run interrupts its process. Dagster raises an exception of its own then, which the drivers of databases
don't know: psycopg ends the statement that it waits for on a KeyboardInterrupt alone. On any other its connection stays
busy, so that the next statement fails, and a cancelled run is shown as a failed one with an error that misleads.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """What interrupts the block is a KeyboardInterrupt. Dagster takes it for the cancelling that it is."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive in the main thread alone
        return
    # The default launcher interrupts; Celery and Kubernetes terminate.
    before = {kind: signal.signal(kind, signal.default_int_handler) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
