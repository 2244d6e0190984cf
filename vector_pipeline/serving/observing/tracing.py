"""OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `telemetry` is installed; else nothing of it is
loaded, and `span` costs nothing.

Spans tell of the request, of what embeds its query, and of its statements with placeholders: never of texts, vectors,
keys, or the query string of an address.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Self

import psycopg

from vector_pipeline.core.search.explaining import as_text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "vector-pipeline"

_log = logging.getLogger(__name__)

Attributes = Mapping[str, str | int]


class _Tracing:
    tracer: Tracer | None = None
    provider: TracerProvider | None = None


def set_up_tracing() -> None:
    """Has spans sent where the environment says, if it does. Without the extra it says so in the log, and there are
    none: the variable may be set for all that runs on a machine."""
    if _Tracing.tracer is not None or not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an extra, and only where it is wanted
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        _log.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed (%s), so none are sent: "
            "pip install 'vector-pipeline[telemetry]'",
            error,
        )
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", _NAME)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _Tracing.provider = provider
    _Tracing.tracer = provider.get_tracer(_NAME)


def send_last_spans() -> None:
    """Sends what is not sent yet, for a process that is about to end: uvicorn ends its processes by the signal that
    stopped them, so nothing that is registered for a process's exit runs."""
    if _Tracing.provider is not None:
        _Tracing.provider.shutdown()


def span(name: str, attributes: Attributes) -> AbstractContextManager[object]:
    """A part of what is traced around it."""
    tracer = _Tracing.tracer
    if tracer is None:
        return nullcontext()
    # What an error says may have something of a text.
    return tracer.start_as_current_span(name, attributes=dict(attributes), record_exception=False)


class RequestSpan:
    """The span of a request, which is told at its end what became of it."""

    def __init__(self, span: Span | None) -> None:
        self._span = span

    def finish(self, method: str, route: str, status: int, request_id: str) -> None:
        """Names it."""
        if self._span is None:
            return
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - loaded by now

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "vector_pipeline.request_id": request_id,
            }
        )
        if status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def request_span(headers: Mapping[str, str]) -> Iterator[RequestSpan]:
    """The span of a request, as part of the client's trace if its headers name one (`traceparent`)."""
    tracer = _Tracing.tracer
    if tracer is None:
        yield RequestSpan(None)
        return
    from opentelemetry.propagate import extract  # noqa: PLC0415 - loaded by now
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    with tracer.start_as_current_span(
        "request", context=extract(headers), kind=SpanKind.SERVER, record_exception=False
    ) as started:
        yield RequestSpan(started)


@contextmanager
def traced_statements(connection: psycopg.Connection) -> Iterator[None]:
    """A span for each statement that the connection runs inside of the block."""
    if _Tracing.tracer is None:
        yield
        return

    class Traced(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
            attributes = {"db.system.name": "postgresql", "db.query.text": as_text(query, connection)}
            with span("postgresql", attributes):
                return super().execute(query, *arguments, **options)

    usual = connection.cursor_factory
    connection.cursor_factory = Traced
    try:
        yield
    finally:
        connection.cursor_factory = usual
