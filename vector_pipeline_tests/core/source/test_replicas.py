"""How far replicas are behind, asked of real ones; and reading waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from vector_pipeline.core.errors import ConfigurationError, SourceRefusedError, SourceUnavailableError
from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.connection import connect
from vector_pipeline.core.source.replicas import Lag, ReplicaWatch
from vector_pipeline.core.source.throttle import Throttle
from vector_pipeline.core.spec import ThrottleSpec
from vector_pipeline_tests.mariadb_server import further_mariadb
from vector_pipeline_tests.servers import mysql_administrator
from vector_pipeline_tests.workbench import Workbench, question_only

LIMIT = ThrottleSpec(longest_lag_seconds=0.5)


def execute(server: SourceSettings, *statements: str) -> None:
    with mysql_administrator(server) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceSettings]:
    with further_mariadb(tmp_path_factory.mktemp("servers") / "primary") as server:
        execute(
            server,
            "CREATE DATABASE shop",
            "CREATE TABLE shop.clock (id INT AUTO_INCREMENT PRIMARY KEY)",
            "CREATE USER replica@'127.0.0.1' IDENTIFIED BY 'follows'",
            "GRANT REPLICATION SLAVE ON *.* TO replica@'127.0.0.1'",
        )
        yield replace(server, database="shop")


@pytest.fixture(scope="module")
def replicas_server(primary: SourceSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceSettings]:
    with further_mariadb(tmp_path_factory.mktemp("servers") / "replica", "--server-id=2") as server:
        execute(
            server,
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary.port}, MASTER_USER = 'replica',"
            " MASTER_PASSWORD = 'follows', MASTER_USE_GTID = slave_pos",
        )
        # The primary's user for the two, so that both are reached with the same password.
        execute(server, f"SET PASSWORD FOR root@'127.0.0.1' = PASSWORD('{primary.password}')")
        yield replace(server, database="shop", password=primary.password)


@pytest.fixture
def replica(primary: SourceSettings, replicas_server: SourceSettings) -> SourceSettings:
    """A replica that follows the primary and is not behind."""
    with mysql_administrator(primary) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@gtid_binlog_pos")
        [written] = cursor.fetchone() or ()
    # One that has only begun says that it is 0 seconds behind, until it has read the first event.
    execute(replicas_server, "START SLAVE", f"DO MASTER_GTID_WAIT('{written}', 60)")
    wait_for(replicas_server, Lag(address(replicas_server), 0))
    return replicas_server


def address(server: SourceSettings) -> str:
    return f"{server.host}:{server.port}"


@contextmanager
def watching(server: SourceSettings, *replicas: str) -> Iterator[ReplicaWatch]:
    with closing(connect(server)) as connection, closing(ReplicaWatch(server, connection, replicas)) as watch:
        yield watch


@retry(stop=stop_after_delay(60), wait=wait_fixed(0.1), retry=retry_if_exception_type(AssertionError), reraise=True)
def wait_for(server: SourceSettings, lag: Lag) -> None:
    with closing(connect(replace(server, database="mysql"))) as connection:
        assert ReplicaWatch(server, connection, []).furthest_behind() == lag


def test_a_listed_replica_that_keeps_up_holds_nobody(
    primary: SourceSettings, replica: SourceSettings, workbench: Workbench
) -> None:
    execute(primary, "CREATE DATABASE IF NOT EXISTS rows_of_faq")
    bench = replace(workbench, source=replace(primary, database="rows_of_faq"))
    bench.create_faq(120)
    throttle = {"longest_lag_seconds": 30, "replicas": [address(replica)]}
    spec = question_only(source={"table": "faq", "primary_key": "id", "throttle": throttle})
    assert bench.sync(spec).inserted == 120
    with bench.index(spec) as index:
        assert index.verify().equal


def test_a_replica_whose_replication_is_stopped_is_too_far_behind(
    primary: SourceSettings, replica: SourceSettings
) -> None:
    execute(replica, "STOP SLAVE SQL_THREAD")
    with watching(primary, address(replica)) as watch:
        assert watch.furthest_behind() == Lag(address(replica), None)


def test_the_server_that_is_read_is_asked_where_it_is_a_replica(replica: SourceSettings) -> None:
    with watching(replica) as watch:
        assert watch.furthest_behind() == Lag(address(replica), 0)
        execute(replica, "STOP SLAVE SQL_THREAD")
        assert watch.furthest_behind() == Lag(address(replica), None)


def test_the_lag_of_a_replica_that_is_held_up_is_told_in_seconds(
    primary: SourceSettings, replica: SourceSettings
) -> None:
    with (
        mysql_administrator(replica) as holder,
        holder.cursor() as cursor,
        watching(primary, address(replica)) as watch,
    ):
        cursor.execute("LOCK TABLES shop.clock READ")
        execute(primary, "INSERT INTO shop.clock VALUES ()")

        @retry(stop=stop_after_delay(60), wait=wait_fixed(0.1), reraise=True)
        def lag_of_a_second() -> None:
            lag = watch.furthest_behind()
            assert lag is not None
            assert not lag.within(0.5)
            assert (lag.seconds or 0) >= 1

        lag_of_a_second()


def test_reading_goes_on_once_the_replica_follows_again(primary: SourceSettings, replica: SourceSettings) -> None:
    execute(replica, "STOP SLAVE SQL_THREAD")
    pauses = []

    def see_to_it(seconds: float) -> None:
        pauses.append(seconds)
        execute(replica, "START SLAVE SQL_THREAD")
        wait_for(replica, Lag(address(replica), 0))

    with watching(primary, address(replica)) as watch:
        Throttle(LIMIT, watch, sleep=see_to_it).wait_for_replicas()
    assert len(pauses) == 1


def test_a_replica_that_never_follows_again_is_named_and_nothing_is_read(
    primary: SourceSettings, replica: SourceSettings
) -> None:
    execute(replica, "STOP SLAVE SQL_THREAD")
    slept: list[float] = []
    with watching(primary, address(replica)) as watch:
        throttle = Throttle(LIMIT, watch, clock=lambda: sum(slept), sleep=slept.append)
        with pytest.raises(SourceUnavailableError, match=f"replica {address(replica)}: its replication is stopped"):
            throttle.wait_for_replicas()


def test_no_replica_no_lag(mysql_database: SourceSettings) -> None:
    with watching(mysql_database) as watch:
        assert watch.furthest_behind() is None


def test_a_listed_server_that_is_no_replica_is_an_error(any_mysql_database: SourceSettings) -> None:
    with (
        watching(any_mysql_database, address(any_mysql_database)) as watch,
        pytest.raises(SourceRefusedError, match=r"of source\.throttle\.replicas is no replica"),
    ):
        watch.furthest_behind()


def test_a_replica_that_can_not_be_reached_is_named(mysql_database: SourceSettings) -> None:
    with (
        watching(mysql_database, "127.0.0.1:1") as watch,
        pytest.raises(SourceUnavailableError, match=r"^replica 127\.0\.0\.1:1 of source\.throttle\.replicas"),
    ):
        watch.furthest_behind()


def test_a_session_to_a_replica_that_was_lost_is_opened_anew(primary: SourceSettings, replica: SourceSettings) -> None:
    with watching(primary, address(replica)) as watch:
        watch.furthest_behind()
        with mysql_administrator(replica) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = 'shop'")
            for (session,) in cursor.fetchall():
                cursor.execute(f"KILL {session}")
        assert watch.furthest_behind() == Lag(address(replica), 0)


@pytest.mark.parametrize("text", ["", ":3306", "host:port"])
def test_what_is_no_address_is_refused(mysql_database: SourceSettings, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"source\.throttle\.replicas"), watching(mysql_database, text):
        pass


def test_a_missing_privilege_is_told_with_the_grant(
    any_mysql_database: SourceSettings, request: pytest.FixtureRequest
) -> None:
    modest = replace(any_mysql_database, user=f"modest_{any_mysql_database.database[-8:]}", password="p")
    execute(
        any_mysql_database,
        f"CREATE USER {modest.user}@'127.0.0.1' IDENTIFIED BY 'p'",
        f"GRANT SELECT ON {modest.database}.* TO {modest.user}@'127.0.0.1'",
    )
    granted: dict[str, Any] = {"mariadb": "REPLICA MONITOR", "oracle": "REPLICATION CLIENT"}
    kind = "oracle" if "oracle" in request.node.name else "mariadb"
    with (
        watching(modest) as watch,
        pytest.raises(SourceRefusedError, match=rf"GRANT {granted[kind]} ON \*\.\* TO that user"),
    ):
        watch.furthest_behind()
    execute(any_mysql_database, f"GRANT {granted[kind]} ON *.* TO {modest.user}@'127.0.0.1'")
    with watching(modest) as watch:
        assert watch.furthest_behind() is None
    execute(any_mysql_database, f"DROP USER {modest.user}@'127.0.0.1'")
