"""`vector-pipeline serve`, from its start to its end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.serving.server import serve
from vector_pipeline.serving.settings import ServingSettings, read_serving_settings
from vector_pipeline_tests.certificates import Authority
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.serving.serving_process import create_genie, serving_process
from vector_pipeline_tests.waiting import wait_until
from vector_pipeline_tests.workbench import Workbench

ROWS = [(1, "Where do I renew my passport?", "At the Immigration office.", "2026-01-02 03:04:05", None, "a1")]


@pytest.mark.parametrize(
    ("workers", "number"), [("1", signal.SIGINT), pytest.param("2", signal.SIGTERM, marks=pytest.mark.long)]
)
def test_stopped_it_answers_what_is_under_way_and_takes_no_more(
    mysql_database: SourceSettings, pg_database: TargetSettings, tmp_path: Path, workers: str, number: signal.Signals
) -> None:
    with MisbehavingProvider(64) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(provider.url, None, provider.model))
        create_genie(bench, ROWS)
        provider.reset()
        provider.delay_seconds = 1.5
        with serving_process(bench, tmp_path, "--workers", workers) as server, ThreadPoolExecutor(1) as threads:
            body = {"query": "renew a passport", "similarity_threshold": -1}
            search = threads.submit(server.client.post, "/search", json=body)
            wait_until(lambda: provider.requests > 0)
            server.process.send_signal(number)

            assert search.result().json()["total_results"] == 1
            assert server.process.wait(30) == 0
            with pytest.raises(httpx.ConnectError):
                server.client.get("/healthcheck")


@pytest.mark.long
def test_it_speaks_https_with_a_certificate(
    mysql_database: SourceSettings, pg_database: TargetSettings, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    files = authority.sign("server", "127.0.0.1")
    bench = Workbench(mysql_database, pg_database)
    options = ("--tls-cert", files.cert, "--tls-key", files.key)
    with serving_process(bench, tmp_path, *options, ca=authority.ca) as server:
        assert server.client.get("/healthcheck").json() == {"status": "healthy"}
        server.client.close()
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"VECTOR_PIPELINE_TLS_CERT": "cert.pem"}, "set both VECTOR_PIPELINE_TLS_CERT and VECTOR_PIPELINE_TLS_KEY"),
        ({"VECTOR_PIPELINE_PORT": "70000"}, "VECTOR_PIPELINE_PORT is '70000': give a whole number from 1 to 65535"),
    ],
)
def test_settings_that_cannot_be_used_are_named(variables: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        read_serving_settings(variables)


def test_a_port_that_is_taken_and_a_file_that_is_no_certificate_are_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"can't listen at 127.0.0.1, port {port}: Address already in use"):
            serve(ServingSettings(port=port))
    file = tmp_path / "file.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"file\.pem can't be used"):
        serve(ServingSettings(tls_certificate=str(file), tls_key=str(file)))


def test_serving_loads_no_dagster() -> None:
    program = "import sys, vector_pipeline.serving.server; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
