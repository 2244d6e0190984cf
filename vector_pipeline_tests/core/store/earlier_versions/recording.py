"""Makes a database with the code of an earlier commit and keeps it here:

    python -m vector_pipeline_tests.core.store.earlier_versions.recording COMMIT…

Once for each version of our tables, before the next is released; docs/release.md says when.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.embedded.postgres import binaries
from vector_pipeline.embedded.stack import StackAddresses, temporary_stack
from vector_pipeline_tests.components.declared import written
from vector_pipeline_tests.conftest import PROJECT, fresh_mysql_database
from vector_pipeline_tests.core.store.earlier_versions import CHANGED, DELETED, DIMENSIONS, QUERY, ROWS, Recorded
from vector_pipeline_tests.provider_process import provider_process
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Workbench

_FIRST_WITH_GENERATIONS = 4
DECLARATION: dict[str, Any] = {
    "name": "faq",
    "source": {"table": "faq", "primary_key": "id"},
    "document": {"text": {"question": "question", "answer": "answer"}, "metadata": {"link": "link", "asked": "asked"}},
    "search": {"threshold": -1.0},
    "range_size": 5,
}
# Does without what pg_dump says to psql alone, and without what the database has from its template.
_NOT_SQL = re.compile(r"^(\\|--|(CREATE|COMMENT ON) EXTENSION)")


# One process for all commands, since loading Dagster takes most of the time of each.
_COMMANDS = """
import contextlib, io, json, sys, traceback
from vector_pipeline.cli import main
for line in sys.stdin:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            status = main(json.loads(line), standalone_mode=False)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        status = traceback.format_exc()
    print(json.dumps({"status": status or 0, "said": said.getvalue()}), flush=True)
"""


class Earlier:
    """The code of an earlier commit over databases of its own."""

    def __init__(self, project: Path, environment: dict[str, str]) -> None:
        self.project = project
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMANDS],
            cwd=project,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def declare(self, declaration: dict[str, Any]) -> None:
        folder = self.project / "vector_pipeline" / "defs" / "faq"
        folder.mkdir(exist_ok=True)
        (folder / "defs.yaml").write_text(written(declaration))

    def call(self, *arguments: str) -> str:
        """What the command prints; it must end well."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if answer["status"] != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {answer['status']}\n{answer['said'][-2000:]}")
        return str(answer["said"])

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def record(commit: str, stack: StackAddresses, provider_url: str) -> Recorded:
    """Has the earlier code sync an index, lets rows change, and keeps what is in PostgreSQL then."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        assert stack.source_administrator is not None
        source = closing.enter_context(fresh_mysql_database(stack.source_administrator))
        target = closing.enter_context(_empty_database(stack.target, f"recorded_{commit}"))
        workbench = Workbench(source, target)
        earlier = Earlier(_checked_out(commit, folder), _environment(workbench, provider_url, folder))
        closing.callback(earlier.end)
        workbench.create_faq()
        insert_rows(workbench)
        earlier.declare(DECLARATION)
        earlier.call("sync", "faq")
        change_rows(workbench)
        earlier.call("sync", "faq")
        [(version,)] = workbench.postgres("SELECT max(version) FROM vector_pipeline.schema_version")
        declaration = DECLARATION
        if version >= _FIRST_WITH_GENERATIONS:
            declaration = {**DECLARATION, "embedding": {"strategy": "concat"}}
            earlier.declare(declaration)
            earlier.call("sync", "faq")
        hits = json.loads(earlier.call("search", "faq", QUERY, "--limit", "5", "--json"))["hits"]
        found = [(str(hit["key"]), float(hit["score"])) for hit in hits]
        recorded = Recorded(version, commit, declaration, found)
        recorded.write(_dump(target))
        return recorded


def insert_rows(workbench: Workbench) -> None:
    """The rows as they were first."""
    workbench.mysql(
        "INSERT INTO faq VALUES (%s, %s, %s, 'https://example.org', '2026-01-02 03:04:05')", [list(row) for row in ROWS]
    )


def change_rows(workbench: Workbench) -> None:
    """What happens to them between the first sync and the second."""
    key, question, answer = CHANGED
    workbench.mysql("UPDATE faq SET question = %s, answer = %s WHERE id = %s", [[question, answer, key]])
    workbench.mysql("DELETE FROM faq WHERE id = %s", [[DELETED]])


def _checked_out(commit: str, folder: Path) -> Path:
    project = folder / "project"
    project.mkdir()
    wanted = ["vector_pipeline", "pyproject.toml", "dagster.yaml", "workspace.yaml"]
    known = subprocess.run(
        ["git", "ls-tree", "--name-only", commit], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    names = [name for name in wanted if name in known.stdout.splitlines()]
    packed = subprocess.run(["git", "archive", commit, *names], cwd=PROJECT, check=True, capture_output=True)
    subprocess.run(["tar", "x"], cwd=project, input=packed.stdout, check=True)
    for declared in (project / "vector_pipeline" / "defs").glob("*/defs.yaml"):
        declared.unlink()
    return project


def _environment(workbench: Workbench, provider_url: str, folder: Path) -> dict[str, str]:
    source, target = workbench.source, workbench.target
    (folder / "home").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(folder / "project"),
        "DAGSTER_HOME": str(folder / "home"),
        "DB_HOST": source.host,
        "DB_PORT": str(source.port),
        "DB_USER": source.user,
        "DB_PASSWORD": source.password,
        "DB_NAME": source.database,
        "PG_HOST": target.host,
        "PG_PORT": str(target.port),
        "PG_USER": target.user,
        "PG_PASSWORD": target.password,
        "PGVECTOR_DB_NAME": target.database,
        "EMBEDDING_MODEL_HOST": provider_url,
        "EMBEDDING_MODEL_NAME": "misbehaving-1",
    }


@contextmanager
def _empty_database(server: TargetSettings, name: str) -> Iterator[TargetSettings]:
    target = replace(server, database=name)
    with postgres(server) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    with postgres(target) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield target


def _dump(target: TargetSettings) -> str:
    command = [binaries() / "pg_dump", "--inserts", "--rows-per-insert=50", "--no-owner", "--no-privileges"]
    where = ["-h", target.host, "-p", str(target.port), "-U", target.user, "-d", target.database]
    environment = {**os.environ, "PGPASSWORD": target.password}
    dumped = subprocess.run([*command, *where], env=environment, check=True, capture_output=True, text=True).stdout
    lines = [line for line in dumped.splitlines() if line.strip() and not _NOT_SQL.match(line)]
    return "\n".join(lines) + "\n"


def main(commits: list[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        temporary_stack(Path(folder) / "stack", progress=print) as stack,
        provider_process(DIMENSIONS) as provider,
    ):
        for commit in commits:
            recorded = record(commit, stack, provider.url)
            print(f"version {recorded.version} of {commit}: {recorded.hits}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
