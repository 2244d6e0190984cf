"""A real HTTP server on 127.0.0.1 that speaks the OpenAI embeddings protocol, and misbehaves on request.

It stands for remote providers in tests, benchmarks and kill tests: as a context manager in the test's process
(`with MisbehavingProvider(dimensions=1536) as server`), or as a process of its own
(`python -m vector_pipeline_tests.misbehaving_provider --port 0 --dimensions 1536 --delay-ms 50`), which
prints `listening on PORT` and takes its orders through `POST /behave`, `POST /reset` and `GET /stats`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import math
import signal
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, get_args

from vector_pipeline.core.embedding.canaries import CANARY_TEXTS
from vector_pipeline_tests.dialects import OLLAMA, Dialect, DialectRefusal
from vector_pipeline_tests.misbehaving_answers import (
    OVERLONG,
    POISON,
    STUMBLE,
    Manner,
    Shape,
    answer,
    features,
    to_json,
    vectors_of,
)
from vector_pipeline_tests.offline_desk import OfflineDesk


@dataclass(frozen=True)
class Behaviour:
    """What is wrong with the next `requests` answers (None: with all from now on)."""

    manner: Manner = "well"
    requests: int | None = None
    status: int = 429
    retry_after: str | None = None
    retry_after_ms: str | None = None
    message: str = "out of order"
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        if self.manner not in get_args(Manner):
            raise ValueError(f"no such manner: {self.manner!r}; there are {', '.join(get_args(Manner))}")


class MisbehavingProvider:
    """The server. Starts with `with` or `start`; counts what is asked of it, also what it refuses.

    Requests with canary texts alone are counted apart, and use up no order for the next so many requests: they are made
    once for each index, before its first texts.

    Args:
        dimensions: of the vectors; fewer may be asked for, as with `text-embedding-3`.
        delay_seconds: how long one request takes, computing included.
        api_key: if set, other keys get 401.
        log: a file to which each request adds a line of JSON: time, texts, outcome.
        dialect: which server it is like where it doesn't misbehave.
        shape: how it answers as a Hugging Face endpoint, at `features_url`.
        requests_per_second: more within any second get 429, at once.
        capacity: so many requests are worked on at once, the others wait.
    """

    def __init__(
        self,
        dimensions: int = 1536,
        delay_seconds: float = 0.0,
        *,
        port: int = 0,
        api_key: str | None = None,
        model: str = "misbehaving-1",
        log: Path | None = None,
        dialect: Dialect = OLLAMA,
        shape: Shape = "nested",
        requests_per_second: int | None = None,
        capacity: int | None = None,
    ) -> None:
        self.shape: Shape = shape
        self.dialect = dialect
        self.dimensions = dimensions
        self.delay_seconds = delay_seconds
        self.api_key = api_key
        self.model = model
        self._lock = threading.Lock()
        self._behaviour = Behaviour()
        self.requests_per_second = requests_per_second
        self.offline = OfflineDesk(dimensions)
        self.tells_what_is_left = False
        """Whether answers have OpenAI's `x-ratelimit-…` headers for requests."""
        self._let_through: deque[float] = deque()
        self.workplaces = threading.BoundedSemaphore(capacity or 1_000_000)
        self._log: TextIO | None = log.open("a", encoding="utf-8") if log else None
        self._server = _Server(("127.0.0.1", port), functools.partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.stopped = threading.Event()
        self.reset()

    # Life

    @property
    def port(self) -> int:
        """The port, chosen by the system if it was given as 0."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def features_url(self) -> str:
        """Where it answers as a Hugging Face endpoint for `feature-extraction`."""
        return f"http://127.0.0.1:{self.port}/features"

    def start(self) -> None:
        """Serves from a thread of its own."""
        vectors_of([], self.dimensions)  # fills the table
        self._thread.start()

    def stop(self) -> None:
        """Ends every connection, and hanging answers with them."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join()
        if self._log:
            self._log.close()

    def __enter__(self) -> MisbehavingProvider:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Orders

    def behave(self, manner: Manner = "well", requests: int | None = None, **details: Any) -> None:
        """For the next `requests`, or until the next order. `details` are `Behaviour`'s fields."""
        with self._lock:
            self._behaviour = Behaviour(manner, requests, **details)

    def reset(self) -> None:
        """Forgets what was counted."""
        with self._lock:
            self.requests = 0
            self.refused_by_rate = 0
            self.canaries = 0
            self.texts: Counter[str] = Counter()
            """How often each text was sent, by its SHA-256 in hexadecimal."""
            self.request_sizes: list[int] = []
            self.last_request: dict[str, Any] = {}

    def stats(self) -> dict[str, int]:
        """Requests and texts received, and texts received at least once."""
        with self._lock:
            by_rate = {} if self.requests_per_second is None else {"refused_by_rate": self.refused_by_rate}
            return by_rate | {
                "requests": self.requests,
                "texts": self.texts.total(),
                "distinct_texts": len(self.texts),
            }

    def times_sent(self, text: str) -> int:
        """How often this text was sent."""
        return self.texts[_hash(text)]

    # Called by the handler

    def count(self, request: dict[str, Any], texts: list[str]) -> Behaviour:
        """Counts one request and tells how to answer it."""
        with self._lock:
            if texts and set(texts) <= set(CANARY_TEXTS):
                self.canaries += 1
                return self._behaviour if self._behaviour.requests is None else Behaviour()
            self.requests += 1
            self.texts.update(map(_hash, texts))
            self.request_sizes.append(len(texts))
            self.last_request = {name: value for name, value in request.items() if name != "input"}
            behaviour = self._behaviour
            if behaviour.requests is not None:
                left = behaviour.requests - 1
                self._behaviour = replace(behaviour, requests=left) if left > 0 else Behaviour()
            return behaviour

    def lets_through(self) -> bool:
        """Whether one more request is within the rate; counts it."""
        with self._lock:
            passes = self._left() > 0
            if passes:
                self._let_through.append(time.monotonic())
            else:
                self.refused_by_rate += 1
            return passes

    def rate_headers(self) -> dict[str, str]:
        """What OpenAI says with each answer, if that is switched on."""
        if not self.tells_what_is_left or self.requests_per_second is None:
            return {}
        with self._lock:
            left = int(self._left())
            reset = max(self._let_through[0] + 1 - time.monotonic(), 0.0) if self._let_through else 0.0
        return {"x-ratelimit-remaining-requests": str(left), "x-ratelimit-reset-requests": f"{1000 * reset:.0f}ms"}

    def _left(self) -> float:
        if self.requests_per_second is None:
            return math.inf
        while self._let_through and self._let_through[0] <= time.monotonic() - 1:
            self._let_through.popleft()
        return self.requests_per_second - len(self._let_through)

    def log(self, texts: int, outcome: str) -> None:
        """Adds a line to the log, if there is one."""
        if self._log:
            line = json.dumps({"time": time.time(), "texts": texts, "outcome": outcome})
            with self._lock, contextlib.suppress(ValueError):  # closed meanwhile
                self._log.write(line + "\n")
                self._log.flush()


_OFFLINE = ("/v1/files", "/v1/batches")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: Callable[..., BaseHTTPRequestHandler]) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **headers: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.body = to_json({"error": {"message": message, "type": "invalid_request_error", "code": code}})
        self.headers = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, provider: MisbehavingProvider, *connection: Any) -> None:
        self._provider = provider
        super().__init__(*connection)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        if self.path.startswith(_OFFLINE):
            self._send_offline(b"")
        elif self.path == "/stats":
            self._send(200, to_json(self._provider.stats()))
        elif self.path == "/v1/models":
            models = [{"id": self._provider.model, "object": "model", "owned_by": "tests"}]
            self._send(200, to_json({"object": "list", "data": models}))
        else:
            self._send(404, to_json({"error": {"message": f"no such page: {self.path}"}}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith(_OFFLINE):
            self._send_offline(body)
        elif self.path == "/v1/embeddings":
            self._embed(json.loads(body))
        elif self.path == "/features":
            request = json.loads(body)
            self._embed({"input": request.pop("inputs"), **request}, as_features=True)
        elif self.path == "/behave":
            self._provider.behave(**json.loads(body or b"{}"))
            self._send(200, b"{}")
        elif self.path == "/reset":
            self._provider.reset()
            self._send(200, b"{}")
        else:
            self._send(404, to_json({"error": {"message": f"no such page: {self.path}"}}))

    def do_DELETE(self) -> None:
        self._send_offline(b"")

    def _send_offline(self, body: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        if self._provider.api_key and authorization != f"Bearer {self._provider.api_key}":
            self._send(401, to_json({"error": {"message": f"Incorrect API key provided: {authorization}"}}))
            return
        reply = self._provider.offline.answer(self.command, self.path, self.headers.get("Content-Type", ""), body)
        if reply.held:
            self._provider.stopped.wait()
            self.close_connection = True
            return
        if reply.sent is None:
            self._send(reply.status, reply.body)
            return
        if reply.sent:
            self._send(reply.status, reply.body[: reply.sent], announced=len(reply.body))
        self.close_connection = True

    def _embed(self, request: dict[str, Any], *, as_features: bool = False) -> None:
        texts = [request["input"]] if isinstance(request["input"], str) else list(request["input"])
        behaviour = self._provider.count(request, texts)
        if not self._provider.lets_through():
            body = to_json({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}})
            self._provider.log(len(texts), "status 429")
            self._send(429, body, headers=self._provider.rate_headers())
            return
        try:
            with self._provider.workplaces:
                body = self._work(request, texts, behaviour, as_features=as_features)
        except DialectRefusal as refusal:
            self._provider.log(len(texts), f"status {refusal.status}")
            self._send(refusal.status, refusal.body)
            return
        except _Refusal as refusal:
            self._provider.log(len(texts), f"status {refusal.status}")
            self._send(refusal.status, refusal.body, headers=refusal.headers)
            return
        self._provider.log(len(texts), behaviour.manner)
        self._deliver(body, behaviour)

    def _work(self, request: dict[str, Any], texts: list[str], behaviour: Behaviour, *, as_features: bool) -> bytes:
        """The body of the answer, after as long as the provider takes."""
        started = time.monotonic()
        try:
            self._refuse(request, texts, behaviour)
            dialect = self._provider.dialect
            manner = "no usage" if behaviour.manner == "well" and not dialect.usage else behaviour.manner
            understood = dialect.understood(request, texts)
            if as_features:
                length = understood["dimensions"] or self._provider.dimensions
                return features(texts, length, self._provider.shape, manner)
            return answer(understood, texts, self._provider.dimensions, manner)
        finally:
            self._wait(started)

    def _wait(self, started: float) -> None:
        left = self._provider.delay_seconds - (time.monotonic() - started)
        if left > 0:
            self._provider.stopped.wait(left)

    def _refuse(self, request: dict[str, Any], texts: list[str], behaviour: Behaviour) -> None:
        authorization = self.headers.get("Authorization", "")
        if self._provider.api_key and authorization != f"Bearer {self._provider.api_key}":
            raise _Refusal(401, f"Incorrect API key provided: {authorization}", "invalid_api_key")
        if behaviour.manner == "echo key":
            raise _Refusal(behaviour.status, f"{behaviour.message}: {authorization} {authorization}")
        if behaviour.manner == "status":
            raise _Refusal(
                behaviour.status,
                behaviour.message,
                retry_after=behaviour.retry_after,
                retry_after_ms=behaviour.retry_after_ms,
            )
        if any(POISON in text for text in texts):
            raise _Refusal(400, f"input[{_first(POISON, texts)}] is not to be embedded", "bad_input")
        if any(OVERLONG in text for text in texts):
            raise _Refusal(413, "Input validation error: `inputs` must have less than 512 tokens", "too_long")
        if any(STUMBLE in text for text in texts):
            raise _Refusal(500, "input is too large to process")
        if request.get("dimensions", 0) > self._provider.dimensions:
            raise _Refusal(400, f"dimensions is above {self._provider.dimensions}", "bad_dimensions")

    def _deliver(self, body: bytes, behaviour: Behaviour) -> None:
        manner = behaviour.manner
        if manner == "hang":
            self._provider.stopped.wait(behaviour.seconds)
            self.close_connection = True
        elif manner == "reset":
            # Lingering for 0 seconds: close() sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif manner == "cut":
            self._send(200, body[: len(body) // 2], announced=len(body))
            self.close_connection = True
        elif manner == "drip headers":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Padding: " + 400 * b"x", behaviour.seconds)
            self.close_connection = True
        elif manner == "drip":
            self._send(200, b"", announced=len(body))
            self._drip(body, behaviour.seconds)
        else:
            kind = "text/html" if manner == "html" else "application/json"
            self._send(200, body, kind=kind, headers=self._provider.rate_headers())

    def _drip(self, body: bytes, seconds: float, pieces: int = 200) -> None:
        size = math.ceil(len(body) / pieces)
        for start in range(0, len(body), size):
            if self._provider.stopped.wait(seconds / pieces):
                break
            self.wfile.write(body[start : start + size])

    def _send(
        self,
        status: int,
        body: bytes,
        *,
        kind: str = "application/json",
        announced: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if announced is None else announced))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _first(marker: str, texts: list[str]) -> int:
    return next(position for position, text in enumerate(texts) if marker in text)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dimensions", type=int, default=1536)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--requests-per-second", type=int)
    parser.add_argument("--capacity", type=int)
    options = parser.parse_args(arguments)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with MisbehavingProvider(
        options.dimensions,
        options.delay_ms / 1000,
        port=options.port,
        log=options.log,
        requests_per_second=options.requests_per_second,
        capacity=options.capacity,
    ) as provider:
        print(f"listening on {provider.port}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
