"""What a session of PostgreSQL is opened with."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import connection
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.waiting import wait_until

SECONDS = 120


def test_the_session_of_a_machine_that_vanished_ends_within_two_minutes_and_its_locks_with_it(
    pg_database: TargetSettings,
) -> None:
    """The server's own words: it tells what its socket was set to."""
    with connection.connect(pg_database) as session:
        idle, interval, count = (_setting(session, f"tcp_keepalives_{name}") for name in ("idle", "interval", "count"))
        assert 0 < idle + interval * count < SECONDS
        assert 0 < _setting(session, "tcp_user_timeout") < SECONDS * 1000


def test_a_server_that_vanished_is_waited_for_no_longer_than_that(pg_database: TargetSettings) -> None:
    with connection.connect(pg_database) as session, socket.socket(fileno=os.dup(session.fileno())) as end:
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, count, unanswered = (
            end.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT,
            )
        )
        assert 0 < idle + interval * count < SECONDS
        assert 0 < unanswered < SECONDS * 1000


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can pull a cable")
def test_either_end_notices_that_the_other_vanished_while_an_answer_was_under_way(pg_database: TargetSettings) -> None:
    """The server has sent what nobody takes in, the client waits for what never comes."""
    with connection.connect(pg_database) as session, postgres(pg_database) as looking:
        session.execute("SELECT pg_advisory_lock(4711)")
        with socket.socket(fileno=os.dup(session.fileno())) as end:
            port = end.getsockname()[1]
        with ThreadPoolExecutor(1) as threads, _pulled_cable(port):
            answer = threads.submit(session.execute, "SELECT repeat('x', 10000) FROM pg_sleep(1)")
            wait_until(lambda: _is_unlocked(looking), SECONDS, pause=1)
            with pytest.raises(psycopg.OperationalError):
                answer.result(SECONDS)


def _setting(session: psycopg.Connection, name: str) -> int:
    row = session.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def _pulled_cable(port: int) -> Iterator[None]:
    """Nothing of this machine's reaches that port of its own, or comes from it, for as long as the block."""
    rules = [["INPUT", "-i", "lo", "-p", "tcp", way, str(port), "-j", "DROP"] for way in ("--sport", "--dport")]
    for rule in rules:
        subprocess.run(["iptables", "--insert", *rule], check=True)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "--delete", *rule], check=True)


def _is_unlocked(looking: psycopg.Connection) -> bool:
    row = looking.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711").fetchone()
    assert row is not None
    return not row[0]
