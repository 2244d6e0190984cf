"""A whole deployment in a folder, as `vector-pipeline dev` makes one, with servers that can be stopped one by one:
MySQL, PostgreSQL, a provider, Dagster with UI and daemon, the HTTP API, and a shell for whoever operates it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import yaml
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from vector_pipeline.core.settings import EmbeddingSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.embedded.postgres import binaries
from vector_pipeline.serving.dagster_client import DagsterClient
from vector_pipeline_tests.components.declared import written
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.dagster_instances import DagsterStorage, new_home_of_processes
from vector_pipeline_tests.environments import environment_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.operations.runbooks import block_of
from vector_pipeline_tests.operations.user_interface import UserInterface
from vector_pipeline_tests.orchestration.dagster_dev import dagster_dev
from vector_pipeline_tests.serving.serving_process import serving_process
from vector_pipeline_tests.stoppable_servers import StoppableServer, stoppable_mariadb, stoppable_postgres
from vector_pipeline_tests.workbench import Workbench

INDEX = "genie_documents"
DECLARED = {
    "name": INDEX,
    "source": {"table": "tbl_genie_genie", "primary_key": "id"},
    "document": {
        "text": {"question": "genie_question", "answer": "genie_answer"},
        "metadata": {"link": "genie_sourcelink", "date": "genie_questiondate"},
    },
    "embedding": {
        "provider": {"type": "openai", "attempts": 2, "patience_seconds": 3},
        "price_per_million_tokens": 0.02,
        "budget_per_day": 5.0,
    },
    "search": {"threshold": -1.0},
    "range_size": 100,
    "deletion_guard": {"share": 0.05, "rows": 100},
    "automation": {"interval_seconds": 2},
}
TABLE = """
CREATE TABLE tbl_genie_genie (
    id BIGINT PRIMARY KEY, genie_question TEXT NOT NULL, genie_answer MEDIUMTEXT, genie_questiondate DATETIME NULL,
    genie_sourcelink VARCHAR(1024) NULL
) CHARACTER SET utf8mb4
"""
COMMAND_SECONDS = 180.0


@dataclass
class Site:
    """It runs. `api` and `ui` are as whoever operates it sees them.

    `hands` are commands for what isn't here (Docker, a service manager), with what does the same.
    """

    project: Path
    environment: Mapping[str, str]
    bench: Workbench
    provider: MisbehavingProvider
    postgres: StoppableServer
    mysql: StoppableServer
    api: str
    ui: UserInterface
    hands: dict[str, Callable[[], object]] = field(default_factory=dict)

    @property
    def declaration(self) -> Path:
        return self.project / "vector_pipeline" / "defs" / INDEX / "defs.yaml"

    def add_rows(self, first: int, count: int, words: str = "question") -> None:
        """Numbered rows, each with texts of its own."""
        self.bench.mysql(
            "INSERT INTO tbl_genie_genie (id, genie_question, genie_answer) VALUES (%s, %s, %s)",
            [(n, f"{words} number {n}?", f"answer to {words} {n}") for n in range(first, first + count)],
        )

    @contextmanager
    def a_run_at_work(self, first: int) -> Iterator[None]:
        """New rows, and a run that waits for the provider with them until the block ends."""
        asked = self.provider.stats()["requests"]
        self.provider.delay_seconds = 600.0
        try:
            self.add_rows(first, 20, "at work")
            self.wait_until(lambda: self.provider.stats()["requests"] > asked)
            yield
        finally:
            self.provider.delay_seconds = 0.0

    def declare_price(self, usd_per_million_tokens: float) -> None:
        """Changes the declaration, and has Dagster read it."""
        line = "price_per_million_tokens"
        self.write_declaration(re.sub(f"{line}: .*", f"{line}: {usd_per_million_tokens}", self.declaration.read_text()))
        self.type("vector-pipeline reload")

    def write_declaration(self, text: str) -> None:
        """As an editor does."""
        self.declaration.write_text(text)

    @contextmanager
    def declared_otherwise(self, block: str, lines: Mapping[str, object]) -> Iterator[None]:
        """With these fields more in a block of the declaration, as Dagster knows it, until the block ends."""
        usual = yaml.safe_load(self.declaration.read_text())
        attributes = {**usual["attributes"], block: {**usual["attributes"][block], **lines}}
        try:
            self.write_declaration(yaml.safe_dump({**usual, "attributes": attributes}))
            self.type("vector-pipeline reload")
            yield
        finally:
            self.write_declaration(yaml.safe_dump(usual))
            self.type("vector-pipeline reload")

    def switch_sensor_on(self) -> None:
        """As its switch in the UI does."""
        self.type("dagster sensor start ${INDEX}_reconcile -w workspace.yaml")

    def switch_sensor_off(self) -> None:
        """The same; returns once no tick of it, nor a run, is under way."""
        self.type("dagster sensor stop ${INDEX}_reconcile -w workspace.yaml")
        self.wait_until(self.ui.is_quiet)

    def sync(self) -> None:
        """Returns once the sensor has had all rows synced."""
        [[rows]] = self.bench.mysql("SELECT COUNT(*) FROM tbl_genie_genie")
        with self.bench.index(IndexSpec.model_validate(DECLARED)) as index:

            def is_done() -> bool:
                status = index.status()
                return (status.documents, status.ranges_dirty) == (rows, 0)

            self.wait_until(is_done)

    def launch(self, job: str) -> None:
        """Launches a job, as its page in the UI does, and waits for its end."""
        with DagsterClient(self.environment["VECTOR_PIPELINE_DAGSTER_URL"]) as client:
            run = client.wait(client.launch_job(job).id, COMMAND_SECONDS)
        assert run.finished, run

    @retry(stop=stop_after_delay(COMMAND_SECONDS), wait=wait_fixed(0.2), retry=retry_if_result(lambda done: not done))
    def wait_until(self, what: Callable[[], bool]) -> bool:
        return what()

    def type(self, line: str) -> str:
        """What a line prints, on standard output and standard error, that somebody types in the project's folder."""
        if line in self.hands:
            self.hands[line]()
            return ""
        prelude = "\n".join(command.line for command in block_of("before", "you-begin").commands)
        ended = subprocess.run(
            ["bash", "-c", f"{prelude}\nexport API={self.api}\n{line}"],
            cwd=self.project,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        return ended.stdout


@contextmanager
def site_in(folder: Path, storage: DagsterStorage, postgres_folder: Path | None = None) -> Iterator[Site]:
    """Brings it up; nothing of it outlives the block."""
    project = _project(folder / "project")
    home = new_home_of_processes(project / ".dagster", storage)
    with ExitStack() as running:
        provider = running.enter_context(MisbehavingProvider(dimensions=64))
        postgres, target = running.enter_context(stoppable_postgres(postgres_folder or folder / "postgres"))
        mysql, administrator = running.enter_context(stoppable_mariadb(folder / "mysql"))
        source = replace(administrator, database="knowledge")
        embedding = EmbeddingSettings(provider.url, None, provider.model)
        bench = Workbench(source, target, embedding)
        Workbench(administrator, target).mysql("CREATE DATABASE knowledge CHARACTER SET utf8mb4")
        bench.mysql(TABLE)
        environment = _environment(bench, project, home)
        (project / ".stack").mkdir()
        (project / ".stack" / "environment").write_text(
            "".join(f"{name}={environment[name]}\n" for name in environment if re.match("(DB|PG|PGVECTOR)_", name))
        )
        address = running.enter_context(dagster_dev(project, home, environment))
        more = {
            "PYTHONPATH": str(project),
            "VECTOR_PIPELINE_DAGSTER_URL": address,
            "VECTOR_PIPELINE_TRUSTED_NETWORKS": "127.0.0.1/32=admin",
        }
        served = running.enter_context(serving_process(bench, folder, more=more))
        instance = running.enter_context(dg.DagsterInstance.from_config(str(home)))
        api = str(served.client.base_url).rstrip("/")
        # What else a command needs is set by the page's own first lines.
        shell = {name: environment[name] for name in environment.keys() - {"DAGSTER_HOME", "PATH"}} | {
            "PATH": os.environ["PATH"],
            "VECTOR_PIPELINE_DAGSTER_URL": address,
        }
        yield Site(project, shell, bench, provider, postgres, mysql, api, UserInterface(instance, INDEX))


def _project(folder: Path) -> Path:
    """A project that declares the one index."""
    ignored = shutil.ignore_patterns("__pycache__", "catalog")
    shutil.copytree(PROJECT / "vector_pipeline", folder / "vector_pipeline", ignore=ignored)
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(PROJECT / name, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "vector_pipeline" / "defs" / INDEX / "defs.yaml").write_text(written(DECLARED))
    return folder


def _environment(bench: Workbench, project: Path, home: Path) -> dict[str, str]:
    programs = str(Path(sys.executable).parent)
    return environment_of(bench.settings) | {
        "PATH": os.pathsep.join([programs, str(binaries()), os.environ["PATH"]]),
        "PYTHONPATH": str(project),
        "DAGSTER_HOME": str(home),
        "VECTOR_PIPELINE_STACK": str(project / ".stack"),
        "VECTOR_PIPELINE_REGISTRY_CACHE": str(home / "declared.json"),
        "COLUMNS": "200",
    }
