"""An answer without hits tells whether the index is filled."""

from __future__ import annotations

from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

NOWHERE = "zzz"


def test_an_index_that_is_being_filled_says_so_where_it_finds_nothing(workbench: Workbench) -> None:
    workbench.create_faq(150)
    with workbench.index(question_only()) as index:
        index.detect()
        first, second = (state.partition for state in index.due_ranges())
        list(index.sync_documents([first, second]))
        index.embed([first])
        answer = index.search(NOWHERE, mode="text")
        assert answer.notes == (
            "1 of 2 key ranges of the table still wait for their vectors, so more may be found later",
        )
        index.embed([second])
        assert index.search(NOWHERE, mode="text").notes == ()


def test_an_index_of_which_nothing_is_synced_says_so(workbench: Workbench) -> None:
    workbench.create_faq(3)
    with workbench.index(question_only()) as index:
        sync_all(index)
        workbench.postgres("DELETE FROM vector_pipeline.key_ranges; DELETE FROM faq.documents")
        assert index.search(NOWHERE, mode="text").notes == (
            "nothing of the table was synced yet, so nothing could be found",
        )
