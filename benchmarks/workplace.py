"""Where benchmarks work: a stack of their own that ends with them, and fresh databases for each measurement."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pymysql
from psycopg import sql

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.embedded.stack import StackAddresses, temporary_stack
from vector_pipeline_tests.servers import mysql_administrator, postgres
from vector_pipeline_tests.workbench import Workbench

MODEL = "numbers"


@dataclass
class Workplace:
    """Two running servers."""

    stack: StackAddresses
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def fresh_databases(self, provider_url: str) -> Iterator[Workbench]:
        """An empty source and an empty target, with the provider that embeds for them."""
        source, target = self._names()
        with _administrate(self._root) as cursor:
            cursor.execute(f"CREATE DATABASE {source.database} CHARACTER SET utf8mb4")
        _postgres(self.stack.target, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(target.database)))
        _postgres(target, sql.SQL("CREATE EXTENSION vector"))
        yield Workbench(source, target, EmbeddingSettings(host=provider_url, model=MODEL))
        with _administrate(self._root) as cursor:
            cursor.execute(f"DROP DATABASE {source.database}")
        _postgres(self.stack.target, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(target.database)))

    def set_buffer_pool(self, size: int) -> None:
        """Gives MariaDB so many bytes of buffer pool; the statement returns when they are there."""
        with _administrate(self._root) as cursor:
            cursor.execute("SET GLOBAL innodb_buffer_pool_size = %s", (size,))

    @property
    def _root(self) -> SourceSettings:
        assert self.stack.source_administrator is not None
        return self.stack.source_administrator

    def _names(self) -> tuple[SourceSettings, TargetSettings]:
        name = f"benchmark_{next(self._numbers)}"
        return replace(self._root, database=name), replace(self.stack.target, database=name)


@contextmanager
def workplace() -> Iterator[Workplace]:
    """Brings the servers up, and down with the block."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, temporary_stack(Path(folder)) as stack:
        yield Workplace(stack)


def fill_faq(workbench: Workbench, questions: Sequence[str]) -> None:
    """The table `faq` with one row for each question, in some thousands at a time."""
    workbench.create_faq()
    for first in range(0, len(questions), 10_000):
        workbench.mysql(
            "INSERT INTO faq (id, question, answer, link, asked) VALUES (%s, %s, %s, %s, '2026-01-02 03:04:05')",
            [
                (number, question, f"the answer to number {number}", f"https://example.org/{number}")
                for number, question in enumerate(questions[first : first + 10_000], first + 1)
            ],
        )
    workbench.mysql("ANALYZE TABLE faq")


def questions(count: int) -> list[str]:
    """Different texts of some 60 characters."""
    return [f"what does customer number {number:07d} have to do to get help?" for number in range(count)]


@contextmanager
def _administrate(server: SourceSettings) -> Iterator[pymysql.cursors.Cursor]:
    with mysql_administrator(server) as connection, connection.cursor() as cursor:
        yield cursor


def _postgres(target: TargetSettings, statement: sql.SQL | sql.Composed) -> None:
    with postgres(target) as connection:
        connection.execute(statement)
