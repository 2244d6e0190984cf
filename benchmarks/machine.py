"""On what machine, and with which versions, figures were measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.workplace import Workplace
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.store import connection as store_connection

_PACKAGES = ("psycopg", "pymysql", "openai", "numpy")


def describe_machine(place: Workplace) -> dict[str, str]:
    """What a reader needs to compare the figures with others."""
    return {
        "Date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "Processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores, which the servers and the provider share",
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Source": _source_version(place),
        "Target": _target_version(place),
        "Packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def _processor() -> str:
    names = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    return next(names, platform.machine()).split(": ")[-1]


def _source_version(place: Workplace) -> str:
    connection = source_connection.connect(place.stack.source)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT VERSION()")
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def _target_version(place: Workplace) -> str:
    connection: psycopg.Connection
    with store_connection.connect(place.stack.target) as connection:
        row = connection.execute(
            """
            SELECT current_setting('server_version'), default_version
            FROM pg_available_extensions WHERE name = 'vector'
            """
        ).fetchone()
    return f"PostgreSQL {row[0]} with pgvector {row[1]}" if row else ""
