"""`vector-pipeline serve`, as it is started: whom it says to serve, and what it writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from vector_pipeline.cli import main
from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench


@pytest.fixture
def environment(bench_without_index: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """An environment that leads the command line to the database."""
    target = bench_without_index.target
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("VECTOR_PIPELINE_") and not name.endswith("PACKAGES")]:
        monkeypatch.delenv(name)
    for name, value in {
        "VECTOR_PIPELINE_STACK": str(tmp_path / "no-stack"),
        "DB_HOST": "127.0.0.1",
        "DB_USER": "nobody",
        "DB_NAME": "nothing",
        "PG_HOST": target.host,
        "PG_PORT": str(target.port),
        "PG_USER": target.user,
        "PG_PASSWORD": target.password,
        "PGVECTOR_DB_NAME": target.database,
        "APP_DEBUG": "DEBUG",
    }.items():
        monkeypatch.setenv(name, value)
    return bench_without_index


@pytest.mark.usefixtures("environment")
def test_it_does_not_start_for_others_without_a_key_and_says_what_to_do() -> None:
    refused = CliRunner().invoke(main, ["serve", "--host", "0.0.0.0"])
    assert refused.exit_code == 2
    assert "vector-pipeline keys create NAME" in refused.stderr
    assert "VECTOR_PIPELINE_TRUSTED_NETWORKS" in refused.stderr


@retry(retry=retry_if_exception_type(httpx.TransportError), wait=wait_fixed(0.05), stop=stop_after_delay(60))
def _wait_for(url: str) -> None:
    assert httpx.get(f"{url}/healthcheck").status_code == 200


def test_keys_and_queries_are_written_nowhere_at_any_level(environment: Workbench, tmp_path: Path) -> None:
    with postgres(environment.target) as connection:
        secret = create_key(connection, "dify", [AccessScope.SYNC]).secret
    url = f"http://127.0.0.1:{(port := choose_port())}"
    written = tmp_path / "written"
    with written.open("w") as output:
        command = [sys.executable, "-m", "vector_pipeline.cli", "serve", "--port", str(port)]
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_for(url)
            for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
                assert httpx.post(f"{url}/search?key={secret}", headers=headers).status_code == 403
            assert httpx.get(f"{url}/documents?api_key={secret}&secret=words").status_code == 401
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    told = written.read_text()
    assert "served: whoever has an API key" in told
    assert secret[8:] not in told
    assert "secret=words" not in told
