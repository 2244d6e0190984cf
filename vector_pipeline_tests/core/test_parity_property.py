"""Whatever happens to the rows, in whichever order, and whatever of it is synced in between: in the end the index is
the table's, row by row, and no text has been paid for twice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from vector_pipeline.core.index import VectorIndex, open_index
from vector_pipeline.core.settings import EmbeddingSettings, Settings, SourceSettings, TargetSettings
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.keyed_tables import KEYED_TABLES, VARIANTS, KeyedTable, KeyValues
from vector_pipeline_tests.misbehaving_answers import POISON
from vector_pipeline_tests.row_by_row import RowByRow
from vector_pipeline_tests.servers import mysql, postgres
from vector_pipeline_tests.workbench import faq_spec

TABLE = "rows_of_it"
NAME = "property"
RANGE_SIZE = 4
KEYS = 60
ROUNDS = 6
"""A sync may cut ranges, which the next look finds; more looks than these would be a sync that never ends."""

EXAMPLES = 3
LONG_EXAMPLES = 75


class Long(str):
    """A text that a report of a failure doesn't show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} characters>"


@dataclass(frozen=True)
class Key:
    """The number of a key, and the variant in which it is written."""

    number: int
    variant: int = 0


@dataclass(frozen=True)
class Row:
    """All values of a row but its key."""

    question: str | None
    answer: str | None
    link: str | None
    asked: str | None
    rating: str | None

    @property
    def values(self) -> tuple[str | None, ...]:
        return (self.question, self.answer, self.link, self.asked, self.rating)


numbers = st.integers(0, KEYS - 1)
keys = st.builds(Key, numbers, st.integers(0, VARIANTS - 1))
# Few, so that rows share them, that they go and come back, and that one wanders from a field to the other.
texts = st.one_of(
    st.sampled_from([f"text {number}" for number in range(8)]),
    st.sampled_from(
        [
            None,
            "",
            " ",
            "\n\t",
            "\0",
            "text 1 ",
            "TEXT 1",
            "text\x001",
            "te\0xt 1",
            "caf\u00e9",
            "cafe\u0301",
            "\U0001f600",
            "\U0001f389",
            "\ufeff",
            "\\N",
            "NULL",
            "100%s '\"\\",
            Long("lorem ipsum " * 6000),
            Long("lorem ipsum " * 6000 + "!"),
            f"{POISON} 1",
            f"{POISON} 2",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
rows = st.builds(
    Row,
    question=texts,
    answer=texts,
    link=st.sampled_from([None, "", "x", "x ", "X", "\0", "https://example.org/\U0001f600"]),
    asked=st.sampled_from([None, "2026-01-02 03:04:05", "1999-12-31 23:59:59"]),
    rating=st.sampled_from([None, "0.0", "-1.5", "99.9"]),
)
shares = st.floats(0, 1)


class Writer:
    """Changes rows in transactions of its own."""

    def __init__(self, source: SourceSettings, keyed: KeyedTable, *, autocommit: bool) -> None:
        self._keyed = keyed
        self.connection = mysql(source, autocommit=autocommit)
        # Without locks on the gaps between rows two writers meet only on a row, and the test keeps them from that.
        self.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.execute("SET SESSION innodb_lock_wait_timeout = 5")

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)

    def put(self, key: Key, row: Row) -> None:
        names = ["question", "answer", "link", "asked", "rating"]
        columns = [*self._keyed.columns, *names]
        self.execute(
            f"INSERT INTO {TABLE} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
            f" ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in names)}",
            (*self._values(key), *row.values),
        )

    def change(self, key: Key, column: str, value: str | None) -> None:
        self.execute(f"UPDATE {TABLE} SET {column} = %s WHERE {self._is_key}", (value, *self._values(key)))

    def write_the_same_again(self, key: Key) -> None:
        self.execute(f"UPDATE {TABLE} SET question = question, link = link WHERE {self._is_key}", self._values(key))

    def delete(self, key: Key) -> None:
        self.execute(f"DELETE FROM {TABLE} WHERE {self._is_key}", self._values(key))

    def give_another_key(self, old: Key, new: Key) -> None:
        assignments = ", ".join(f"{column} = %s" for column in self._keyed.columns)
        with suppress(pymysql.err.IntegrityError):  # there is a row with the new key
            self.execute(
                f"UPDATE {TABLE} SET {assignments} WHERE {self._is_key}", (*self._values(new), *self._values(old))
            )

    @property
    def _is_key(self) -> str:
        return " AND ".join(f"{column} = %s" for column in self._keyed.columns)

    def _values(self, key: Key) -> KeyValues:
        return self._keyed.values(key.number, key.variant)


class Bench:
    """What the examples of one test share: the servers, the table and connections to both."""

    def __init__(
        self,
        source: SourceSettings,
        target: TargetSettings,
        keyed: KeyedTable,
        closing: ExitStack,
        embedding: dict[str, Any] | None = None,
    ) -> None:
        self.keyed = keyed
        self.settings = Settings(source, target, EmbeddingSettings())
        self.writer = Writer(source, keyed, autocommit=True)
        self.late_writer = Writer(source, keyed, autocommit=False)
        closing.callback(self.writer.connection.close)
        closing.callback(self.late_writer.connection.close)
        self.target = closing.enter_context(postgres(target))
        self.writer.execute(
            f"CREATE TABLE {TABLE} ({keyed.ddl}, question MEDIUMTEXT, answer MEDIUMTEXT, link VARCHAR(500),"
            " asked DATETIME, rating DECIMAL(4, 1)) CHARACTER SET utf8mb4"
        )
        self.spec = faq_spec(
            name=NAME,
            source={"table": TABLE, "primary_key": keyed.declared},
            document={
                "text": {"question": "question", "answer": "answer"},
                "metadata": {"link": "link", "asked": "asked", "rating": "rating"},
            },
            embedding=embedding or {},
            range_size=RANGE_SIZE,
        )
        # What it knows of texts is the default.
        self.row_by_row = None if embedding else RowByRow(self.writer.connection, self.target, TABLE, keyed, NAME)

    @contextmanager
    def index(self, provider: CountingProvider) -> Iterator[VectorIndex]:
        with open_index(self.spec, self.settings, provider=provider) as index:
            yield index


class Life(RuleBasedStateMachine):
    """A table that changes and an index that follows, in steps of any order."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self._late_keys: set[int] = set()
        self._noted: list[str] = []
        self._damaged = False
        self._provider = CountingProvider()
        self._closing = ExitStack()
        self._index = self._closing.enter_context(bench.index(self._provider))
        self._index.detect()

    # The rows

    def _write(self, late: bool, numbers: Sequence[int], change: Callable[[Writer], None]) -> None:
        """Now, or in the transaction that is open: one that holds a row's lock is the only one that can change it."""
        late = late or not self._late_keys.isdisjoint(numbers)
        if late:
            self._late_keys.update(numbers)
        change(self._bench.late_writer if late else self._bench.writer)

    @rule(key=keys, row=rows, late=st.booleans())
    def put(self, key: Key, row: Row, late: bool) -> None:
        self._write(late, [key.number], lambda writer: writer.put(key, row))

    @rule(first=numbers, count=st.integers(2, 20), row=rows, late=st.booleans())
    def put_many(self, first: int, count: int, row: Row, late: bool) -> None:
        for number in range(first, min(first + count, KEYS)):
            one = replace(row, question=f"text {number % 7}" if number % 2 else row.question)
            self._write(late, [number], lambda writer, number=number, one=one: writer.put(Key(number), one))  # type: ignore[misc]

    @rule(key=keys, column=st.sampled_from(["question", "answer"]), text=texts, late=st.booleans())
    def change_a_text(self, key: Key, column: str, text: str | None, late: bool) -> None:
        self._write(late, [key.number], lambda writer: writer.change(key, column, text))

    @rule(key=keys, link=st.sampled_from([None, "", "y"]), late=st.booleans())
    def change_metadata(self, key: Key, link: str | None, late: bool) -> None:
        self._write(late, [key.number], lambda writer: writer.change(key, "link", link))

    @rule(key=keys, late=st.booleans())
    def write_the_same_again(self, key: Key, late: bool) -> None:
        self._write(late, [key.number], lambda writer: writer.write_the_same_again(key))

    @rule(key=keys, late=st.booleans())
    def delete(self, key: Key, late: bool) -> None:
        self._write(late, [key.number], lambda writer: writer.delete(key))

    @rule(first=numbers, count=st.integers(2, 20))
    def delete_many(self, first: int, count: int) -> None:
        for number in range(first, min(first + count, KEYS)):
            self._write(False, [number], lambda writer, number=number: writer.delete(Key(number)))  # type: ignore[misc]

    @rule(old=keys, new=keys, late=st.booleans())
    def give_another_key(self, old: Key, new: Key, late: bool) -> None:
        self._write(late, [old.number, new.number], lambda writer: writer.give_another_key(old, new))

    @precondition(lambda self: self._late_keys)
    @rule(commit=st.booleans())
    def end_the_late_transaction(self, commit: bool) -> None:
        connection = self._bench.late_writer.connection
        if commit:
            connection.commit()
        else:
            connection.rollback()
        self._late_keys.clear()

    # The index

    @rule()
    def look(self) -> None:
        self._index.detect()

    @rule(first=shares, last=shares)
    def sync_documents_of_some(self, first: float, last: float) -> None:
        self._index.detect()
        due = _some([state.partition for state in self._index.due_ranges()], first, last)
        if due:
            list(self._index.sync_documents(due))

    @rule(first=shares, last=shares)
    def embed_some(self, first: float, last: float) -> None:
        some = _some([state.partition for state in self._index.ranges()], first, last)
        if some:
            self._index.embed(some)

    @rule()
    def note_what_is_due(self) -> None:
        self._noted = [state.partition for state in self._index.due_ranges()]

    @precondition(lambda self: self._noted)
    @rule()
    def sync_what_was_noted(self) -> None:
        list(self._index.sync_documents(self._noted))
        self._index.embed(self._noted)
        self._noted = []

    @rule()
    def sync(self) -> None:
        for _ in range(ROUNDS):
            self._index.detect()
            due = [state.partition for state in self._index.due_ranges()]
            if not due:
                return
            list(self._index.sync_documents(due))
            self._index.embed(due)
        raise AssertionError(f"still due after {ROUNDS} syncs: {self._index.due_ranges()}")

    @rule()
    def refresh_the_search_index(self) -> None:
        self._index.refresh_search_index()

    @rule()
    def open_the_index_anew(self) -> None:
        self._closing.close()
        self._index = self._closing.enter_context(self._bench.index(self._provider))

    # Damage

    @rule(share=shares, damage=st.sampled_from(["delete", "text", "metadata", "misplace", "lose"]))
    def damage_a_document(self, share: float, damage: str) -> None:
        statement = {
            "delete": "DELETE FROM {schema}.documents WHERE key = %(key)s",
            "text": "UPDATE {schema}.documents SET question = 'damaged' WHERE key = %(key)s",
            "metadata": "UPDATE {schema}.documents SET metadata = '{{}}' WHERE key = %(key)s",
            "misplace": "UPDATE {schema}.documents SET range_id = (SELECT min(range_id) FROM {schema}.documents)"
            " WHERE key = %(key)s",
            "lose": "UPDATE {schema}.documents SET range_id = -1 WHERE key = %(key)s",
        }[damage]
        self._damage(share, statement)

    @rule(share=shares, damage=st.sampled_from(["forget", "delete", "other", "more"]))
    def damage_passages(self, share: float, damage: str) -> None:
        statement = {
            "forget": "UPDATE {schema}.passages_1 SET served_hash = NULL WHERE key = %(key)s",
            "delete": "DELETE FROM {schema}.passages_1 WHERE key = %(key)s",
            "other": "UPDATE {schema}.passages_1 SET content_hash = 'damaged' WHERE key = %(key)s",
            "more": "INSERT INTO {schema}.passages_1 (key, field, ordinal, content_hash)"
            " VALUES (%(key)s, 'question', 7, 'damaged') ON CONFLICT DO NOTHING",
        }[damage]
        self._damage(share, statement)

    def _damage(self, share: float, statement: str) -> None:
        target = self._bench.target
        stored = target.execute(f"SELECT key FROM {NAME}.documents ORDER BY key".encode()).fetchall()
        if stored:
            [key] = stored[min(int(share * len(stored)), len(stored) - 1)]
            target.execute(statement.format(schema=NAME).encode(), {"key": key})
            self._damaged = True

    @rule()
    def verify_and_mark(self) -> None:
        self._index.verify(mark_dirty=True)
        self._damaged = False

    # What must be

    @invariant()
    def no_text_is_paid_for_twice(self) -> None:
        assert self._provider.paid_again == []

    @precondition(lambda self: not self._damaged)
    @rule()
    def sync_and_compare(self) -> None:
        self.sync()
        report = self._index.verify()
        assert report.equal, report.differences
        if self._bench.row_by_row is not None:
            self._bench.row_by_row.assert_equal(self._index.ranges())

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a step has failed, and its error is the one to be seen
                self._come_to_rest()
        finally:
            self._bench.late_writer.connection.rollback()
            self._index.drop()
            self._closing.close()
            self._bench.writer.execute(f"DELETE FROM {TABLE}")

    def _come_to_rest(self) -> None:
        self._bench.late_writer.connection.commit()
        if self._damaged:
            self.verify_and_mark()
        self.sync_and_compare()
        self.no_text_is_paid_for_twice()


def _some(partitions: Sequence[str], first: float, last: float) -> Sequence[str]:
    """The part between two shares of them."""
    start, end = sorted(round(share * len(partitions)) for share in (first, last))
    return partitions[start:end]


@pytest.fixture(params=KEYED_TABLES)
def bench(
    request: pytest.FixtureRequest, any_mysql_database: SourceSettings, pg_database: TargetSettings
) -> Iterator[Bench]:
    """A table of each kind on each of the servers."""
    with ExitStack() as closing:
        yield Bench(any_mysql_database, pg_database, KEYED_TABLES[request.param], closing)


@pytest.fixture(
    params=zip(KEYED_TABLES, cycle(["mysql_database", "oracle_mysql_database"]), strict=False), ids="-".join
)
def one_bench(request: pytest.FixtureRequest, pg_database: TargetSettings) -> Iterator[Bench]:
    """A table of each kind on one of the servers, so that both have their turn."""
    table, server = request.param
    with ExitStack() as closing:
        yield Bench(request.getfixturevalue(server), pg_database, KEYED_TABLES[table], closing)


def _live(bench: Bench, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Life(bench),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=False,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            # Explaining a failure would run it many more times under a tracer.
            phases=[phase for phase in Phase if phase is not Phase.explain],
        ),
    )


def test_an_index_follows_its_table_through_whatever_happens(one_bench: Bench) -> None:
    _live(one_bench, EXAMPLES, steps=25)


EMBEDDINGS: dict[str, dict[str, Any]] = {
    "average": {"strategy": "average"},
    "average of long texts": {"strategy": "average", "longest_tokens": 9000, "normalise": ["nfc"]},
    "template": {"template": "{{ question }}{% if answer %}\n{{ answer }}{% endif %}"},
    "split": {"split": {"tokens": 2000, "overlap": 100}, "normalise": ["strip_html", "collapse_whitespace"]},
    "cut": {"strategy": "concat", "longest_tokens": 500, "too_long": "cut"},
}


@pytest.mark.long
@pytest.mark.parametrize("embedding", EMBEDDINGS.values(), ids=EMBEDDINGS.keys())
def test_an_index_of_other_texts_follows_its_table_too(
    mysql_database: SourceSettings, pg_database: TargetSettings, embedding: dict[str, Any]
) -> None:
    with ExitStack() as closing:
        _live(Bench(mysql_database, pg_database, KEYED_TABLES["integer"], closing, embedding), 25, steps=40)


@pytest.mark.long
def test_an_index_follows_its_table_through_hundreds_of_lives(bench: Bench) -> None:
    _live(bench, LONG_EXAMPLES, steps=40)
