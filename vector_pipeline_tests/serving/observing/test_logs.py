"""What the service writes of a request, and that its id leads from the answer to it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.log_level import WithoutKeys
from vector_pipeline.serving.observing.logs import WithRequestId, formatter
from vector_pipeline.serving.observing.request import begin, end
from vector_pipeline.serving.observing.settings import LogFormat, ObservingSettings, read_observing_settings
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.serving.test_recovery import gone
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench

BODY = {"query": "a private question", "similarity_threshold": -1}
# The client's, and what `serve` switches off.
_OF_THIS_PROCESS = {"httpx", "uvicorn.access"}
KEY = "vp_" + "k" * 43


@contextmanager
def written(form: LogFormat = "json", *, requests: int = 0) -> Iterator[StringIO]:
    """What is logged within the block, in that form. Lines of so many requests are waited for: answers come first."""
    stream, root = StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form))
    handler.addFilter(WithRequestId())
    handler.addFilter(WithoutKeys())
    handler.addFilter(lambda record: record.name not in _OF_THIS_PROCESS)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield stream
        wait_until(lambda: stream.getvalue().count("vector_pipeline.serving.requests") >= requests)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def lines(stream: StringIO, request_id: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in found if line["request_id"] == request_id]


def test_a_request_has_a_line_with_all_but_its_words(live: LiveServer) -> None:
    with written(requests=2) as stream:
        answer = live.client.post("/search?secret=words", json=BODY, headers={"X-Request-ID": "trace-7.a_B"})
        missing = live.client.get("/v1/indexes/faq/documents/a-persons-key")
    assert answer.headers["X-Request-ID"] == "trace-7.a_B"
    [line] = lines(stream, "trace-7.a_B")
    assert line["logger"] == "vector_pipeline.serving.requests"
    told = {"method": "POST", "route": "/search", "status": 200, "caller": "this machine", "index": "faq"}
    assert line.items() >= told.items()
    assert isinstance(line["milliseconds"], float)
    [line] = lines(stream, missing.headers["X-Request-ID"])
    assert (line["route"], line["status"]) == ("/v1/indexes/{index}/documents/{key}", 404)
    for secret in ("private", "secret=words", "a-persons-key"):
        assert secret not in stream.getvalue()


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 65, 'quote"', "new%0Aline", "line\n", KEY])
def test_an_id_that_is_none_is_replaced(given: str | None) -> None:
    made = begun(given)
    assert made != given
    assert len(made) == 16
    assert begun(given) != made


def begun(given: str | None) -> str:
    request, token = begin(given)
    end(token)
    return request.request_id


def test_the_reference_of_an_error_is_the_id_and_leads_to_the_reason(live: LiveServer, bench: Workbench) -> None:
    with written(requests=1) as stream, gone(bench.target):
        answer = live.client.post("/search", json=BODY, headers={"X-Request-ID": "outage-1"})
    assert answer.json() == {"detail": "Database search error", "reference": "outage-1"}
    reasons = [line for line in lines(stream, "outage-1") if line["level"] == "WARNING"]
    assert any("PostgreSQL" in str(line["message"]) for line in reasons)


def test_refusals_have_an_id_and_a_line_with_the_name_of_the_key(bench: Workbench) -> None:
    with postgres(bench.target) as connection:
        secret = create_key(connection, "nightly", [AccessScope.SYNC]).secret
    with live_server(bench, [contract_spec()]) as live, written("plain", requests=2) as stream:
        refused = live.client.post("/search", json=BODY, headers={"X-API-Key": secret})
        unknown = live.client.post("/search", json=BODY)
    assert (refused.status_code, unknown.status_code) == (403, 401)
    assert unknown.headers["X-Request-ID"]
    told = f"INFO vector_pipeline.serving.requests [{refused.headers['X-Request-ID']}] POST /search 403 "
    assert told in stream.getvalue()
    assert "caller='key nightly'" in stream.getvalue()
    assert secret[8:] not in stream.getvalue()


def test_words_are_logged_only_where_that_is_configured(bench: Workbench) -> None:
    told = ServingSettings(observing=ObservingSettings(log_queries=True))
    with live_server(bench, [contract_spec()], told) as live, written(requests=1) as stream:
        live.client.post("/search", json=BODY, headers={"X-Request-ID": "one"})
    [line] = lines(stream, "one")
    assert line["query"] == BODY["query"]


@pytest.mark.parametrize("form", ["plain", "json"])
def test_keys_are_masked_in_messages_and_tracebacks(form: LogFormat) -> None:
    with written(form) as stream:
        try:
            raise ValueError(f"header {KEY}")
        except ValueError:
            logging.getLogger("some.library").exception("sent %s", KEY)
    assert "vp_***" in stream.getvalue()
    assert "ValueError: header vp_***" in stream.getvalue()
    assert KEY not in stream.getvalue()


@pytest.mark.parametrize(
    ("name", "value"), [("LOG_FORMAT", "xml"), ("LOG_QUERIES", "perhaps"), ("METRICS_SECONDS", "0")]
)
def test_settings_that_cannot_be_used_are_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"VECTOR_PIPELINE_{name} is '{value}'"):
        read_observing_settings({f"VECTOR_PIPELINE_{name}": value})
