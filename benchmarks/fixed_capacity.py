"""A provider of fixed capacity that costs next to nothing: so many requests at once, each of which takes so long.

Its answers are made once for each number of texts, and the same for whatever texts: what is measured is who asks. A
process of its own: `python -m benchmarks.fixed_capacity --dimensions 1024 --delay-ms 512 --capacity 8`.
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, dimensions: int, delay_seconds: float, capacity: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.delay_seconds = delay_seconds
        self.workplaces = threading.BoundedSemaphore(capacity)
        vector = np.random.default_rng(1).standard_normal(dimensions, dtype=np.float32)
        self._embedding = base64.b64encode((vector / np.linalg.norm(vector)).astype("<f4").tobytes()).decode()

    @functools.lru_cache(maxsize=16)  # noqa: B019 - there is one server, for as long as its process
    def body(self, texts: int) -> bytes:
        """The answer to a request of so many texts."""
        data = [{"object": "embedding", "index": i, "embedding": self._embedding} for i in range(texts)]
        usage = {"prompt_tokens": 10 * texts, "total_tokens": 10 * texts}
        return json.dumps({"object": "list", "model": "numbers", "data": data, "usage": usage}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = 1 if isinstance(request["input"], str) else len(request["input"])
        with self.server.workplaces:
            if self.server.delay_seconds:
                time.sleep(self.server.delay_seconds)
        body = self.server.body(texts)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, required=True)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--capacity", type=int, default=8)
    options = parser.parse_args()
    server = _Server(options.dimensions, options.delay_ms / 1000, options.capacity)
    print(f"listening on {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
