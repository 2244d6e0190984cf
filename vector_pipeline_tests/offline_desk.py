"""OpenAI's offline Batch API as `misbehaving_provider` has it: files and batches, which end when a test says so.

Shapes and statuses are those of openai's `types/batch.py` and `types/file_object.py`; a file that is wrong makes its
batch fail as a whole, a request that is refused is a line of the error file.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vector_pipeline_tests.misbehaving_answers import GIVE_NOTHING, POISON, answer, to_json

EXPIRED = "This request could not be executed before the completion window expired."


_OVER = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class Reply:
    """What the server sends: `sent` bytes of the body only, if given, then the connection is reset, or `held`: nothing,
    for as long as the client waits."""

    status: int
    body: bytes
    sent: int | None = None
    held: bool = False


def _found(thing: dict[str, Any]) -> Reply:
    return Reply(200, to_json(thing))


@dataclass(frozen=True)
class _Trouble:
    """What is wrong with the next request of a kind. `done` tells whether it takes effect all the same, `body` is what
    is answered as if all were well."""

    status: int | None = None
    message: str = ""
    body: bytes | None = None
    done: bool = False
    lines: int = 0
    held: bool = False
    times: int = 1


class OfflineDesk:
    """The files and batches of one server."""

    def __init__(self, dimensions: int, *, requests: int = 50_000) -> None:
        self.dimensions = dimensions
        self.most_requests = requests
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.uploads: list[bytes] = []
        self.embedded: Counter[str] = Counter()
        """How often each text was embedded, and so paid for."""
        self.holding = threading.Event()
        self._troubles: dict[str, _Trouble] = {}
        self._lock = threading.RLock()

    # Orders

    def break_next(self, kind: str, *, done: bool = False, lines: int = 0) -> None:
        """The next `upload`, `create`, `retrieve` or `content` ends with a reset connection.

        Args:
            done: it has its effect before that.
            lines: so many lines of a file's content are sent before that.
        """
        self._troubles[kind] = _Trouble(done=done, lines=lines)

    def refuse_next(self, kind: str, status: int, message: str | None = None) -> None:
        """The next request of a kind is answered with an error."""
        self._troubles[kind] = _Trouble(status, message or f"no {kind} now")

    def answer_next(self, kind: str, body: bytes, *, done: bool = False, times: int = 1) -> None:
        """The next request of a kind, or so many, are answered with that, and status 200.

        Args:
            done: it has its effect before that.
        """
        self._troubles[kind] = _Trouble(body=body, done=done, times=times)

    def hold_next(self, kind: str) -> None:
        """The next request of a kind has its effect and no answer; `holding` is set when it is there."""
        self._troubles[kind] = _Trouble(done=True, held=True)

    def finish(self, status: str = "completed", answered: int | None = None, *, usage: bool = True) -> None:
        """Ends the batches under way.

        Args:
            answered: so many requests of each are answered, the first ones; all, if left out.
        """
        with self._lock:
            for batch in self.batches.values():
                if batch["status"] in ("validating", "in_progress", "cancelling"):
                    self._finish(batch, status, answered, usage)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """All requests of all files that were uploaded."""
        return [json.loads(line) for upload in self.uploads for line in upload.splitlines()]

    # Called by the handler

    def answer(self, method: str, path: str, content_type: str, body: bytes) -> Reply:
        """The answer to one request; 404 where there is no such thing."""
        parts = urlsplit(path)
        with self._lock:
            match (method, *parts.path.removeprefix("/v1/").split("/")):
                case ("POST", "files"):
                    reply = self._do("upload", lambda: self._upload(content_type, body))
                case ("DELETE", "files", name) if name in self.files:
                    del self.files[name]
                    reply = _found({"id": name, "object": "file", "deleted": True})
                case ("GET", "files", name, "content") if name in self.files:
                    reply = self._content(name)
                case ("POST", "batches"):
                    reply = self._do("create", lambda: self._create(json.loads(body)))
                case ("GET", "batches"):
                    reply = self._do("list", lambda: self._listed(parse_qs(parts.query)))
                case ("GET", "batches", name) if name in self.batches:
                    reply = self._do("retrieve", lambda: self.batches[name])
                case ("POST", "batches", name, "cancel") if self.batches.get(name, {}).get("status") in _OVER:
                    reply = Reply(409, to_json({"error": {"message": "Cannot cancel what is over.", "code": None}}))
                case ("POST", "batches", name, "cancel") if name in self.batches:
                    self.batches[name]["status"] = "cancelling"
                    reply = _found(self.batches[name])
                case _:
                    reply = Reply(404, to_json({"error": {"message": f"No such thing: {path}", "code": None}}))
        return reply

    def _do(self, kind: str, act: Any) -> Reply:
        trouble = self._troubles.pop(kind, None)
        if trouble is None:
            return _found(act())
        if trouble.times > 1:
            self._troubles[kind] = replace(trouble, times=trouble.times - 1)
        if trouble.done:
            act()
        if trouble.body is not None:
            return Reply(200, trouble.body)
        if trouble.held:
            self.holding.set()
            return Reply(200, b"", held=True)
        if trouble.status is not None:
            return Reply(trouble.status, to_json({"error": {"message": trouble.message, "code": None}}))
        return Reply(200, b"", sent=0)

    def _upload(self, content_type: str, body: bytes) -> dict[str, Any]:
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
        parts = {part.get_param("name", header="content-disposition"): part for part in message.iter_parts()}
        assert parts["purpose"].get_payload().strip() == "batch"
        content = parts["file"].get_payload(decode=True)
        self.uploads.append(content)
        return self._file(content) | {"filename": parts["file"].get_filename(), "purpose": "batch"}

    def _file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{len(self.files) + 1}-{time.time_ns()}"
        self.files[name] = content
        return {"id": name, "object": "file", "bytes": len(content), "created_at": int(time.time())}

    def _content(self, name: str) -> Reply:
        content = self.files[name]
        trouble = self._troubles.pop("content", None)
        if trouble is None:
            return Reply(200, content)
        if trouble.body is not None:
            return Reply(200, trouble.body)
        if trouble.held:
            self.holding.set()
            return Reply(200, b"", held=True)
        # Into the line after.
        return Reply(200, content, sent=len(b"".join(content.splitlines(keepends=True)[: trouble.lines])) + 10)

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/embeddings", "24h")
        name = f"batch_{len(self.batches) + 1}"
        problems = self._problems(self.files[asked["input_file_id"]].splitlines())
        batch = {
            **{"id": name, "object": "batch", "endpoint": asked["endpoint"], "completion_window": "24h"},
            **{"input_file_id": asked["input_file_id"], "metadata": asked.get("metadata")},
            **{"created_at": int(time.time()), "output_file_id": None, "error_file_id": None},
            **{"status": "failed" if problems else "validating"},
            **{"errors": {"object": "list", "data": problems} if problems else None},
            **{"request_counts": {"total": 0, "completed": 0, "failed": 0}},
        }
        self.batches[name] = batch
        return batch

    def _problems(self, lines: list[bytes]) -> list[dict[str, Any]]:
        if len(lines) > self.most_requests:
            return [{"code": "too_many_tasks", "message": "The batch has too many requests.", "line": None}]
        ids = Counter(json.loads(line)["custom_id"] for line in lines)
        return [
            {"code": "duplicate_custom_id", "message": f"The custom_id {one} is used twice.", "line": 1}
            for one, times in ids.items()
            if times > 1
        ]

    def _listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
        newest_first = list(reversed(self.batches.values()))
        names = [batch["id"] for batch in newest_first]
        start = names.index(query["after"][0]) + 1 if "after" in query else 0
        end = start + int(query.get("limit", ["20"])[0])
        return {"object": "list", "data": newest_first[start:end], "has_more": end < len(names)}

    def _finish(self, batch: dict[str, Any], status: str, answered: int | None, usage: bool) -> None:
        requests = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        done = [] if status == "failed" else requests[:answered]
        lines = [self._line(request, usage) for request in done]
        if status in ("expired", "cancelled"):
            lines += [self._not_tried(request, status) for request in requests[len(done) :]]
        good = [line for line in lines if line["error"] is None and line["response"]["status_code"] == 200]
        for key, part in (("output_file_id", good), ("error_file_id", [line for line in lines if line not in good])):
            if part:  # in another order than they came in
                batch[key] = self._file(b"".join(to_json(line) + b"\n" for line in reversed(part)))["id"]
        batch["request_counts"] = {"total": len(requests), "completed": len(good), "failed": len(lines) - len(good)}
        batch["status"] = status
        if status == "failed":
            problem = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "line": None}
            batch["errors"] = {"object": "list", "data": [problem]}

    def _line(self, request: dict[str, Any], usage: bool) -> dict[str, Any]:
        text = request["body"]["input"]
        if POISON in text:
            error = {"message": "it is not to be embedded", "type": "invalid_request_error", "code": "bad_input"}
            return self._response(request, 400, {"error": error})
        self.embedded[text] += 1
        if GIVE_NOTHING in text:
            return self._response(request, 200, {"object": "list", "data": []})
        manner = "well" if usage else "no usage"
        return self._response(request, 200, json.loads(answer(request["body"], [text], self.dimensions, manner)))

    @staticmethod
    def _response(request: dict[str, Any], status: int, body: dict[str, Any]) -> dict[str, Any]:
        response = {"status_code": status, "request_id": "req", "body": body}
        return {"id": "batch_req", "custom_id": request["custom_id"], "response": response, "error": None}

    @staticmethod
    def _not_tried(request: dict[str, Any], status: str) -> dict[str, Any]:
        message = EXPIRED if status == "expired" else "This request was cancelled."
        error = {"code": f"batch_{status}", "message": message}
        return {"id": "batch_req", "custom_id": request["custom_id"], "response": None, "error": error}
