"""`python -m vector_pipeline_tests.deployment.one_host FOLDER [IMAGE]`: what compose.yaml says, as plain processes.

It runs in network, process and mount namespaces of its own: so services have the ports and the names that the file
gives them, nobody else meets them, and nothing outlives it. The embedded servers stand for MySQL's and PostgreSQL's
images, and are set up by the scripts that those images would run. The services of ours run with their command, their
variables and their secrets, in the order that `depends_on` asks for, and health is asked as the container's would be.

With IMAGE, the root of an image's files, they run in it: as its user, with a root that is read-only where the file says
so, and with the mounts of the file. Without, they run in this environment.

It prints what happened as JSON, for the test to judge.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import pymysql
from pymysql.constants import CLIENT

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.embedded import demo_rows, stack
from vector_pipeline.embedded.folder import ServerState, StackFolder, StackState
from vector_pipeline.embedded.mariadb import MariaDBServer
from vector_pipeline.embedded.postgres import PostgresServer, binaries
from vector_pipeline.project_folder import OWN_DEFS
from vector_pipeline_tests.deployment.behind_the_proxy import API, UI, statuses_behind_the_proxy
from vector_pipeline_tests.deployment.compose_file import COMPOSE, DOCKER, Service, read_services

PROJECT = DOCKER.parent
GATEWAY = "172.30.57.1"
ROWS = 300
QUESTION = "Which function has something executed when the program terminates?"
# Other names than the defaults, so that whatever is not taken from .env fails.
NAMES = {
    "DB_USER": "reader",
    "DB_NAME": "shop",
    "PG_USER": "keeper",
    "PGVECTOR_DB_NAME": "vectors",
    "PG_DB_NAME": "runs",
    "SIMILARITY_THRESHOLD": "0.2",
}
_HEALTHY_SECONDS = 180
_SYNCED_SECONDS = 240


@dataclass
class Story:
    """What happened."""

    started: list[str] = field(default_factory=list)
    healthy: list[str] = field(default_factory=list)
    prepared: str = ""
    refused_elsewhere: int = 0
    synced: dict[str, object] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    found_after_a_change: list[str] = field(default_factory=list)
    verified: dict[str, object] = field(default_factory=dict)
    killed_run: str = ""
    synced_after_it: str = ""
    behind_the_proxy: dict[str, int] | None = None
    stopped: dict[str, int] = field(default_factory=dict)


class Place(Protocol):
    """Where the processes of our services run."""

    def arguments(self, service: Service, command: list[str], variables: dict[str, str]) -> list[str]:
        """The command as this host has to start it."""
        ...


@dataclass(frozen=True)
class ThisEnvironment:
    """The Python that runs this, and the folders of this host, in place of the image's."""

    folder: Path

    def arguments(self, service: Service, command: list[str], variables: dict[str, str]) -> list[str]:
        own = self.folder / service.name
        own.mkdir(exist_ok=True)
        places = {
            "/opt/vector-pipeline/defs": str(self._indexes(service, own)),
            "/opt/dagster": str(self.folder / "dagster"),
            "/run/secrets": str(self.folder / "secrets"),
            "/var/lib/vector-pipeline": str(own),
            "/opt/venv/bin": str(Path(sys.executable).parent),
        }
        set_here = {name: _replaced(value, places) for name, value in variables.items()}
        set_here["PYTHONPATH"] = str(PROJECT)
        here = ["env", "-i", f"--chdir={own}", *(f"{name}={value}" for name, value in set_here.items())]
        return [*here, *(_replaced(word, places) for word in command)]

    @staticmethod
    def _indexes(service: Service, own: Path) -> Path:
        """The declared indexes of an image, and those that the compose file mounts among them."""
        folder = own / "defs"
        mounted = [volume for volume in service.list_of("volumes") if isinstance(volume, dict)]
        sources = {"catalog": OWN_DEFS / "catalog"}
        sources |= {Path(volume["target"]).name: (DOCKER / volume["source"]).resolve() for volume in mounted}
        for name, source in sources.items():
            shutil.copytree(source, folder / name, dirs_exist_ok=True)
        return folder


@dataclass(frozen=True)
class Image:
    """The files of an image, and the mounts that the compose file gives a service."""

    folder: Path
    root: Path

    def arguments(self, service: Service, command: list[str], variables: dict[str, str]) -> list[str]:
        assert service.stage is not None
        read_only = "remount,bind,ro" if service.written.get("read_only") else "remount,bind"
        script = [f"mount --bind {self.root} {self.root}; mount -o {read_only} {self.root}; cd {self.root}"]
        # What an engine mounts by itself.
        script += ["mount -t proc proc proc", "mount --rbind /dev dev", "mount -t tmpfs tmpfs run; mkdir run/secrets"]
        script += [f"mount --bind {self.folder}/hosts etc/hosts"]
        script += [f"mount -t tmpfs -o mode=1777 tmpfs .{place}" for place in service.list_of("tmpfs")]
        for secret in service.list_of("secrets"):
            script += [f"touch run/secrets/{secret}; mount --bind {self.folder}/secrets/{secret} run/secrets/{secret}"]
        for volume in service.list_of("volumes"):
            script += [self._mounted(volume, service.stage.user)]
        inside = ["chroot", f"--userspec={service.stage.user}", ".", "env", "-i", f"--chdir={service.stage.folder}"]
        named = [f"{name}={value}" for name, value in variables.items()]
        return ["unshare", "--mount", "sh", "-ec", "; ".join(script) + '; exec "$@"', "sh", *inside, *named, *command]

    def _mounted(self, volume: object, user: str) -> str:
        if isinstance(volume, dict):
            source = (DOCKER / str(volume["source"])).resolve()
            return f"mount --bind {source} .{volume['target']}"
        name, target = str(volume).split(":")
        kept = self.folder / name
        return f"mkdir -p {kept}; chown {user} {kept}; mount --bind {kept} .{target}"


class Host:
    """The services of a compose file as processes."""

    def __init__(self, services: dict[str, Service], folder: Path, place: Place, story: Story) -> None:
        self.services, self.folder, self.place, self.story = services, folder, place, story
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def up(self, name: str) -> None:
        """Starts a service once what it waits for is as it should be."""
        service = self.services[name]
        for other, condition in service.waits_for.items():
            if other not in self.story.started:
                self.up(other)
            if condition == "service_healthy":
                self.wait_until_healthy(other)
            else:
                assert self.processes[other].wait(_HEALTHY_SECONDS) == 0, self.log(other)
        self.story.started.append(name)
        self.start(name)

    def start(self, name: str) -> None:
        """Starts it, whatever it waits for."""
        service = self.services[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            command = self.place.arguments(service, service.command, self.variables(service))
            # A shell that has put this test into the background has it ignore SIGINT, which Dagster then does with
            # SIGTERM too: an engine's processes begin with signals as they are by default.
            self.processes[name] = subprocess.Popen(
                ["env", "--default-signal", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def variables(self, service: Service) -> dict[str, str]:
        """Those of the container: `.env` first, which `environment` wins over."""
        return {**NAMES, **service.environment}

    def wait_until_healthy(self, name: str) -> None:
        if name not in self.story.healthy:
            self._wait_for_health_of(name)
            self.story.healthy.append(name)

    def _wait_for_health_of(self, name: str) -> None:
        deadline = time.monotonic() + _HEALTHY_SECONDS
        while not self.is_healthy(name):
            process = self.processes.get(name)
            assert process is None or process.poll() is None, f"{name} has ended: {self.log(name)}"
            assert time.monotonic() < deadline, f"{name} does not get healthy: {self.log(name)}"
            time.sleep(0.5)

    def is_healthy(self, name: str) -> bool:
        """Asks as the container would: with its variables, and not by way of its entrypoint."""
        service = self.services[name]
        program = _found(service.health[0]) if service.stage is None else service.health[0]
        if program is None:  # the stand-in for MySQL's image may come without its client
            with suppress(OSError), socket.create_connection((name, 3306), 5):
                return True
            return False
        return self.execute(service, [program, *service.health[1:]]).returncode == 0

    def execute(self, service: Service, command: list[str]) -> subprocess.CompletedProcess[str]:
        """As `docker compose exec` does."""
        if service.stage is not None:
            command = self.place.arguments(service, command, self.variables(service))
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-6000:]

    def restart_after_kill(self, name: str) -> None:
        """As an engine does whose kernel has killed the container."""
        os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()
        self.start(name)
        self._wait_for_health_of(name)

    def stop(self, name: str) -> int:
        """Asks a service to end as an engine does.

        Returns:
            Its exit status; -9 if it took longer than it may.
        """
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(self.services[name].stop_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def tell(folder: Path, image: Path | None) -> Story:
    """Brings all of it up, does the demo's job, and stops it."""
    story = Story()
    variables = {**NAMES, "SECRETS": str(folder / "secrets")}
    services = read_services(variables)
    _network(folder, services)
    with _databases(folder, services) as root:
        place: Place = Image(folder, image) if image else ThisEnvironment(folder)
        _dagster_home(folder)
        host = Host(services, folder, place, story)
        story.started += ["mysql", "postgres"]
        host.up("demo-rows")
        assert host.processes["demo-rows"].wait(120) == 0, host.log("demo-rows")
        with demo_rows.connect(root) as connection, connection.cursor() as cursor:
            cursor.execute(f"DELETE FROM {demo_rows.TABLE} WHERE id > {ROWS}")
            connection.commit()
        ours = [name for name, service in services.items() if service.health and service.stage]
        for name in ours:
            if name not in story.started:
                host.up(name)
        for name in ours:
            host.wait_until_healthy(name)
        story.prepared = host.log("prepare")
        _demo_job(host, root, story)
        _kill_a_run(host, root, story)
        made = host.execute(
            services["api"], ["vector-pipeline", "keys", "create", "first", "--scope", "search", "--json"]
        )
        story.behind_the_proxy = statuses_behind_the_proxy(folder, json.loads(made.stdout)["secret"])
        for name in reversed(ours):
            story.stopped[name] = host.stop(name)
    return story


def _demo_job(host: Host, root: SourceSettings, story: Story) -> None:
    with httpx.Client(base_url="http://127.0.0.1:5000") as stranger:
        story.refused_elsewhere = stranger.post("/search", json={"query": QUESTION}).status_code
    # As the host is seen by a container through a published port.
    transport = httpx.HTTPTransport(local_address=GATEWAY)
    with httpx.Client(base_url="http://127.0.0.1:5000", transport=transport, timeout=120) as client:
        story.synced = client.post("/documents/sync-embeddings", json={}).raise_for_status().json()
        story.found = _until(lambda: _search(client, QUESTION), host)
        question = "Where do I renew my passport?"
        with demo_rows.connect(root) as connection, connection.cursor() as cursor:
            answer = "At any Immigration office, or online."
            cursor.execute(
                f"INSERT INTO {demo_rows.TABLE} (genie_question, genie_answer) VALUES (%s, %s)", (question, answer)
            )
            connection.commit()
        # Nobody asks for a sync now: sensor, queue and launcher see to it.
        story.found_after_a_change = _until(lambda: [one for one in _search(client, question) if one == question], host)
    verified = host.execute(host.services["api"], ["vector-pipeline", "verify", "genie_documents", "--json"])
    assert verified.stdout, verified.stderr
    story.verified = json.loads(verified.stdout)


def _kill_a_run(host: Host, root: SourceSettings, story: Story) -> None:
    """The container of the code location ends while a run reads the table."""
    with demo_rows.connect(root) as connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as others:
        cursor.execute(f"LOCK TABLES {demo_rows.TABLE} WRITE")
        transport = httpx.HTTPTransport(local_address=GATEWAY)
        with httpx.Client(base_url="http://127.0.0.1:5000", transport=transport, timeout=120) as client:
            asked = others.submit(client.post, "/documents/sync-embeddings", json={})
            [killed] = _until(lambda: _runs("statuses: [STARTED]", "runId"), host)
            host.restart_after_kill("code")
            cursor.execute("UNLOCK TABLES")
            asked.result()
            [story.killed_run] = _until(lambda: _runs(f'runIds: ["{killed}"], statuses: [FAILURE]', "status"), host)
            [story.synced_after_it] = _until(lambda: _synced(client), host)


def _synced(client: httpx.Client) -> list[str]:
    """How a sync went; empty while none can be started, since the webserver has not found the code location again."""
    answer = client.post("/documents/sync-embeddings", json={}).json()
    if "reference" in answer:
        return []
    return [answer.get("status") or str(answer)]


def _runs(condition: str, field_of_a_run: str) -> list[str]:
    query = f"{{ runsOrError(filter: {{{condition}}}) {{ ... on Runs {{ results {{ {field_of_a_run} }} }} }} }}"
    answer = httpx.post("http://127.0.0.1:3000/graphql", json={"query": query}, timeout=30).raise_for_status().json()
    return [run[field_of_a_run] for run in answer["data"]["runsOrError"]["results"]]


def _search(client: httpx.Client, question: str) -> list[str]:
    answer = client.post("/search", json={"query": question, "limit": 5})
    return [found["question"] for found in answer.json().get("results", [])] if answer.is_success else []


def _until(found: Callable[[], list[str]], host: Host) -> list[str]:
    deadline = time.monotonic() + _SYNCED_SECONDS
    while not (hits := found()):
        logs = "\n".join(f"--- {name}\n{host.log(name)}" for name in host.processes)
        assert time.monotonic() < deadline, f"nothing found:\n{logs}"
        time.sleep(1)
    return hits


def _network(folder: Path, services: dict[str, Service]) -> None:
    """Every service by its name, and this host as a container sees it."""
    (folder / "hosts").write_text(f"127.0.0.1 localhost {' '.join([*services, UI, API])}\n")
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{GATEWAY}/32", "dev", "lo"],
        ["mount", "--bind", str(folder / "hosts"), "/etc/hosts"],
    ):
        subprocess.run(command, check=True)


@contextmanager
def _databases(folder: Path, services: dict[str, Service]) -> Iterator[SourceSettings]:
    """The embedded servers at the ports of the file, set up by the scripts that their images run.

    Yields:
        The account of MySQL that may do anything.
    """
    embedded = StackFolder(folder / "stack")
    embedded.create()
    ports = {MariaDBServer.name: ServerState(3306), PostgresServer.name: ServerState(5432)}
    embedded.write_state(StackState(pid=0, message="", servers=ports))
    addresses = stack.up(embedded.path, with_mysql=True, progress=lambda _: None)
    root = addresses.source_administrator
    assert root is not None
    secrets = folder / "secrets"
    secrets.mkdir()
    (secrets / "mysql_root_password").write_text(root.password)
    subprocess.run([DOCKER / "make-secrets", secrets], check=True, stdout=subprocess.DEVNULL)
    with pymysql.connect(host="127.0.0.1", port=3306, user="root", password=root.password) as connection:
        connection.cursor().execute(f"CREATE DATABASE {NAMES['DB_NAME']} CHARACTER SET utf8mb4")
    _run_scripts(folder, services["mysql"], {"ROOT_PASSWORD": root.password})
    target = addresses.target
    reached = {"PGHOST": target.host, "PGPORT": "5432", "PGPASSWORD": target.password, "POSTGRES_USER": target.user}
    _run_scripts(folder, services["postgres"], reached)
    try:
        yield SourceSettings("127.0.0.1", 3306, "root", root.password, NAMES["DB_NAME"])
    finally:
        stack.down(embedded.path)


# What the image of MySQL offers to scripts.
_MYSQL_OFFERS = """
docker_process_sql() { "$PYTHON" -m vector_pipeline_tests.deployment.one_host --sql; }
"""


def _run_scripts(folder: Path, service: Service, more: dict[str, str]) -> None:
    places = {"/run/secrets": str(folder / "secrets")}
    variables = {name: _replaced(value, places) for name, value in service.environment.items()}
    variables |= {"PATH": f"{binaries()}:{os.environ['PATH']}", "PYTHON": sys.executable, "PYTHONPATH": str(PROJECT)}
    mounted = {place: source for source, place, *_ in (one.split(":") for one in service.list_of("volumes"))}
    variables["SQL"] = str((COMPOSE.parent / mounted["/sql"]).resolve())
    for script in sorted((COMPOSE.parent / mounted["/docker-entrypoint-initdb.d"]).iterdir()):
        subprocess.run(["bash", "-ec", f"{_MYSQL_OFFERS} . {script}"], env=variables | more, check=True)


def _execute_sql() -> None:
    flags = CLIENT.MULTI_STATEMENTS
    password = os.environ["ROOT_PASSWORD"]
    with pymysql.connect(host="127.0.0.1", user="root", password=password, client_flag=flags) as connection:
        cursor = connection.cursor()
        cursor.execute(sys.stdin.read())
        while cursor.nextset():
            pass


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{binaries()}:{os.environ['PATH']}")


def _dagster_home(folder: Path) -> None:
    (folder / "dagster").mkdir()
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(DOCKER / name, folder / "dagster")


def _replaced(text: str, places: dict[str, str]) -> str:
    for of_the_image, here in places.items():
        text = text.replace(of_the_image, here)
    return text


if __name__ == "__main__":
    if sys.argv[1] == "--sql":
        _execute_sql()
    else:
        told = tell(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
        print(json.dumps(asdict(told)))
