"""Builders for tests of the whole way: a table of questions and answers, an index over it, a provider to embed with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.reports import EmbeddingReport, RangeDocuments
from vector_pipeline.core.settings import EmbeddingSettings, Settings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline_tests.servers import mysql

FAQ_TABLE = """
CREATE TABLE faq (
    id BIGINT PRIMARY KEY,
    question TEXT,
    answer MEDIUMTEXT,
    link VARCHAR(500),
    asked DATETIME
) CHARACTER SET utf8mb4
"""


def faq_spec(name: str = "faq", **changes: Any) -> IndexSpec:
    """The declaration of an index over the table `faq`; `changes` replace whole sections."""
    sections: dict[str, Any] = {
        "name": name,
        "source": {"table": "faq", "primary_key": "id"},
        "document": {
            "text": {"question": "question", "answer": "answer"},
            "metadata": {"link": "link", "asked": "asked"},
        },
        "range_size": 100,
        "search": {"threshold": -1.0},
    }
    return IndexSpec.model_validate(sections | changes)


def question_only(**changes: Any) -> IndexSpec:
    """An index that embeds one text a row."""
    document = {"text": {"question": "question"}, "metadata": {"answer": "answer", "link": "link"}}
    return faq_spec(**({"document": document} | changes))


@dataclass(frozen=True)
class Synced:
    """What one sync to the end did."""

    documents: tuple[RangeDocuments, ...]
    embedding: EmbeddingReport | None

    @property
    def inserted(self) -> int:
        return sum(facts.inserted for facts in self.documents)

    @property
    def updated(self) -> int:
        return sum(facts.updated for facts in self.documents)

    @property
    def deleted(self) -> int:
        return sum(facts.deleted for facts in self.documents)

    @property
    def partitions(self) -> list[str]:
        return [facts.partition for facts in self.documents]


def sync_all(index: VectorIndex) -> Synced:
    """What the sensor and its runs do: look at every range, then sync the dirty ones."""
    index.detect()
    dirty = [state.partition for state in index.due_ranges()]
    if not dirty:
        return Synced((), None)
    documents = tuple(index.sync_documents(dirty))
    return Synced(documents, index.embed(dirty))


@dataclass
class Workbench:
    """A source, a target and the environment's embedding settings."""

    source: SourceSettings
    target: TargetSettings
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)

    @property
    def settings(self) -> Settings:
        return Settings(self.source, self.target, self.embedding)

    def padded_to(self, dimensions: int) -> Workbench:
        """The same with EMBEDDING_EXPECTED_DIM set."""
        return replace(self, embedding=replace(self.embedding, expected_dimensions=dimensions))

    @contextmanager
    def index(self, spec: IndexSpec | None = None) -> Iterator[VectorIndex]:
        with open_index(spec or faq_spec(), self.settings, origin="defs/faq/defs.yaml") as index:
            yield index

    def sync(self, spec: IndexSpec | None = None) -> Synced:
        with self.index(spec) as index:
            return sync_all(index)

    def mysql(
        self, statement: str, rows: Sequence[Sequence[object]] | None = None, *, relaxed: bool = False
    ) -> list[tuple[Any, ...]]:
        """Runs a statement on the source, once or with each row of parameters.

        `relaxed` lets in what old tables hold, such as dates of zeros.
        """
        with (
            mysql(self.source, autocommit=False, **({"sql_mode": ""} if relaxed else {})) as connection,
            connection.cursor() as cursor,
        ):
            if rows is None:
                cursor.execute(statement)
            else:
                cursor.executemany(statement, rows)
            connection.commit()
            return list(cursor.fetchall())

    def postgres(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement on the target."""
        with store_connection.connect(self.target) as connection:
            cursor: psycopg.Cursor[Any] = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def create_faq(self, rows: int = 0, first_id: int = 1) -> None:
        """The table `faq`, with numbered rows."""
        self.mysql(FAQ_TABLE)
        if rows:
            self.add_faq(range(first_id, first_id + rows))

    def add_faq(self, ids: Sequence[int]) -> None:
        """Numbered rows, each with texts of its own."""
        self.mysql(
            "INSERT INTO faq VALUES (%s, %s, %s, %s, '2026-01-02 03:04:05')",
            [(i, f"question number {i}?", f"the answer to number {i}", f"https://example.org/{i}") for i in ids],
        )

    def let_a_day_pass(self) -> None:
        """What was spent today was spent yesterday."""
        for table in ("spending", "budget_days"):
            # At once, two days would have the same key for a moment.
            for days in (-1000, 999):
                self.postgres(f"UPDATE vector_pipeline.{table} SET day = day + %s", [days])
