"""What the service gets out of Dagster: a real webserver with a small code location."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.dagster_client import (
    DagsterClient,
    DagsterRefusedError,
    DagsterUnavailableError,
    RunStatus,
    UnknownJobError,
    UnknownRunError,
)
from vector_pipeline_tests.dagster_instances import FreshStorage, new_home_of_processes
from vector_pipeline_tests.orchestration.webserver import wait_until_it_answers, webserver

SMALL_LOCATION = Path(__file__).with_name("small_location.py")
A_RUN_TAKES = 60.0
NO_RUN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def project(
    request: pytest.FixtureRequest, fresh_dagster_storage: FreshStorage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(SMALL_LOCATION, folder / "small.py")
    location = {"python_file": {"relative_path": "small.py", "location_name": "vector_pipeline"}}
    (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    # Without a daemon nobody would take runs out of the queue.
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    with fresh_dagster_storage(request) as storage:
        yield new_home_of_processes(folder, storage, {"run_coordinator": coordinator, "telemetry": {"enabled": False}})


@pytest.fixture(scope="module")
def dagster(project: Path) -> Iterator[DagsterClient]:
    with webserver(project, project / "webserver.log", {"DAGSTER_HOME": str(project)}) as address:
        wait_until_it_answers(address)
        with DagsterClient(address, public_url="https://dagster.example.org") as client:
            yield client


@contextmanager
def something_else(status: int, body: bytes) -> Iterator[str]:
    """A server that is not Dagster's."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_webserver_that_is_not_there_is_named_with_the_remedy() -> None:
    url = f"http://127.0.0.1:{choose_port()}"
    with DagsterClient(url) as client, pytest.raises(DagsterUnavailableError, match="VECTOR_PIPELINE_DAGSTER_URL") as e:
        client.version()
    assert url in str(e.value)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, b"<html>Bad gateway</html>", "HTTP 502"),
        (200, b"[1, 2]", "does not understand"),
        (400, b'{"errors": [{"message": "no such field"}]}', "no such field"),
    ],
)
def test_something_else_at_the_address_is_told_apart_from_dagster(status: int, body: bytes, said: str) -> None:
    with (
        something_else(status, body) as url,
        DagsterClient(url) as client,
        pytest.raises(DagsterUnavailableError, match=said),
    ):
        client.runs()


@pytest.mark.long
def test_a_run_is_launched_waited_for_and_tells_its_result(dagster: DagsterClient) -> None:
    config = {"ops": {"count": {"config": {"to": 7}}}}
    launched = dagster.launch_job("counting", config, {"vector/asked_by": "a test"})
    assert launched.url == f"https://dagster.example.org/runs/{launched.id}"

    run = dagster.wait(launched.id, A_RUN_TAKES)

    assert (run.status, run.job, run.index) == (RunStatus.SUCCESS, "counting", "numbers")
    assert run.tags["vector/asked_by"] == "a test"
    result = dagster.result(run.id)
    assert result.failure is None
    assert (result.number("counted"), result.metadata["cost"], result.metadata["words"]) == (7, 0.25, "one two three")
    assert result.number("large") == 2**40
    assert run.id in [found.id for found in dagster.runs("numbers")]


@pytest.mark.long
def test_a_failed_run_tells_its_first_cause(dagster: DagsterClient) -> None:
    run = dagster.wait(dagster.launch_job("stumbling").id, A_RUN_TAKES)
    assert run.status is RunStatus.FAILURE
    assert "the floor is wet" in (dagster.result(run.id).failure or "")


@pytest.mark.long
def test_an_unfinished_run_is_found_by_index_and_job_until_it_is_stopped(dagster: DagsterClient) -> None:
    run = dagster.launch_job("lingering")
    assert not dagster.wait(run.id, 0.0).finished
    assert [found.id for found in dagster.unfinished_runs("numbers", job="lingering")] == [run.id]
    assert dagster.unfinished_runs("floors") == []
    while dagster.run(run.id).status is not RunStatus.STARTED:
        dagster.wait(run.id, 0.2)

    dagster.terminate(run.id)

    assert dagster.wait(run.id, A_RUN_TAKES).status is RunStatus.CANCELED
    assert dagster.unfinished_runs("numbers") == []
    with pytest.raises(DagsterRefusedError, match=run.id):
        dagster.terminate(run.id)


@pytest.mark.long
def test_what_is_not_there_is_said_so(dagster: DagsterClient) -> None:
    assert dagster.has_job("counting")
    assert not dagster.has_job("juggling")
    with pytest.raises(UnknownJobError, match="juggling"):
        dagster.launch_job("juggling")
    with pytest.raises(DagsterRefusedError, match="too"):
        dagster.launch_job("counting", {"ops": {"count": {"config": {"too": 7}}}})
    for ask in (dagster.run, dagster.result, dagster.terminate):
        with pytest.raises(UnknownRunError, match=NO_RUN):
            ask(NO_RUN)


@pytest.mark.long
def test_a_reload_brings_what_the_code_location_has_now_or_says_why_it_does_not_load(
    dagster: DagsterClient, project: Path
) -> None:
    file = project / "small.py"
    written = file.read_text()
    file.write_text(
        written + "\n\n@dg.job\ndef juggling() -> None:\n    count()\n\n\n"
        "defs = dg.Definitions(jobs=[counting, stumbling, lingering, juggling])\n"
    )
    assert not dagster.has_job("juggling")
    dagster.reload_code_location()
    assert dagster.has_job("juggling")

    file.write_text("raise RuntimeError('half written')")
    with pytest.raises(DagsterRefusedError, match="half written"):
        dagster.reload_code_location()
    file.write_text(written)
    dagster.reload_code_location()
    assert dagster.has_job("counting")
    assert not dagster.has_job("juggling")
