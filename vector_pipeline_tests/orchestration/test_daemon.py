"""The real daemon with a real code server: an index follows its table, and a killed run freezes nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from vector_pipeline.core.errors import NotYetSyncedError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.components.declared import faq_attributes, written
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.dagster_instances import DagsterStorage, new_home_of_processes
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench

pytestmark = pytest.mark.long

DECLARED = faq_attributes(
    range_size=100,
    search={"threshold": -1.0},
    automation={"interval_seconds": 1, "ranges_per_run": 10},
)
# A run starts in some 5 s; a killed one is left for dead 60 s after its last sign of life.
ARRIVES_WITHIN = 60.0
RECOVERS_WITHIN = 240.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that declares the index `faq` and nothing else."""
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "genie_documents", "catalog")
    shutil.copytree(PROJECT / "vector_pipeline", folder / "vector_pipeline", ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder)
    (folder / "vector_pipeline" / "defs" / "faq").mkdir()
    (folder / "vector_pipeline" / "defs" / "faq" / "defs.yaml").write_text(written(DECLARED))
    return folder


@pytest.fixture
def home(tmp_path: Path, dagster_storage: DagsterStorage) -> Path:
    """A DAGSTER_HOME with the project's own configuration."""
    return new_home_of_processes(tmp_path / "home", dagster_storage)


@contextmanager
def daemon(project: Path, home: Path) -> Iterator[None]:
    """`dagster-daemon run`, which starts the code server; neither outlives the block."""
    program = str(Path(sys.executable).parent / "dagster-daemon")
    environment = os.environ | {"DAGSTER_HOME": str(home), "PYTHONPATH": str(project)}
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "run", "-w", str(project / "workspace.yaml")],
            cwd=project,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            end_group(process.pid)


def end_group(group: int) -> None:
    """Ends what the daemon left behind."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(what: Callable[[], bool], within: float, home: Path) -> None:
    deadline = time.monotonic() + within
    while not what():
        if time.monotonic() > deadline:
            pytest.fail((home / "daemon.log").read_text()[-4000:])
        time.sleep(0.5)


def finds(workbench: Workbench, text: str, key: str) -> bool:
    """Whether the row is the first that is found by this very text."""
    with workbench.index(IndexSpec.model_validate(DECLARED)) as index:
        try:
            hits = index.search(text, limit=1).hits
        except NotYetSyncedError:
            return False
    return bool(hits) and (hits[0].key, round(hits[0].score, 3)) == (key, 1.0)


def process_of(instance: dg.DagsterInstance, run_id: str) -> int:
    """The process id of a run, as its launcher tells it."""
    messages = [entry.user_message for entry in instance.all_logs(run_id)]
    [number] = {found.group(1) for message in messages if (found := re.search(r"\(pid: (\d+)\)", message))}
    return int(number)


def test_a_change_arrives_by_itself_and_a_killed_run_freezes_nothing(
    workbench: Workbench, provider: MisbehavingProvider, project: Path, home: Path
) -> None:
    workbench.create_faq(250)
    with daemon(project, home), dg.DagsterInstance.from_config(str(home)) as instance:
        wait_until(lambda: finds(workbench, "question number 207?", "207"), ARRIVES_WITHIN, home)

        workbench.mysql("UPDATE faq SET question = 'Where is the lost property office?' WHERE id = 7")
        wait_until(lambda: finds(workbench, "Where is the lost property office?", "7"), ARRIVES_WITHIN, home)

        provider.delay_seconds = 600.0
        asked = provider.stats()["requests"]
        workbench.mysql("UPDATE faq SET question = 'Who mends the street lamps?' WHERE id = 107")
        wait_until(lambda: provider.stats()["requests"] > asked, ARRIVES_WITHIN, home)
        [run] = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        os.kill(process_of(instance, run.run_id), signal.SIGKILL)
        provider.delay_seconds = 0.0
        wait_until(lambda: finds(workbench, "Who mends the street lamps?", "107"), RECOVERS_WITHIN, home)
        with workbench.index(IndexSpec.model_validate(DECLARED)) as index:
            assert index.verify().equal
