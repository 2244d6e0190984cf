"""A real HTTP server on 127.0.0.1 that reranks texts by the words of the query in them, and misbehaves on request."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, get_args

Manner = Literal[
    "well",  # as it should, in the shape of the field that the texts came in
    "status",  # HTTP 500, with the Authorization header in its words
    "redirect",  # to another address of its own
    "hang",  # no answer until it is stopped
    "drip",  # the answer comes in small pieces, for ever
    "truncate",  # half of the JSON
    "cut",  # the connection ends in the middle of the announced body
    "html",  # a web page with status 200
    "fewer",  # one text less
    "duplicate",  # two results have the same index
    "past the end",  # an index that there is not
    "nan",  # a score that is no number
    "words",  # a score that is a word
]


class MisbehavingReranker:
    """The server, as a context manager. `requests` are the bodies that came, `headers` those of the last."""

    def __init__(self, manner: Manner = "well") -> None:
        assert manner in get_args(Manner), manner
        self.manner = manner
        self.requests: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.stopped = threading.Event()
        owner = self

        class Handler(_Handler):
            reranker = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/rerank"

    def __enter__(self) -> MisbehavingReranker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it, and hanging answers with it."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    reranker: MisbehavingReranker

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        server = self.reranker
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        server.requests.append(request)
        server.headers = dict(self.headers)
        if server.manner == "hang":
            server.stopped.wait()
            return
        if server.manner == "redirect":
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            return
        body = _body(server.manner, request, self.headers.get("Authorization", ""))
        self.send_response(500 if server.manner == "status" else 200)
        self.send_header("Content-Length", str(10 * len(body) if server.manner in ("cut", "drip") else len(body)))
        self.end_headers()
        if server.manner != "drip":
            self.wfile.write(body)
        while server.manner == "drip" and not server.stopped.wait(0.05):
            try:
                self.wfile.write(b" ")
            except OSError:
                return


def _body(manner: Manner, request: dict[str, Any], authorization: str) -> bytes:
    if manner == "status":
        return f"no service for {authorization}".encode()
    if manner == "html":
        return b"<html>welcome</html>"
    texts = request.get("documents", request.get("texts", []))
    is_cohere = "documents" in request
    results: list[dict[str, Any]] = [
        {"index": place, "relevance_score" if is_cohere else "score": score}
        for place, score in sorted(enumerate(_scores(request, texts)), key=lambda pair: -pair[1])
    ]
    _spoil(manner, results)
    body = json.dumps({"results": results} if is_cohere else results).encode()
    return body[: len(body) // 2] if manner in ("truncate", "cut") else body


def _scores(request: dict[str, Any], texts: list[str]) -> list[float]:
    words = set(request.get("query", "").lower().split())
    return [len(words & set(text.lower().split())) / (1 + len(words)) for text in texts]


def _spoil(manner: Manner, results: list[dict[str, Any]]) -> None:
    last = results[-1] if results else {}
    score = "relevance_score" if "relevance_score" in last else "score"
    if manner == "fewer":
        results.pop()
    elif manner == "duplicate":
        last["index"] = results[0]["index"]
    elif manner == "past the end":
        last["index"] = len(results)
    elif manner == "nan":
        last[score] = float("nan")
    elif manner == "words":
        last[score] = "very relevant"
