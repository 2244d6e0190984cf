"""Traces: what is in them, and that there is nothing of them where nobody asks for any."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vector_pipeline.serving.observing import tracing
from vector_pipeline_tests.serving.serving import LiveServer

BODY = {"query": "a private question", "similarity_threshold": -1}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of this process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing._Tracing, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_search_is_a_request_with_the_query_embedded_and_statements_in_the_trace_of_the_client(
    live: LiveServer, spans: InMemorySpanExporter
) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "traced"}
    assert live.client.post("/search?secret=words", json=BODY, headers=headers).status_code == 200

    found = by_name(spans)
    request = found["POST /search"]
    assert request.parent is not None
    assert request.context is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    told = {"http.route": "/search", "http.response.status_code": 200, "vector_pipeline.request_id": "traced"}
    assert dict(request.attributes or {}).items() >= told.items()
    for part in ("embeddings", "postgresql"):
        parent = found[part].parent
        assert parent is not None
        assert parent.span_id == request.context.span_id


def test_spans_have_no_texts_vectors_or_addresses(live: LiveServer, spans: InMemorySpanExporter) -> None:
    live.client.post("/search?secret=words", json=BODY)
    live.client.post("/v1/search", json={"query": BODY["query"], "mode": "hybrid", "explain": True, "index": "faq"})
    written = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "SELECT" in written
    for secret in ("private", "secret=words", "question number", "[0."):
        assert secret not in written


def test_explained_statements_are_traced_too(live: LiveServer, spans: InMemorySpanExporter) -> None:
    answer = live.client.post("/v1/search", json={"query": "q", "index": "faq", "explain": True})
    assert answer.status_code == 200
    assert "postgresql" in by_name(spans)


def test_nothing_of_it_is_loaded_where_no_endpoint_is_named() -> None:
    program = (
        "import sys, vector_pipeline.serving.server; from vector_pipeline.serving.observing import tracing; "
        "tracing.set_up_tracing(); sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_the_extra_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    tracing.set_up_tracing()
    assert "pip install 'vector-pipeline[telemetry]'" in caplog.text
    assert tracing._Tracing.tracer is None
