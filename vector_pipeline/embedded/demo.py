"""The demo: the main job end to end on real parts, told step by step.

The embedded stack comes up, real rows are synced through the Dagster assets, a search answers, three rows change, the
change is found by digests alone and synced, and the proof of parity is printed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from rich.console import Console

from vector_pipeline import display
from vector_pipeline.core.index import open_index
from vector_pipeline.core.settings import Settings, read_settings
from vector_pipeline.declarations import Declaration, find_declaration
from vector_pipeline.embedded import demo_rows, stack
from vector_pipeline.local_instance import ensure_dagster_home
from vector_pipeline.project_folder import OWN_DEFS, is_clone

INDEX = "genie_documents"
QUESTIONS = ("Which function opens a web page in the browser?", "How can a password be read without showing it?")


def run_demo(console: Console) -> int:
    """Runs the demo. Returns 0 if the proof of parity says equal, else 1."""
    ensure_dagster_home()
    parts = bring_up(console)
    settings = parts.settings
    declaration = find_declaration(INDEX, OWN_DEFS)
    _title(console, "Sync: MySQL rows → documents → embeddings → search index, as Dagster runs")
    _sync(console, declaration)
    _title(console, "Search")
    for question in QUESTIONS:
        _search(console, declaration, settings, question, limit=2)
    if parts.rows_are_ours:
        _title(console, "Three rows change in MySQL: one inserted, one updated, one deleted")
        question = _change_three_rows(settings)
        _sync(console, declaration)
        _search(console, declaration, settings, question, limit=1)
    else:
        _title(console, "The MySQL that the environment names is yours: no row of it is changed")
    _title(console, "Proof of parity: MySQL's digests against digests of what PostgreSQL stores")
    with open_index(declaration.spec, settings, origin=declaration.origin) as index:
        report = index.verify()
    console.print(display.parity_report(report))
    go_on = ("make dev", ".venv/bin/vector-pipeline") if is_clone() else ("vector-pipeline dev", "vector-pipeline")
    console.print(f"\nGo on with: {go_on[0]} (the Dagster UI), or {go_on[1]} --help")
    return 0 if report.equal else 1


@dataclass(frozen=True)
class DemoParts:
    """What the demo runs on. `rows_are_ours`: the table is the demo's own, not one on a server of the user's."""

    settings: Settings
    rows_are_ours: bool


def bring_up(console: Console) -> DemoParts:
    """Starts the stack, points this process at it, and fills the demo's table where it is empty. A PostgreSQL that the
    environment names is left alone: the demo writes into one of its own."""
    _title(console, "Real servers on private ports: MariaDB and PostgreSQL with pgvector")
    folder = stack.default_folder()
    if stack.named_servers(folder).postgres:
        console.print(f"PostgreSQL at {os.environ['PG_HOST']} is left alone: the demo has its own", highlight=False)
    addresses = stack.up(folder, progress=lambda line: console.print(line, highlight=False))
    os.environ.update(addresses.environment())
    return _with_rows(console, addresses)


def bring_up_what_is_not_named(console: Console) -> bool:
    """Points this process at the servers that the environment names, and at the stack for those that it leaves out.
    Fills the demo's table where it is the stack's and empty.

    Returns:
        Whether the stack is up for it.

    Raises:
        ConfigurationError: a server is named, and a variable missing beside its host.
    """
    folder = stack.default_folder()
    named = stack.named_servers(folder)
    of_environment = [
        f"{name} at {os.environ[host]}"
        for name, host, is_named in (("MySQL", "DB_HOST", named.mysql), ("PostgreSQL", "PG_HOST", named.postgres))
        if is_named
    ]
    if of_environment:
        _title(console, f"As the environment says: {', '.join(of_environment)}")
    if len(of_environment) == 2:
        read_settings()
        return False
    missing = "MariaDB" if named.postgres else "PostgreSQL with pgvector" if named.mysql else "MariaDB and PostgreSQL"
    _title(console, f"Embedded, on private ports: {missing}")
    addresses = stack.up(folder, progress=lambda line: console.print(line, highlight=False))
    os.environ.update(addresses.environment_besides(named))
    _with_rows(console, addresses)
    return True


def _with_rows(console: Console, addresses: stack.StackAddresses) -> DemoParts:
    settings = read_settings()
    rows_are_ours = addresses.source_administrator is not None
    if rows_are_ours:
        _title(console, "Real rows: the documentation of Python's standard library")
        with demo_rows.connect(settings.source) as connection:
            loaded = demo_rows.load(connection)
        console.print(f"{loaded} rows loaded into tbl_genie_genie" if loaded else "they are there already")
    return DemoParts(settings, rows_are_ours)


def _sync(console: Console, declaration: Declaration) -> None:
    from vector_pipeline.orchestration.in_process import sync_in_process  # noqa: PLC0415 - loads Dagster: seconds

    console.print(display.sync_report(sync_in_process(declaration)))


def _search(console: Console, declaration: Declaration, settings: Settings, question: str, limit: int) -> None:
    console.print(f"\n[bold]{question}[/]")
    with open_index(declaration.spec, settings, origin=declaration.origin) as index:
        console.print(display.search_answer(index.search(question, limit=limit)))


def _change_three_rows(settings: Settings) -> str:
    """Changes rows that are not the same at each run of the demo. Returns the new row's question."""
    with demo_rows.connect(settings.source) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COALESCE(MAX(id), 0) + 1 FROM tbl_genie_genie")
        row = cursor.fetchone()
        assert row is not None
        question = f"Where do I renew my passport? (demo row {row[0]})"
        cursor.execute(
            "INSERT INTO tbl_genie_genie (genie_question, genie_answer, genie_questiondate) VALUES (%s, %s, NOW())",
            (question, "At any Immigration office, or online with your MyKad and the old passport."),
        )
        cursor.execute(
            "UPDATE tbl_genie_genie SET genie_answer = CONCAT(genie_answer, ' (corrected)') ORDER BY id LIMIT 1"
        )
        cursor.execute(_DELETE_A_MIDDLE_ROW)
        connection.commit()
    return question


_DELETE_A_MIDDLE_ROW = (
    "DELETE FROM tbl_genie_genie WHERE id >= (SELECT middle FROM"
    " (SELECT FLOOR(AVG(id)) AS middle FROM tbl_genie_genie) m) ORDER BY id LIMIT 1"
)


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold cyan]── {text}[/]", highlight=False)
