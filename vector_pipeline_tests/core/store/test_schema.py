"""The tables and indexes of an index."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vector_pipeline_tests.workbench import Workbench, faq_spec


def _declaring(unique_on: str | None) -> dict[str, Any]:
    return {"document": {"text": {"question": "question", "answer": "answer"}, "unique_on": unique_on}}


def _indexes_of_twins(workbench: Workbench) -> list[tuple[Any, ...]]:
    return workbench.postgres(
        "SELECT pg_get_indexdef(indexrelid, 1, true), indisvalid FROM pg_index"
        " WHERE indrelid = 'faq.documents'::regclass AND pg_get_indexdef(indexrelid, 1, true) LIKE 'md5%'"
        " ORDER BY 1"
    )


def test_the_index_for_unique_on_is_made_also_where_it_is_declared_later(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring(None)))
    assert _indexes_of_twins(workbench) == []
    workbench.sync(faq_spec(**_declaring("question")))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]
    workbench.sync(faq_spec(**_declaring("answer")))
    assert _indexes_of_twins(workbench) == [("md5(answer)", True), ("md5(question)", True)]


def test_a_broken_index_for_unique_on_is_made_anew(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring("question")))
    workbench.postgres(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'faq.documents_unique_on_question'::regclass"
    )
    workbench.sync(faq_spec(**_declaring("question")))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]


def test_processes_that_declare_unique_on_at_the_same_time_make_one_index(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync(faq_spec(**_declaring(None)))

    def prepare(_: int) -> None:
        with workbench.index(faq_spec(**_declaring("question"))) as index:
            index.prepare()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare, range(4)))
    assert _indexes_of_twins(workbench) == [("md5(question)", True)]
