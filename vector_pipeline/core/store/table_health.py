"""How PostgreSQL's tables of an index are: rows that are dead, how old their transactions are, and what to do.

Autovacuum sees to all of it where it keeps up; this tells where it doesn't, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from vector_pipeline.core.findings import Finding, Verdict

# Autovacuum comes at a fifth of a table (autovacuum_vacuum_scale_factor). What has twice that waits for something.
_DEAD_SHARE = 0.4
_FEWEST_DEAD = 10_000
_FEWEST_ROWS = 10_000
# PostgreSQL takes no more writes some three million transactions before two thousand million.
_LATE_AGE = 1_000_000_000
# What autovacuum begins at its limit takes its time for a large table.
_GRACE = 1.5
_HELD_SECONDS = 3600.0


@dataclass(frozen=True)
class TableHealth:
    """A table with the one that holds its long values. Sizes in bytes, ages in transactions; `dead` counts both."""

    schema: str
    name: str
    size: int
    index_size: int
    rows: int
    dead: int
    dead_share: float
    age: int
    multixact_age: int
    vacuumed_at: datetime | None
    analyzed_at: datetime | None
    autovacuum: bool

    @property
    def named(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Holder:
    """What keeps dead rows from being removed: the oldest snapshot that is still looked at, and for how long it has."""

    what: str
    seconds: float


@dataclass(frozen=True)
class TablesHealth:
    """The tables of an index and of the registry, and the settings that they live by."""

    tables: tuple[TableHealth, ...]
    autovacuum: bool
    freeze_max_age: int
    multixact_freeze_max_age: int
    holder: Holder | None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong and what to do; empty where nothing is."""
        return judge(self)


_TABLES = """
SELECT n.nspname, c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid),
       s.n_live_tup, s.n_dead_tup, coalesce(t.n_live_tup, 0), coalesce(t.n_dead_tup, 0),
       greatest(age(c.relfrozenxid), age(l.relfrozenxid)), greatest(mxid_age(c.relminmxid), mxid_age(l.relminmxid)),
       greatest(s.last_vacuum, s.last_autovacuum), greatest(s.last_analyze, s.last_autoanalyze),
       NOT coalesce(c.reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off'], false)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_stat_all_tables s ON s.relid = c.oid
LEFT JOIN pg_class l ON l.oid = c.reltoastrelid
LEFT JOIN pg_stat_all_tables t ON t.relid = l.oid
WHERE n.nspname = ANY(%s) AND c.relkind = 'r'
ORDER BY pg_table_size(c.oid) DESC, n.nspname, c.relname
"""

_HOLDER = """
SELECT what, seconds FROM (
    SELECT 'a transaction of ' || usename || ' (process ' || pid || ')' AS what,
           extract(epoch FROM now() - xact_start) AS seconds, age(backend_xmin) AS age
    FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    UNION ALL
    SELECT 'the prepared transaction ' || gid, extract(epoch FROM now() - prepared), age(transaction)
    FROM pg_prepared_xacts
    UNION ALL
    SELECT 'the replication slot ' || slot_name, NULL, greatest(age(xmin), age(catalog_xmin))
    FROM pg_replication_slots WHERE xmin IS NOT NULL
) held
WHERE seconds IS NULL OR seconds >= %s
ORDER BY age DESC NULLS LAST
LIMIT 1
"""


def look_at_tables(connection: psycopg.Connection, schemas: Sequence[str]) -> TablesHealth:
    """Reads PostgreSQL's own statistics; costs milliseconds, whatever the tables' size."""
    tables = [
        TableHealth(
            schema=schema,
            name=name,
            size=size,
            index_size=index_size,
            rows=rows,
            dead=dead + long_dead,
            # The worse of the two: long values are most of the bytes, and rows few beside them.
            dead_share=max(_share(dead, rows), _share(long_dead, long_rows)),
            age=age,
            multixact_age=multixact_age,
            vacuumed_at=vacuumed_at,
            analyzed_at=analyzed_at,
            autovacuum=autovacuum,
        )
        for (
            schema, name, size, index_size, rows, dead, long_rows, long_dead,
            age, multixact_age, vacuumed_at, analyzed_at, autovacuum,
        ) in connection.execute(_TABLES, (list(schemas),))
    ]  # fmt: skip
    settings = connection.execute(
        """
        SELECT current_setting('autovacuum')::bool AND current_setting('track_counts')::bool,
               current_setting('autovacuum_freeze_max_age')::int,
               current_setting('autovacuum_multixact_freeze_max_age')::int
        """
    ).fetchone()
    assert settings is not None
    held = connection.execute(_HOLDER, (_HELD_SECONDS,)).fetchone()
    holder = None if held is None else Holder(str(held[0]), float(held[1] or 0.0))
    autovacuum, freeze_max_age, multixact_freeze_max_age = settings
    return TablesHealth(tuple(tables), autovacuum, freeze_max_age, multixact_freeze_max_age, holder)


def _share(dead: int, alive: int) -> float:
    return dead / (dead + alive) if dead else 0.0


def judge(health: TablesHealth) -> tuple[Finding, ...]:
    """What PostgreSQL's numbers mean, the worst first."""
    found = [] if health.autovacuum else [_autovacuum_is_off()]
    for table in health.tables:
        found += _of_age(table, health)
    for table in health.tables:
        found += _of_dead_rows(table, health)
    return tuple(sorted(found, key=lambda finding: finding.verdict is not Verdict.WRONG))


def _autovacuum_is_off() -> Finding:
    return Finding(
        "autovacuum",
        Verdict.WRONG,
        "autovacuum or track_counts is off: dead rows pile up, and PostgreSQL stops taking writes in the end",
        "ALTER SYSTEM SET autovacuum = on; ALTER SYSTEM SET track_counts = on; SELECT pg_reload_conf()",
    )


def _of_age(table: TableHealth, health: TablesHealth) -> list[Finding]:
    limits = ((table.age, health.freeze_max_age, "transactions"),
              (table.multixact_age, health.multixact_freeze_max_age, "multixacts"))  # fmt: skip
    return [
        Finding(
            table.named,
            Verdict.WRONG if age > _LATE_AGE else Verdict.WARNING,
            f"its oldest row is {age:,} {of} old, which autovacuum should not let grow beyond {limit:,}; at some two "
            "thousand million PostgreSQL takes no more writes" + _held(health),
            f"VACUUM (FREEZE, VERBOSE) {table.named}",
        )
        for age, limit, of in limits
        if age > min(limit * _GRACE, _LATE_AGE)
    ]


def _of_dead_rows(table: TableHealth, health: TablesHealth) -> list[Finding]:
    if not table.autovacuum:
        told = f"autovacuum is off for it (its storage parameters); {table.dead:,} rows are dead"
        remedy = f"ALTER TABLE {table.named} RESET (autovacuum_enabled)"
        return [Finding(table.named, Verdict.WARNING, told, remedy)]
    if table.dead >= _FEWEST_DEAD and table.dead_share >= _DEAD_SHARE:
        told = f"{table.dead_share:.0%} of its rows are dead ({table.dead:,}): it is read more slowly, and grows"
        return [Finding(table.named, Verdict.WARNING, told + _held(health), f"VACUUM (ANALYZE) {table.named}")]
    if table.rows >= _FEWEST_ROWS and table.analyzed_at is None:
        told = f"its {table.rows:,} rows were never analysed: plans of searches may be bad ones"
        return [Finding(table.named, Verdict.WARNING, told, f"ANALYZE {table.named}")]
    return []


def _held(health: TablesHealth) -> str:
    if health.holder is None:
        return ""
    since = f" for {health.holder.seconds / 3600:.1f} hours" if health.holder.seconds else ""
    return f"; {health.holder.what} keeps dead rows from being removed{since}: end it first"
