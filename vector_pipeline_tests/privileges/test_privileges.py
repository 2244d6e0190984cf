"""Everything works with exactly the privileges that sql/ gives; with one fewer the error says which is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg
import psycopg
import pymysql
import pytest

from vector_pipeline.core.errors import IndexSpecError, TargetRefusedError, TargetUnavailableError
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store.api_keys import AccessScope, create_key, list_keys, note_use
from vector_pipeline.core.store.schema import create_registry
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.conftest import fresh_pg_database
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.privileges.accounts import account, role, run_in_psql
from vector_pipeline_tests.servers import mysql_administrator, postgres
from vector_pipeline_tests.serving.serving import live_server
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


@pytest.fixture
def provider() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=8) as server:
        yield server


@pytest.fixture
def writer(bare_pg_database: TargetSettings) -> Iterator[TargetSettings]:
    """The role of writer.sql in a database in which a superuser has made the extension."""
    with role(bare_pg_database) as writer:
        run_in_psql(bare_pg_database, "extension.sql")
        run_in_psql(bare_pg_database, "writer.sql", role=writer.user)
        yield writer


@pytest.fixture
def full(mysql_database: SourceSettings, writer: TargetSettings, provider: MisbehavingProvider) -> Workbench:
    """Writes the table as somebody who may do anything to it; PostgreSQL as the writer."""
    bench = Workbench(mysql_database, writer, EmbeddingSettings(host=provider.url, model="numbers"))
    bench.create_faq(rows=20)
    return bench


@pytest.fixture
def least(full: Workbench) -> Iterator[Workbench]:
    """Both sides with the least privileges."""
    with account(full.source, "reader.sql") as reader:
        yield replace(full, source=reader)


def spec(name: str = "faq", **changes: object) -> IndexSpec:
    return question_only(name=name, search={"threshold": -1.0, "ann_from_vectors": 1}, **changes)


def test_an_index_is_made_synced_searched_kept_and_removed(least: Workbench, full: Workbench) -> None:
    with least.index(spec()) as index:
        assert sync_all(index).inserted == 20
        index.refresh_search_index()
        assert index.verify().equal
        assert index.search("question number 7?").hits[0].key == "7"
        assert (index.look_at_tables().findings, index.look_at_graphs().findings) == ((), ())
    full.mysql("UPDATE faq SET question = 'changed' WHERE id = 3")
    full.mysql("DELETE FROM faq WHERE id = 4")
    another = spec(document={"text": {"question": "question", "answer": "answer"}})
    with least.index(another) as index:
        sync_all(index)
        index.build_next_generation()
    with least.index(another) as index:
        assert index.served_generation() == 2
        sync_all(index)
        index.refresh_search_index()
        assert index.verify().equal
        index.drop()
    assert least.postgres("SELECT to_regnamespace('faq')") == [(None,)]


def test_the_reader_may_change_nothing(least: Workbench) -> None:
    for statement in ("DELETE FROM faq", "CREATE TEMPORARY TABLE t (id INT)", "LOCK TABLES faq READ"):
        with pytest.raises(pymysql.MySQLError, match="denied"):
            least.mysql(statement)
    with pytest.raises(pymysql.MySQLError, match="denied"):
        least.mysql("SELECT * FROM mysql.user")


def test_the_reader_reads_no_database_whose_name_differs_where_an_underscore_is(mysql_database: SourceSettings) -> None:
    other = mysql_database.database.replace("_", "x")
    assert other != mysql_database.database
    with mysql_administrator(mysql_database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {other}")
        try:
            with account(mysql_database, "reader.sql") as reader, mysql_administrator(reader) as session:
                session.select_db(mysql_database.database)
                with pytest.raises(pymysql.OperationalError, match="denied"):
                    session.select_db(other)
        finally:
            cursor.execute(f"DROP DATABASE {other}")


def test_the_scripts_give_what_the_binary_log_takes(mysql_database: SourceSettings) -> None:
    with (
        account(mysql_database, "reader.sql", "binlog.sql") as reader,
        mysql_administrator(reader) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SHOW MASTER STATUS")
        cursor.execute("SHOW GRANTS")
        granted = " ".join(row[0] for row in cursor.fetchall())
    assert "REPLICATION SLAVE" in granted


def test_a_table_that_may_not_be_read_is_named(full: Workbench) -> None:
    full.sync(spec())
    with account(full.source, "reader.sql") as reader:
        with mysql_administrator(full.source) as connection, connection.cursor() as cursor:
            granted = full.source.database.replace("_", r"\_")
            cursor.execute(f"REVOKE SELECT ON `{granted}`.* FROM {reader.user}@'%'")
            cursor.execute(f"CREATE TABLE {full.source.database}.other (id INT)")
            cursor.execute(f"GRANT SELECT ON {full.source.database}.other TO {reader.user}@'%'")
        with pytest.raises(IndexSpecError, match=r"faq that this user may read; .* GRANT SELECT on it"):
            replace(full, source=reader).sync(spec())


@pytest.mark.parametrize(
    ("privilege", "names"),
    [
        ("CREATE ON DATABASE {database}", "permission denied for database {database}"),
        ("TEMPORARY ON DATABASE {database}", 'permission denied to create temporary tables in database "{database}"'),
        ("CREATE ON SCHEMA public", "permission denied for schema public"),
    ],
)
def test_one_privilege_fewer_in_postgresql_is_told_by_its_name(
    least: Workbench, bare_pg_database: TargetSettings, privilege: str, names: str
) -> None:
    database = bare_pg_database.database
    with postgres(bare_pg_database) as superuser:
        superuser.execute(f"REVOKE {privilege.format(database=database)} FROM {least.target.user}".encode())
    with pytest.raises(TargetRefusedError, match=r"docs/privileges\.md") as raised:
        least.sync(spec())
    assert names.format(database=database) in str(raised.value)


def test_without_the_extension_it_is_said_who_may_make_it(stack_target: TargetSettings) -> None:
    with fresh_pg_database(stack_target) as empty, role(empty) as writer:
        run_in_psql(empty, "writer.sql", role=writer.user)
        with pytest.raises(TargetUnavailableError, match="have a superuser run there: CREATE EXTENSION vector"):
            store_connection.connect(writer)
        run_in_psql(empty, "extension.sql")
        with closing(store_connection.connect(writer)) as connection:
            create_registry(connection)


@pytest.fixture
def stack_target(pg_template: TargetSettings) -> TargetSettings:
    """A database without the extension, to copy."""
    return replace(pg_template, database="template0")


def test_a_service_that_only_searches_needs_no_more_than_its_role(
    least: Workbench, bare_pg_database: TargetSettings
) -> None:
    with closing(store_connection.connect(least.target)) as connection:
        create_registry(connection)
        key = create_key(connection, "app", [AccessScope.SEARCH]).secret
    with role(bare_pg_database) as searcher:
        run_in_psql(bare_pg_database, "searcher.sql", role=searcher.user, writer=least.target.user)
        # An index that is made after the grants.
        least.sync(spec())
        with live_server(replace(least, target=searcher), [spec()], ServingSettings(unanswered_days=7)) as server:
            headers = {"Authorization": f"Bearer {key}"}
            asked = {"index": "faq", "query": "question number 7?", "limit": 1}
            answer = server.client.post("/v1/search", json=asked, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["hits"][0]["key"] == "7"
            for path in ("/v1/indexes", "/v1/indexes/faq", "/v1/indexes/faq/status"):
                assert server.client.get(path, headers=headers).status_code == 200, path
            nothing = asked | {"query": "nothing at all", "threshold": 1.0}
            assert server.client.post("/v1/search", json=nothing, headers=headers).json()["hits"] == []
        # Closing the service has written it down.
        assert least.postgres("SELECT query FROM vector_pipeline.unanswered_queries") == [("nothing at all",)]
        with closing(store_connection.connect(searcher)) as connection:
            [used] = list_keys(connection)
            note_use(connection, {used.key_id: datetime.now(UTC)})
            assert list_keys(connection)[0].last_used_at is not None
            for statement in (
                "DELETE FROM faq.documents",
                "CREATE SCHEMA mine",
                "UPDATE vector_pipeline.api_keys SET scopes = '{admin}'",
                "CREATE TABLE public.mine ()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


def test_people_who_read_the_view_see_it_alone(least: Workbench, bare_pg_database: TargetSettings) -> None:
    least.sync(spec())
    with role(bare_pg_database) as reports:
        run_in_psql(bare_pg_database, "reader.sql", role=reports.user, writer=least.target.user)
        least.sync(spec("later"))
        with postgres(reports) as connection:
            for view in ("faq", "later"):
                row = connection.execute(f"SELECT count(*) FROM public.{view}".encode()).fetchone()
                assert row == (20,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT * FROM faq.documents")


@pytest.mark.long
def test_dagster_keeps_its_storage_with_the_privileges_of_its_script(stack_target: TargetSettings) -> None:
    with fresh_pg_database(stack_target) as empty, role(empty) as keeper:
        run_in_psql(empty, "dagster.sql", role=keeper.user)
        reached = {
            "hostname": keeper.host,
            "port": keeper.port,
            "username": keeper.user,
            "password": keeper.password,
            "db_name": keeper.database,
            "scheme": "postgresql+psycopg2",
        }
        storage = {"storage": {"postgres": {"postgres_db": reached}}}

        @dg.asset
        def thing() -> None:
            """Nothing."""

        with dg.instance_for_test(overrides=storage) as instance:
            assert dg.materialize([thing], instance=instance).success
            assert instance.get_runs_count() == 1
