"""The thread that stores answers, and what it owes to those that wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from vector_pipeline.core.documents.rendering import hash_text
from vector_pipeline.core.embedding.writing import BatchDone, Finished, Writer
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.quarantine import REFUSED, Refusal
from vector_pipeline_tests.workbench import Workbench, question_only


def test_each_batch_is_given_back_though_it_could_not_be_stored(workbench: Workbench) -> None:
    workbench.create_faq()
    with workbench.index(question_only()) as opened:
        opened.prepare()

    @contextmanager
    def connect() -> Iterator[psycopg.Connection]:
        with store_connection.connect(workbench.target) as connection:
            yield connection

    with connect() as connection:
        index = registry.load(connection, "faq")
    assert index is not None
    workbench.postgres("DROP SCHEMA faq CASCADE")
    given_back, errors = [], []
    writer = Writer(connect, index, lambda _: None, lambda: given_back.append(1), errors.append)
    for text in ("one", "two"):
        writer.put(Finished([], None, [Refusal(hash_text(text), REFUSED, "poison")]))
        writer.put(BatchDone())
    writer.end()
    writer.run(holder=1)
    assert [type(error) for error in errors] == [psycopg.errors.UndefinedTable]
    assert len(given_back) == 2
