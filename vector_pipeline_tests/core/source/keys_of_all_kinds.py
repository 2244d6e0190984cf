"""Tables with keys of all kinds, filled with values that are hard to put in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pymysql

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.catalog import SourceTable, read_table
from vector_pipeline.core.source.connection import Connection, connect
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.plan import ReadingPlan, plan_reading
from vector_pipeline_tests.servers import mysql
from vector_pipeline_tests.workbench import faq_spec

# Case, accents, expansions, spaces, characters before the space and ignored ones, emoji, what SQL and our form quote.
CHARACTERS = "aAäÄáÁbBßsSzZ01 \t\n\x01~-_|\\%'é😀👍ñ"


def _text(characters: str) -> Callable[[Random], str]:
    return lambda random: "".join(random.choice(characters) for _ in range(random.randint(0, random.choice([1, 3, 6]))))


def _bytes(length: int) -> Callable[[Random], bytes]:
    return lambda random: bytes(random.choice([0, 0, 1, 32, 65, 255]) for _ in range(random.randint(0, length)))


def _bigint(random: Random) -> int:
    return random.choice([random.randint(-99, 99), random.randint(-99, 99), -(2**63), 2**63 - 1])


def _unsigned(random: Random) -> int:
    return random.choice([random.randint(0, 99), random.randint(0, 99), 2**63, 2**64 - 1])


def _decimal(random: Random) -> str:
    return f"{random.choice(['-', ''])}{random.choice([0, 3, 20, 10**17])}.{random.randint(0, 99):02d}"


def _date(random: Random) -> str:
    day = f"2026-{random.randint(1, 12):02d}-{random.randint(0, 28):02d}"
    return random.choice([day, day, "0000-00-00", "2026-00-00", "9999-12-31"])


def _moment(random: Random) -> str:
    moment = f"2026-01-01 00:00:{random.randint(0, 59):02d}.{random.randint(0, 999999):06d}"
    return random.choice([moment, moment, moment, "0000-00-00", "2038-01-19 03:14:07"])


def _year(random: Random) -> int:
    return random.choice([0, random.randint(1901, 2155)])


COLUMNS: dict[str, tuple[str, Callable[[Random], Any]]] = {
    "bigint": ("BIGINT", _bigint),
    "bigint unsigned": ("BIGINT UNSIGNED", _unsigned),
    "decimal": ("DECIMAL(20,2)", _decimal),
    "date": ("DATE", _date),
    "datetime(6)": ("DATETIME(6)", _moment),
    "timestamp(3)": ("TIMESTAMP(3) DEFAULT 0", _moment),
    "year": ("YEAR", _year),
    "binary": ("BINARY(3)", _bytes(3)),
    "varbinary": ("VARBINARY(5)", _bytes(5)),
}
LATIN = "".join(character for character in CHARACTERS if ord(character) < 256)
COLLATIONS = {
    "latin1_german1_ci": LATIN,
    "latin1_german2_ci": LATIN,
    "utf8mb4_bin": CHARACTERS,
    "utf8mb4_general_ci": CHARACTERS,
    "utf8mb4_unicode_ci": CHARACTERS,
    "utf16_general_ci": CHARACTERS,
}
# Each server has newer ones that the other hasn't.
OF_ORACLE_ALONE = {"utf8mb4_0900_ai_ci": CHARACTERS, "utf8mb4_0900_as_cs": CHARACTERS}
OF_MARIADB_ALONE = {"utf8mb4_uca1400_as_cs": CHARACTERS, "utf8mb4_unicode_nopad_ci": CHARACTERS}
AS_CHAR = ("latin1_german1_ci", "utf8mb4_general_ci", "utf8mb4_0900_ai_ci")
COLUMNS |= {
    f"{kind} {collation}": (f"{kind}(12) COLLATE {collation}", _text(characters))
    for collation, characters in (COLLATIONS | OF_ORACLE_ALONE | OF_MARIADB_ALONE).items()
    for kind in ("varchar", "char")
    if kind == "varchar" or collation in AS_CHAR
}
SINGLE = [(name,) for name in COLUMNS]
COMPOSITE = [
    ("bigint", "varchar utf8mb4_unicode_ci"),
    ("varchar utf8mb4_unicode_ci", "bigint"),
    ("char utf8mb4_general_ci", "varchar latin1_german1_ci", "datetime(6)"),
    ("varbinary", "varbinary"),
    ("date", "year", "decimal"),
    ("varchar utf8mb4_0900_ai_ci", "timestamp(3)"),
    ("varchar utf8mb4_uca1400_as_cs", "binary"),
]


def keys_of(server: str) -> list[tuple[str, ...]]:
    """The keys that `mariadb` or `oracle` has."""
    missing = {"mariadb": OF_ORACLE_ALONE, "oracle": OF_MARIADB_ALONE}[server]
    return [
        columns for columns in SINGLE + COMPOSITE if not any(column.rpartition(" ")[2] in missing for column in columns)
    ]


@dataclass
class KeyedRows:
    """The table `keyed` of a database, which is of that name on both servers, and how it is read."""

    settings: SourceSettings
    source: Connection
    columns: Sequence[str]
    names: list[str]

    def add(self, rows: int, seed: int) -> None:
        """Rows with drawn keys; fewer where some are drawn twice."""
        random = Random(seed)
        drawn = [tuple(COLUMNS[column][1](random) for column in self.columns) for _ in range(rows)]
        places = ", ".join(["%s"] * len(self.names))
        self.execute(f"INSERT IGNORE INTO keyed VALUES ({places}, 'q')", drawn)

    def execute(self, statement: str, rows: Sequence[Sequence[object]] | None = None) -> None:
        with administrator(self.settings) as cursor:
            if rows is None:
                cursor.execute(statement)
            else:
                cursor.executemany(statement, rows)

    @property
    def table(self) -> SourceTable:
        table = read_table(self.source, self.settings.database, "keyed")
        assert table is not None
        return table

    @property
    def plan(self) -> ReadingPlan:
        source = {"table": "keyed", "primary_key": self.names}
        return plan_reading(faq_spec(source=source, document={"text": {"question": "question"}}), self.table)

    def keys(self) -> list[str]:
        """All keys in MySQL's order."""
        with self.source.cursor() as cursor:
            order = ", ".join(self.names)
            cursor.execute(f"SELECT {self.plan.key.expression} FROM keyed ORDER BY {order}", ())
            return [key for (key,) in cursor.fetchall()]


@contextmanager
def administrator(settings: SourceSettings) -> Iterator[pymysql.cursors.Cursor]:
    with (
        mysql(settings, sql_mode="", init_command="SET time_zone = '+00:00'") as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


@contextmanager
def keyed_rows(settings: SourceSettings, columns: Sequence[str]) -> Iterator[KeyedRows]:
    """An empty table with such a key."""
    names = [f"k{number}" for number in range(len(columns))]
    described = ", ".join(f"{name} {COLUMNS[column][0]} NOT NULL" for name, column in zip(names, columns, strict=True))
    source = connect(settings)
    try:
        rows = KeyedRows(settings, source, columns, names)
        rows.execute(f"CREATE TABLE keyed ({described}, question TEXT, PRIMARY KEY ({', '.join(names)}))")
        yield rows
    finally:
        source.close()


def ranges_between(bounds: Sequence[str]) -> list[KeyRange]:
    """All ranges, from one bound to the next."""
    edges = [None, *bounds, None]
    return [KeyRange(number, str(number), edges[number], edges[number + 1]) for number in range(len(bounds) + 1)]
