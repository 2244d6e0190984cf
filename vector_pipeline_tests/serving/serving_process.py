"""`vector-pipeline serve` as a process of its own, over the shipped index `genie_documents`."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from vector_pipeline.declarations import find_declaration
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline_tests.environments import environment_of
from vector_pipeline_tests.workbench import Workbench

Row = tuple[int, str, str | None, str | None, str | None, str | None]
"""Key, question, answer, date, link, unique id."""


def create_genie(bench: Workbench, rows: Sequence[Row], *, unique_ids: bool = True) -> None:
    """The table of the shipped index, as such tables are, and the index synced from it."""
    unique_id = ", genie_uniqueid VARCHAR(64)" if unique_ids else ""
    bench.mysql(
        "CREATE TABLE tbl_genie_genie (id BIGINT PRIMARY KEY, genie_question TEXT NOT NULL, genie_answer MEDIUMTEXT,"
        f" genie_questiondate DATETIME NULL, genie_sourcelink VARCHAR(1024) NULL{unique_id}) CHARACTER SET utf8mb4"
    )
    columns = 6 if unique_ids else 5
    bench.mysql(f"INSERT INTO tbl_genie_genie VALUES ({', '.join(['%s'] * columns)})", [row[:columns] for row in rows])
    bench.sync(find_declaration("genie_documents").spec)


@dataclass(frozen=True)
class ServingProcess:
    """It answers; `client` has its address as base URL, and `log` is what it writes."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path


@contextmanager
def serving_process(
    bench: Workbench, folder: Path, *options: str, more: Mapping[str, str] | None = None, ca: str | None = None
) -> Iterator[ServingProcess]:
    """Runs it for as long as the block.

    Args:
        folder: what it keeps, if anything, goes there.
        more: further environment variables.
        ca: PEM file of the authority of its certificate, if it is to speak HTTPS.
    """
    port = choose_port()
    environment = environment_of(bench.settings) | {
        "VECTOR_PIPELINE_STACK": str(folder / "no-stack"),
        "VECTOR_PIPELINE_REGISTRY_CACHE": str(folder / "declared.json"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    command = [sys.executable, "-m", "vector_pipeline.cli", "serve", "--port", str(port), *options]
    url = f"{'https' if ca else 'http'}://127.0.0.1:{port}"
    log = folder / "serve.log"
    with (
        log.open("wb") as written,  # a pipe that nobody reads would stop it once it is full
        subprocess.Popen(command, cwd=folder, env=environment | dict(more or {}), stderr=written) as process,
        httpx.Client(base_url=url, timeout=60, verify=ssl.create_default_context(cafile=ca)) as client,
    ):
        try:
            _wait_until_it_answers(process, client, log)
            yield ServingProcess(process, client, log)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.05), retry=retry_if_exception_type(httpx.TransportError))
def _wait_until_it_answers(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    assert process.poll() is None, log.read_text()
    assert client.get("/healthcheck").status_code == 200
