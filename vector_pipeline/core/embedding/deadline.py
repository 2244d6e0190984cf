"""A time limit for a request as a whole: from connecting to the last byte of the answer, its headers included.

The limits of httpx are for each read alone, so that a server which drips its answer keeps within them for ever. Below
httpx, its connections are asked for bytes with the time that is left, which a context variable knows: requests in other
contexts, which may share the client, have no such limit.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_ends_at: ContextVar[float | None] = ContextVar("request_ends_at", default=None)

# A send goes on for as long as the server takes some of it, so that it is cut into pieces.
_BYTES_A_SEND = 65_536


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What is asked of limited clients in this block and thread has to be answered within it, or is a timeout."""
    token = _ends_at.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ends_at.reset(token)


def limit_client(client: Any) -> None:
    """Has the client of httpx, or httpx2, obey `time_limit`, proxies included; does nothing where it does already.

    httpx has no parameter for the network below its pools, only httpcore has: hence the private names.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None and not isinstance(pool._network_backend, _LimitedNetwork):
            pool._network_backend = _LimitedNetwork(pool._network_backend)


class _LimitedNetwork:
    """httpcore's `NetworkBackend`, of whichever version."""

    def __init__(self, network: Any) -> None:
        self._network = network
        library = type(network).__module__.partition(".")[0]
        self._timeout_error: type[Exception] = importlib.import_module(library).ReadTimeout

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> _LimitedStream:
        stream = self._network.connect_tcp(host, port, _left(timeout, self._timeout_error), **options)
        return _LimitedStream(stream, self._timeout_error)

    def connect_unix_socket(self, path: str, timeout: float | None = None, **options: Any) -> _LimitedStream:
        stream = self._network.connect_unix_socket(path, _left(timeout, self._timeout_error), **options)
        return _LimitedStream(stream, self._timeout_error)

    def sleep(self, seconds: float) -> None:
        self._network.sleep(seconds)


class _LimitedStream:
    """httpcore's `NetworkStream`."""

    def __init__(self, stream: Any, timeout_error: type[Exception]) -> None:
        self._stream = stream
        self._timeout_error = timeout_error

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        read: bytes = self._stream.read(max_bytes, _left(timeout, self._timeout_error))
        return read

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _BYTES_A_SEND):
            self._stream.write(buffer[start : start + _BYTES_A_SEND], _left(timeout, self._timeout_error))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        limited = _left(timeout, self._timeout_error)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, limited), self._timeout_error)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, timeout_error: type[Exception]) -> float | None:
    """The strictest of both limits, in seconds."""
    ends_at = _ends_at.get()
    if ends_at is None:
        return timeout
    left = ends_at - time.monotonic()
    if left <= 0:
        raise timeout_error("the time for the whole answer is over")
    return left if timeout is None else min(timeout, left)
