"""Vectors of an earlier service are taken over, and their texts are not paid for again."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from vector_pipeline.core.errors import LegacyImportError, NameTakenError
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

ROWS = 20


def _legacy_table(workbench: Workbench, name: str = "faq_old", *, dimensions: int = 8) -> None:
    """As the earlier service filled it: a zero vector in row 3, none in row 4, another text in row 5."""
    rows = workbench.mysql("SELECT id, question, answer FROM faq ORDER BY id")
    with store_connection.connect(workbench.target) as connection:
        connection.execute(
            f"CREATE TABLE public.{name} (id bigint PRIMARY KEY, question text, answer text, link text, date text,"
            f" question_embedding vector({dimensions}), answer_embedding vector({dimensions}))"
        )
        for key, question, answer in rows:
            asked = "another text" if key == 5 else question
            vectors = vectors_of([asked, answer], dimensions)
            if key == 3:
                vectors[0] = 0
            _insert(connection, name, key, asked, answer, vectors[0] if key != 4 else None, vectors[1])


def _insert(connection: psycopg.Connection, table: str, *values: object) -> None:
    connection.execute(
        f"INSERT INTO public.{table} (id, question, answer, question_embedding, answer_embedding)"
        " VALUES (%s, %s, %s, %s, %s)",
        values,
    )


def test_only_texts_without_a_usable_vector_are_paid_for(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    _legacy_table(workbench)
    with workbench.index() as index:
        report = index.import_legacy()
        assert (report.rows, report.texts, report.imported) == (ROWS, 2 * ROWS - 2, 2 * ROWS - 2)
        assert (report.dishonest, report.without_vector, report.in_parts) == (1, 1, 0)
        assert report.similarity == pytest.approx(1, abs=1e-5)
        synced = sync_all(index)
        assert synced.embedding is not None
        assert synced.embedding.texts_embedded == 3
        assert index.verify().equal
        assert index.search("question number 7?", limit=1).hits[0].key == "7"


def test_done_again_it_takes_over_what_is_new(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    _legacy_table(workbench)
    with workbench.index() as index:
        index.import_legacy()
        assert index.import_legacy(samples=0).imported == 0


def test_vectors_of_another_model_are_refused_and_nothing_is_taken_over(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    _legacy_table(workbench)
    workbench.postgres("UPDATE public.faq_old SET question_embedding = '[1,2,3,4,5,6,7,8]'")
    with workbench.index() as index:
        with pytest.raises(LegacyImportError, match="another model's"):
            index.import_legacy()
        assert workbench.postgres("SELECT count(*) FROM faq.retired_vectors_1") == [(0,)]


def test_another_length_is_told_before_anything_is_read_or_paid(workbench: Workbench) -> None:
    workbench.create_faq(3)
    _legacy_table(workbench, dimensions=16)
    with workbench.index() as index, pytest.raises(LegacyImportError, match="16 numbers, and the index is made for 8"):
        index.import_legacy()


def test_vectors_that_were_filled_up_with_zeros_are_taken_over_as_such(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    padded = workbench.padded_to(12)
    rows = workbench.mysql("SELECT id, question, answer FROM faq")
    with store_connection.connect(workbench.target) as connection:
        connection.execute(
            "CREATE TABLE public.faq_old (id bigint, question text, answer text, question_embedding vector(12),"
            " answer_embedding vector(12))"
        )
        for key, question, answer in rows:
            vectors = np.pad(vectors_of([question, answer], 8), ((0, 0), (0, 4)))
            _insert(connection, "faq_old", key, question, answer, *vectors)
    with padded.index() as index:
        assert index.import_legacy().imported == 2 * ROWS
        synced = sync_all(index)
        assert synced.embedding is not None
        assert synced.embedding.texts_embedded == 0


def test_other_names_of_table_and_columns_can_be_given(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    _legacy_table(workbench, "knowledge")
    workbench.postgres('ALTER TABLE public.knowledge RENAME question_embedding TO "Vec"')
    with workbench.index() as index:
        with pytest.raises(LegacyImportError, match=r"no column 'question_embedding'; it has .*Vec"):
            index.import_legacy("public.knowledge")
        assert index.import_legacy("knowledge", vectors={"question": "Vec"}).imported == ROWS - 2
        with pytest.raises(LegacyImportError, match=r"no table public\.faq_old"):
            index.import_legacy()


def test_a_table_in_the_way_is_refused_with_the_way_to_import_it(workbench: Workbench) -> None:
    workbench.create_faq(1)
    _legacy_table(workbench, "faq")
    with workbench.index(faq_spec()) as index, pytest.raises(NameTakenError, match="import-legacy faq"):
        index.import_legacy()


def test_a_single_vector_of_another_model_among_rows_without_any_is_found(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    _legacy_table(workbench)
    workbench.postgres("UPDATE public.faq_old SET question_embedding = NULL, answer_embedding = NULL")
    workbench.postgres("UPDATE public.faq_old SET question_embedding = '[1,2,3,4,5,6,7,8]' WHERE id = 7")
    with workbench.index() as index, pytest.raises(LegacyImportError, match=r"of 1 vectors .* another model's"):
        index.import_legacy()


def test_a_text_that_occurs_twice_is_taken_over_once(workbench: Workbench) -> None:
    workbench.create_faq(ROWS)
    workbench.mysql("UPDATE faq SET answer = 'as above' WHERE id > 10")
    _legacy_table(workbench)
    with workbench.index() as index:
        report = index.import_legacy()
        assert (report.texts, report.imported) == (2 * ROWS - 2, ROWS - 2 + 11)


def test_vectors_of_texts_that_are_split_are_neither_compared_nor_taken_over(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET answer = %s WHERE id = 3", [[" ".join(f"sentence number {n}." for n in range(40))]])
    _legacy_table(workbench)
    with workbench.index(faq_spec(embedding={"split": {"tokens": 40}})) as index:
        report = index.import_legacy(samples=20)
        assert (report.texts, report.dishonest) == (4, 1)
        assert report.in_parts > 1
        synced = sync_all(index)
        assert synced.embedding is not None
        assert synced.embedding.texts_embedded == 1 + report.in_parts


@pytest.mark.parametrize("option", ["texts", "vectors"])
def test_a_name_that_the_index_does_not_have_is_told(workbench: Workbench, option: str) -> None:
    workbench.create_faq(3)
    _legacy_table(workbench)
    with (
        workbench.index() as index,
        pytest.raises(LegacyImportError, match=r"has no 'Question' .* it has question, answer"),
    ):
        index.import_legacy(**{option: {"Question": "question"}})
