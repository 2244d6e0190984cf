"""The versions of PostgreSQL and pgvector, and whether they are ones to rely on."""

from __future__ import annotations

import psycopg

from vector_pipeline.core.findings import Finding, Verdict

# pgvector's changelog: 0.8.0 brought iterative scans, 0.8.3 and 0.8.4 mended HNSW indexes that VACUUM corrupted.
_OLDEST_PGVECTOR = (0, 8, 0)
_SOUND_PGVECTOR = (0, 8, 4)


def server_version(connection: psycopg.Connection) -> str:
    """PostgreSQL's own word for it."""
    row = connection.execute("SELECT current_setting('server_version')").fetchone()
    assert row is not None
    return str(row[0])


def look_at_pgvector(connection: psycopg.Connection) -> Finding:
    """Whether the pgvector of this database is one to rely on."""
    row = connection.execute(
        """
        SELECT e.extversion, coalesce(a.default_version, e.extversion)
        FROM pg_extension e
        LEFT JOIN pg_available_extensions a ON a.name = e.extname
        WHERE e.extname = 'vector'
        """
    ).fetchone()
    assert row is not None
    return judge_pgvector(*row)


def judge_pgvector(created: str, installed: str) -> Finding:
    """Whether pgvector is one to rely on.

    Args:
        created: the version of the extension's SQL objects in the database.
        installed: the version of its files, so of the code that runs.
    """
    if _numbers(created) < _OLDEST_PGVECTOR:
        return Finding(
            "pgvector",
            Verdict.WRONG,
            f"{created}: iterative scans came with 0.8.0",
            "install a newer pgvector and run ALTER EXTENSION vector UPDATE",
        )
    if _numbers(installed) < _SOUND_PGVECTOR:
        return Finding(
            "pgvector",
            Verdict.WARNING,
            f"{installed}: VACUUM may corrupt an HNSW index, so that search misses rows; 0.8.3 and 0.8.4 mended it",
            "install pgvector 0.8.4 or newer, run ALTER EXTENSION vector UPDATE, and REINDEX the ANN indexes",
        )
    if _numbers(created) < _numbers(installed):
        return Finding(
            "pgvector",
            Verdict.NOTE,
            f"{installed} is installed, {created} is what the database has",
            "run ALTER EXTENSION vector UPDATE",
        )
    return Finding("pgvector", Verdict.OK, installed)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
