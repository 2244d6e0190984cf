"""What is written in `injection_attempts.yaml`, sent to every place of the service where such a thing is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import yaml

from vector_pipeline_tests.core.source.test_where_clause import REFUSED

Who = Literal["reader", "admin"]
"""A key to search and sync one index; one for everything."""

_FILE = Path(__file__).with_name("injection_attempts.yaml")
_MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}
INDEX = "genie_documents"
QUERY = "renew a passport"
_ORDERS: dict[str, object] = {"table": "orders", "columns": ["note"]}

# What is taken as words or as a value finds something or nothing; else it is wrong, unknown, or not for the caller.
FOUND_OR_REFUSED = frozenset({200, 422})
REFUSED_ANYHOW = frozenset({403, 404, 422})


@dataclass(frozen=True)
class Attempt:
    """A request that means harm.

    Attributes:
        about: for people.
        path: as it stands in the request line.
        expected: the statuses that it may be answered with.
        must_fail: the answer has to be a tool's failure.
    """

    about: str
    who: Who
    method: str
    path: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    expected: frozenset[int] = FOUND_OR_REFUSED
    must_fail: bool = False

    @property
    def sent(self) -> str:
        """All that the answer may repeat."""
        return " ".join((self.path, (self.content or b"").decode(errors="replace"), *self.headers.values()))


@dataclass(frozen=True)
class Answered:
    """An attempt and the answer to it."""

    attempt: Attempt
    status: int
    text: str
    headers: str


def read_attempts(share: int = 1) -> list[Attempt]:
    """All of them, or of those with names and values one in `share`: each name and each place is among them."""
    written = yaml.safe_load(_FILE.read_text())
    queries, names, values, filters = (
        [_text(one) for one in written[kind]] for kind in ("queries", "names", "values", "filters")
    )
    named = [list(_as_name(name))[place % share :: share] for place, name in enumerate(names)]
    conditions = [attempt for kind in REFUSED.values() for one in kind if one.strip() for attempt in _as_condition(one)]
    valued = [list(_as_value(value))[place % share :: share] for place, value in enumerate(values)]
    return [
        *(attempt for query in queries for attempt in _as_query(query)),
        *chain(*named, *valued),
        *(attempt for filter in filters for attempt in _as_filter(filter)),
        *conditions[:: min(share, 2)],
        *(_with_header(name, _text(value)) for headers in written["headers"] for name, value in headers.items()),
        *(_as_path(path) for path in written["paths"]),
    ]


def send_all(client: httpx.Client, keys: Mapping[Who, str], attempts: list[Attempt]) -> list[Answered]:
    """Sends them, several at once."""

    def send(attempt: Attempt) -> Answered:
        headers = {"X-API-Key": keys[attempt.who], "Content-Type": "application/json", **_MCP, **attempt.headers}
        url = client.base_url.copy_with(raw_path=attempt.path.encode())
        try:
            answer = client.request(
                attempt.method, url, content=attempt.content, headers=[(k, v.encode()) for k, v in headers.items()]
            )
        except httpx.TransportError as error:
            return Answered(attempt, 0, f"{type(error).__name__}: {error}", "")
        told = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        return Answered(attempt, answer.status_code, answer.text, told)

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(send, attempts))


def _text(written: str | Mapping[str, Any]) -> str:
    if isinstance(written, str):
        return written
    return written.get("before", "") + written["times"] * written["of"] + written.get("after", "")


def _post(
    about: str, path: str, body: object, who: Who = "reader", expected: frozenset[int] = FOUND_OR_REFUSED
) -> Attempt:
    return Attempt(f"{about}, POST {path}", who, "POST", path, json.dumps(body).encode(), expected=expected)


def _get(about: str, path: str, who: Who = "reader", expected: frozenset[int] = FOUND_OR_REFUSED) -> Attempt:
    return Attempt(f"{about}, GET {path}", who, "GET", path, expected=expected)


def _call(about: str, tool: str, who: Who = "reader", *, must_fail: bool = True, **arguments: object) -> Attempt:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return Attempt(
        f"{about}, tool {tool}",
        who,
        "POST",
        "/mcp",
        json.dumps(body).encode(),
        expected=frozenset({200, 403, 413}),
        must_fail=must_fail,
    )


def _as_query(query: str) -> Iterator[Attempt]:
    about = f"query {query[:60]!r}"
    yield _post(about, "/search-simple", {"query": query, "mode": "text", "similarity_threshold": -1})
    yield _post(about, "/v1/search", {"query": query, "mode": "hybrid", "threshold": -1})
    yield _call(about, "search_text", index=INDEX, query=query, must_fail=False)


def _as_name(name: str) -> Iterator[Attempt]:
    about = f"name {name[:60]!r}"
    for body in (
        {"field": name},
        {"field": {name: 1}},
        {"field": [name, "question"]},
        {"filter": {name: "x"}},
        {"filter": {"field": "link", "op": name, "value": "x"}},
        {"filter": {"link": {name: "x"}}},
        {"mode": name},
        {"index": name},
        {"indexes": [INDEX, name]},
        {name: "x"},
        {"generation": name},
    ):
        yield _post(about, "/v1/search", {"query": QUERY, **body}, expected=REFUSED_ANYHOW)
    yield _post(about, "/v1/search", {"query": QUERY, "index": name}, "admin", REFUSED_ANYHOW)
    yield _post(about, "/search", {"query": QUERY, "index": name}, expected=REFUSED_ANYHOW)
    yield _post(about, "/search", {"query": QUERY, "field": name}, expected=REFUSED_ANYHOW)
    yield _post(about, "/search", {"query": QUERY, "filters": {name: "x"}}, expected=REFUSED_ANYHOW)
    yield _post(about, "/v1/search/batch", {"index": name, "searches": [{"query": QUERY}]}, expected=REFUSED_ANYHOW)
    if name.strip():  # of an empty one no path is made
        encoded = quote(name, safe="")
        yield _get(about, f"/v1/indexes/{encoded}", "admin", REFUSED_ANYHOW)
        yield _get(about, f"/v1/indexes/{encoded}/documents", expected=REFUSED_ANYHOW)
        yield _get(about, f"/v1/indexes/{encoded}/unanswered", "admin", REFUSED_ANYHOW)
        yield _get(about, f"/v1/runs?index={encoded}", "admin", REFUSED_ANYHOW)
        yield _post(about, f"/v1/indexes/{encoded}/reindex", {}, "admin", REFUSED_ANYHOW)
        yield _post(about, f"/v1/indexes/{encoded}/quarantine/ignore", {"keys": ["1"]}, "admin", REFUSED_ANYHOW)
        path = f"/v1/indexes/{encoded}"
        yield Attempt(f"{about}, DELETE {path}", "admin", "DELETE", path, expected=REFUSED_ANYHOW)
    for changes in ({"database": name}, {"table": name}, {"columns": [name]}, {"primary_key": [name]}, {"model": name}):
        yield _post(about, "/v1/indexes", _ORDERS | changes, "admin", REFUSED_ANYHOW)
    yield _call(about, "search_text", index=name, query=QUERY)
    yield _call(about, "embed_search", "admin", schema=name, table=name, query=QUERY)
    yield _call(about, "search_hybrid", index=INDEX, query=QUERY, filters={name: "x"})
    yield _call(about, "fetch_from_source", index=INDEX, keys=["1"], columns=[name])
    yield _call(about, "get_documents", index=INDEX, keys=["1"], columns=[name])
    yield _call(about, "index_status", "admin", index=name)
    yield _call(about, "sync_index", "admin", table=name)
    yield _call(about, "embed_delete_index", "admin", index=name)
    yield _call(about, name, "admin")
    for changes in (
        {"schema": name},
        {"table": name},
        {"columns": [name]},
        {"columns": json.dumps([name])},
        {"primary_key": name},
        {"primary_key": ["id", name]},
        {"model": name},
        {"strategy": name},
        {"template": name},
    ):
        yield _call(about, "embed_index_table", "admin", **(_ORDERS | changes))


def _as_value(value: str) -> Iterator[Attempt]:
    about = f"value {value[:60]!r}"
    encoded = quote(value, safe="")
    unknown = frozenset({200, 404, 422})
    for filter in ({"link": value}, {"link": {"prefix": value}}, {"date": {">=": value}}, {"genie_uniqueid": [value]}):
        yield _post(about, "/v1/search", {"query": QUERY, "filter": filter, "mode": "text"})
    yield _get(about, f"/v1/indexes/{INDEX}/documents/{encoded}", expected=unknown)
    yield _get(about, f"/v1/indexes/{INDEX}/documents?keys={encoded}&keys=1", expected=unknown)
    yield _get(about, f"/v1/indexes/{INDEX}/documents?after={encoded}&limit=1", expected=unknown)
    yield _get(about, f"/documents?after={encoded}&limit=1", expected=unknown)
    yield _get(about, f"/v1/runs?before={encoded}&index={INDEX}")
    yield _get(about, f"/v1/runs/{encoded}", expected=frozenset({404, 422}))
    yield _post(about, f"/v1/indexes/{INDEX}/similar", {"key": value}, expected=unknown)
    for what in ("retry", "ignore", "unignore"):
        yield _post(about, f"/v1/indexes/{INDEX}/quarantine/{what}", {"keys": [value]}, expected=unknown)
    yield _call(about, "fetch_from_source", index=INDEX, keys=[value], must_fail=False)
    yield _call(about, "get_documents", index=INDEX, keys=[value], must_fail=False)
    yield _call(about, "embed_search", index=INDEX, query=QUERY, filters={"link": value}, must_fail=False)
    yield _call(about, "embed_search", index=INDEX, query=QUERY, limit=value, max_distance=value)


def _as_filter(filter: str) -> Iterator[Attempt]:
    about, query = f"filter {filter[:60]!r}", json.dumps(QUERY)
    refused = frozenset({200, 400, 422})
    content = f'{{"query": {query}, "mode": "text", "filter": {filter}}}'.encode()
    yield Attempt(f"{about}, POST /v1/search", "reader", "POST", "/v1/search", content, expected=refused)
    content = f'{{"query": {query}, "mode": "text", "filters": {filter}}}'.encode()
    yield Attempt(f"{about}, POST /search", "reader", "POST", "/search", content, expected=refused)
    content = f'{{"key": "1", "filter": {filter}}}'.encode()
    path = f"/v1/indexes/{INDEX}/similar"
    yield Attempt(f"{about}, POST {path}", "reader", "POST", path, content, expected=refused)
    yield _call(about, "search_text", index=INDEX, query=QUERY, filters=filter, must_fail=False)


def _as_condition(condition: str) -> Iterator[Attempt]:
    about = f"condition {condition[:60]!r}"
    yield _call(about, "embed_index_table", "admin", **_ORDERS, where_clause=condition)
    yield _post(about, "/v1/indexes", _ORDERS | {"where": condition}, "admin", REFUSED_ANYHOW)


def _with_header(name: str, value: str) -> Attempt:
    body = json.dumps({"query": QUERY}).encode()
    expected = frozenset({200, 400, 401, 403, 413, 415, 422, 431, 501})
    return Attempt(f"header {name}: {value[:60]!r}", "reader", "POST", "/search", body, {name: value}, expected)


def _as_path(path: str) -> Attempt:
    return _get(f"path {path!r}", path, expected=frozenset({200, 307, 400, 401, 403, 404, 405, 422}))
