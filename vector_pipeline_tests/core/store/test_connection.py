"""What a session of PostgreSQL is opened with."""

from __future__ import annotations

from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store import connection


def test_the_session_of_a_machine_that_vanished_ends_within_two_minutes_and_its_locks_with_it(
    pg_database: TargetSettings,
) -> None:
    """The server's own words: it tells what its socket was set to."""
    with connection.connect(pg_database) as session:
        idle, interval, count = (
            int(str(session.execute(f"SHOW tcp_keepalives_{name}".encode()).fetchone()[0]))  # type: ignore[index]
            for name in ("idle", "interval", "count")
        )
    assert 0 < idle + interval * count < 120
