"""Whoever writes what is no word, name, value, condition, header or path gets a plain answer, changes nothing, and
learns nothing: `vector-pipeline serve` as it is deployed, over real databases, attacked through its real entrances."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from psycopg import sql

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.run_time_indexes import declare_index
from vector_pipeline_tests.conftest import PROJECT, fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.servers import mysql_administrator, postgres
from vector_pipeline_tests.serving.attempts import INDEX, Answered, read_attempts, send_all
from vector_pipeline_tests.serving.serving_process import create_genie, serving_process
from vector_pipeline_tests.workbench import Workbench

# In a column that no index declares, in a table that none is over, in an index that the reader's key is not for, and
# among the variables of the process.
UNDECLARED, UNINDEXED, OTHERS, VARIABLE = "canary-undeclared", "canary-unindexed", "canary-others", "canary-variable"
HIDDEN = "payroll"

ROWS = [
    (1, "Where do I renew my passport?", "At the Immigration office.", "2026-01-02 03:04:05", None, "a1"),
    (2, "When is the library open?", "On workdays.", "2026-02-02 03:04:05", "https://example.org/2", "a2"),
]
# Columns as the conditions name them.
ORDERS = (
    "CREATE TABLE orders (id INT PRIMARY KEY, Status VARCHAR(20), price DECIMAL(10, 2), qty INT, note TEXT, day DATE,"
    " active BOOLEAN, `we``ird` INT, `per%%cent` INT, `select` INT) CHARACTER SET utf8mb4"
)
# Words of programs and databases that no answer needs.
INTERNALS = re.compile(
    r"Traceback|site-packages|\.py\b|psycopg|pymysql|sqlglot|jinja|SELECT |INSERT |UPDATE |FROM information_schema|"
    r"pg_catalog|syntax error|SQL syntax|InternalError|OperationalError|DataError|object at 0x|\b50353\b"
)

# What begins like one and holds nothing that moves the cursor or hides what stands behind it.
LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\d [\d:,]+ (DEBUG|INFO|WARNING) [\w.]+ \[[\w.-]+\] [^\x00-\x1f\x7f-\x9f\u2028-\u202e]*\n"
)


@dataclass(frozen=True)
class Aftermath:
    """What the attempts have led to.

    Attributes:
        secrets: what nobody may learn.
        log: the lines that the service has logged, but for the first, which says where it serves.
        asked_of_dagster: the queries that reached Dagster.
        before, after: all that is in both databases.
        is_alive: the same process answers as before.
    """

    answers: list[Answered]
    secrets: tuple[str, ...]
    log: list[str]
    asked_of_dagster: list[str]
    before: dict[str, object]
    after: dict[str, object]
    is_alive: bool


@pytest.fixture(
    scope="module", params=[pytest.param(20, id="a part"), pytest.param(1, id="all", marks=pytest.mark.long)]
)
def aftermath(
    request: pytest.FixtureRequest,
    mariadb: SourceSettings,
    pg_template: TargetSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("attacked")
    with ExitStack() as closing:
        source = closing.enter_context(fresh_mysql_database(mariadb))
        target = closing.enter_context(fresh_pg_database(pg_template))
        bench = Workbench(source, target)
        _fill(bench)
        with postgres(target) as connection:
            reader = create_key(connection, "reader", [AccessScope.SEARCH, AccessScope.SYNC], [INDEX]).secret
            admin = create_key(connection, "admin", [AccessScope.ADMIN]).secret
        dagster: list[str] = []
        url = closing.enter_context(_dagster(dagster))
        more = {
            "VECTOR_PIPELINE_DAGSTER_URL": url,
            "VECTOR_PIPELINE_LOG_QUERIES": "true",
            "EMBEDDING_API_KEY": VARIABLE,
        }
        before = _everything(bench)
        server = closing.enter_context(serving_process(bench, folder, more=more))
        answers = send_all(server.client, {"reader": reader, "admin": admin}, read_attempts(request.param))
        found = server.client.post("/search", json={"query": "renew a passport"}, headers={"X-API-Key": reader})
        is_alive = server.process.poll() is None and found.json()["total_results"] == 1
        after = _everything(bench)
        server.process.terminate()
        server.process.wait(30)
        log = server.log.read_text().splitlines(keepends=True)
        secrets = (UNDECLARED, UNINDEXED, VARIABLE, source.password, target.password, reader, admin, str(PROJECT))
    yield Aftermath(answers, (*secrets, str(folder)), log[1:], dagster, before, after, is_alive)


def test_there_are_hundreds_of_attempts() -> None:
    attempts = read_attempts()
    assert len({(attempt.about, attempt.content) for attempt in attempts}) > 3000


def test_each_is_answered_plainly(aftermath: Aftermath) -> None:
    wrong = [
        f"{answered.attempt.about}: {answered.status} {answered.text[:300]}"
        for answered in aftermath.answers
        if answered.status not in answered.attempt.expected or not _is_plain(answered)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_answer_tells_what_is_not_the_callers(aftermath: Aftermath) -> None:
    told = [
        f"{answered.attempt.about}: {found!r} in {answered.text[:300]}"
        for answered in aftermath.answers
        for found in _not_to_be_told(answered, aftermath.secrets)
    ]
    assert not told, "\n".join(told)


def test_both_databases_are_as_they_were(aftermath: Aftermath) -> None:
    assert aftermath.after == aftermath.before
    assert len(aftermath.before) > 20


def test_dagster_is_asked_to_do_nothing(aftermath: Aftermath) -> None:
    assert {query.split()[1] for query in aftermath.asked_of_dagster if query.split()[0] == "query"}
    assert [query for query in aftermath.asked_of_dagster if "mutation" in query] == []


def test_the_service_goes_on_and_its_log_can_be_trusted(aftermath: Aftermath) -> None:
    assert aftermath.is_alive
    assert len(aftermath.log) > 500
    assert [secret for secret in aftermath.secrets if secret in "".join(aftermath.log)] == []
    assert [line for line in aftermath.log if not LOG_LINE.fullmatch(line)] == []


def _fill(bench: Workbench) -> None:
    create_genie(bench, ROWS)
    bench.mysql("ALTER TABLE tbl_genie_genie ADD COLUMN internal_note VARCHAR(50)")
    bench.mysql(f"UPDATE tbl_genie_genie SET internal_note = '{UNDECLARED}'")
    bench.mysql(ORDERS)
    bench.mysql(f"INSERT INTO orders (id, note) VALUES (1, '{UNINDEXED}')")
    bench.mysql(f"CREATE TABLE {HIDDEN} (id INT PRIMARY KEY, note TEXT) CHARACTER SET utf8mb4")
    bench.mysql(f"INSERT INTO {HIDDEN} VALUES (1, 'renew my passport: {OTHERS}')")
    hidden = {
        "name": HIDDEN,
        "source": {"table": HIDDEN, "primary_key": "id"},
        "document": {"text": {"note": "note"}},
        "search": {"threshold": -1.0},
    }
    spec = declare_index(IndexSpec.model_validate(hidden), bench.settings, "a test").spec
    bench.sync(spec)


def _is_plain(answered: Answered) -> bool:
    """Whether an answer over MCP is a failure where it must be, and none is of a kind that nobody expects."""
    if "(reference " in answered.text or answered.attempt.path != "/mcp":
        return "(reference " not in answered.text
    if answered.status != 200 or not answered.attempt.must_fail:
        return True
    told = json.loads(answered.text)
    return bool("error" in told or told["result"]["isError"])


def _not_to_be_told(answered: Answered, secrets: tuple[str, ...]) -> list[str]:
    """What the answer tells that nobody may know, or not this caller; what they wrote themselves doesn't count."""
    hidden = (OTHERS, HIDDEN) if answered.attempt.who == "reader" else ()
    sent, told = answered.attempt.sent, answered.text + answered.headers
    found = [secret for secret in (*secrets, *hidden) if secret and secret in told and secret not in sent]
    found += [word for word in INTERNALS.findall(told) if word.strip() not in sent]
    return found + [name for name in ("set-cookie", "injected:") if name in answered.headers.lower()]


def _everything(bench: Workbench) -> dict[str, object]:
    """The rows of all tables, as counts and digests, and what else there is in both databases and servers."""
    found: dict[str, object] = {}
    with postgres(bench.target) as connection:
        for schema, table in connection.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
        ).fetchall():
            # When a key was last used is noted, as it should be.
            statement = sql.SQL(
                "SELECT count(*), md5(string_agg(r, '' ORDER BY r)) FROM (SELECT (to_jsonb(t) - "
                "'last_used_at')::text r FROM {} t) rows"
            ).format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = connection.execute(statement).fetchone()
        for what, query in {
            "roles": "SELECT rolname, rolsuper, rolcanlogin FROM pg_roles ORDER BY 1",
            "relations": "SELECT oid, relname, relkind FROM pg_class WHERE oid >= 16384 ORDER BY 1",
            "functions": "SELECT oid, proname FROM pg_proc WHERE oid >= 16384 ORDER BY 1",
            "databases": "SELECT datname FROM pg_database ORDER BY 1",
            "settings": "SELECT name, setting FROM pg_settings WHERE source <> 'client' ORDER BY 1",
        }.items():
            found[what] = connection.execute(query.encode()).fetchall()
    tables = [name for (name,) in bench.mysql("SHOW TABLES")]
    found["MySQL's tables"] = sorted(tables)
    found["MySQL's rows"] = bench.mysql(f"CHECKSUM TABLE {', '.join(f'`{name}`' for name in sorted(tables))}")
    with mysql_administrator(bench.source) as server, server.cursor() as cursor:
        for what, query in {
            "MySQL's databases": "SHOW DATABASES",
            "MySQL's accounts": "SELECT user, host FROM mysql.user ORDER BY 1, 2",
            "MySQL's routines": "SELECT routine_schema, routine_name FROM information_schema.routines ORDER BY 1, 2",
            "MySQL's variables": "SHOW GLOBAL VARIABLES WHERE variable_name IN ('general_log', 'read_only')",
        }.items():
            cursor.execute(query)
            found[what] = cursor.fetchall()
    return found


@contextmanager
def _dagster(asked: list[str]) -> Iterator[str]:
    """A server in Dagster's place that has no runs, and takes down what it is asked: an index is only made where
    Dagster is there."""
    nothing = {
        "version": "1.13.0",
        "runOrError": {"__typename": "RunNotFoundError", "message": "there is none"},
        "runsOrError": {"__typename": "Runs", "results": []},
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["query"]
            asked.append(query)
            data = {name: answer for name, answer in nothing.items() if name in query}
            told = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
