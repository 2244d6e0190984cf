"""`vector-pipeline serve` with several processes: they count together, log alike, and send their traces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline_tests.serving.serving_process import create_genie, serving_process
from vector_pipeline_tests.workbench import Workbench

ROWS = [(1, "Where do I renew my passport?", "At the Immigration office.", "2026-01-02 03:04:05", None, "a1")]
SEARCHES = 20


@contextmanager
def collector() -> Iterator[tuple[str, list[str]]]:
    """Something that traces are sent to: its address, and the paths of what has come."""
    come: list[str] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            come.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", come
        server.shutdown()
        thread.join()


@pytest.mark.long
def test_processes_count_together_log_as_json_and_send_traces(
    mysql_database: SourceSettings, pg_database: TargetSettings, tmp_path: Path
) -> None:
    bench = Workbench(mysql_database, pg_database)
    create_genie(bench, ROWS)
    with collector() as (endpoint, come):
        variables = {"VECTOR_PIPELINE_LOG_FORMAT": "json", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        with serving_process(bench, tmp_path, "--workers", "2", more=variables) as server:
            for number in range(SEARCHES):
                # Each over a connection of its own, so that both processes get some.
                headers = {"Connection": "close", "X-Request-ID": f"search-{number}"}
                body = {"query": "a passport", "similarity_threshold": -1}
                assert server.client.post("/search", json=body, headers=headers).status_code == 200
            page = server.client.get("/metrics").text
        assert come == ["/v1/traces"] * len(come) != []
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    [counted] = [
        sample.value
        for sample in samples
        if sample.name == "vector_pipeline_http_request_seconds_count" and sample.labels["route"] == "/search"
    ]
    assert counted == SEARCHES
    documents = {one.labels["index"]: one.value for one in samples if one.name == "vector_pipeline_index_documents"}
    assert documents["genie_documents"] == 1

    lines = server.log.read_text().splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    searches = [
        one for one in logged if one["logger"] == "vector_pipeline.serving.requests" and one["route"] == "/search"
    ]
    assert {one["request_id"] for one in searches} == {f"search-{number}" for number in range(SEARCHES)}
    # Beside the announcement nothing is said in another form: uvicorn's own lines too are JSON.
    assert [line for line in lines if not line.startswith(("{", "serving at"))] == []
    assert any(one["logger"].startswith("uvicorn") for one in logged)
