"""What somebody decides on refused texts: to try them again, or to leave them alone until they change."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.core.reports import QuarantineEntry
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

POISONED = ("2", "3", "5")


@pytest.fixture
def poisoned(workbench: Workbench) -> Workbench:
    """Six rows, three of which the provider refuses, each with a text of its own."""
    workbench.create_faq(6)
    workbench.mysql("UPDATE faq SET question = CONCAT('poison ', id) WHERE id IN (2, 3, 5)")
    workbench.sync(question_only())
    return workbench


def entries(workbench: Workbench) -> dict[str, QuarantineEntry]:
    with workbench.index(question_only()) as index:
        return {entry.key: entry for entry in index.quarantine()}


def ignore(workbench: Workbench, *keys: str) -> int:
    with workbench.index(question_only()) as index:
        return index.ignore_quarantined(keys)


def retry(workbench: Workbench, *keys: str) -> int:
    with workbench.index(question_only()) as index:
        return index.retry_quarantine(keys or None)


def end_pauses(workbench: Workbench) -> None:
    workbench.postgres(
        "UPDATE vector_pipeline.quarantine SET next_attempt_at = now() - interval '1 second'"
        " WHERE next_attempt_at IS NOT NULL"
    )


def test_an_entry_tells_row_field_reason_words_attempts_and_times(poisoned: Workbench) -> None:
    entry = entries(poisoned)["3"]
    assert (entry.key, entry.field, entry.reason, entry.attempts) == ("3", "question", "refused by the provider", 1)
    assert "is not to be embedded" in entry.message
    assert entry.first_failed_at == entry.last_failed_at
    assert entry.next_attempt_at is not None
    assert entry.ignored_at is None
    end_pauses(poisoned)
    poisoned.sync(question_only())
    again = entries(poisoned)["3"]
    assert (again.attempts, again.first_failed_at) == (2, entry.first_failed_at)
    assert again.last_failed_at > entry.last_failed_at


def test_an_ignored_text_is_listed_and_marked_but_never_tried_again(
    poisoned: Workbench, provider: MisbehavingProvider
) -> None:
    assert ignore(poisoned, "2", "5") == 2
    marked = {key: entry.ignored_at is not None for key, entry in entries(poisoned).items()}
    assert marked == {"2": True, "3": False, "5": True}
    assert entries(poisoned)["2"].next_attempt_at is None
    end_pauses(poisoned)
    assert retry(poisoned) == 1
    provider.reset()
    poisoned.sync(question_only())
    assert [provider.times_sent(f"poison {key}") for key in POISONED] == [0, 1, 0]
    with poisoned.index(question_only()) as index:
        assert index.due_ranges() == []
        assert index.verify().equal


def test_a_change_beside_an_ignored_text_does_not_have_it_tried(
    poisoned: Workbench, provider: MisbehavingProvider
) -> None:
    ignore(poisoned, "2")
    poisoned.mysql("UPDATE faq SET answer = 'another' WHERE id = 2")
    poisoned.mysql("UPDATE faq SET question = 'another' WHERE id = 1")
    provider.reset()
    poisoned.sync(question_only())
    assert provider.times_sent("poison 2") == 0
    assert entries(poisoned)["2"].ignored_at is not None


def test_an_ignored_text_that_changes_is_tried_and_no_longer_ignored(poisoned: Workbench) -> None:
    ignore(poisoned, "2", "3")
    poisoned.mysql("UPDATE faq SET question = 'harmless' WHERE id = 2")
    poisoned.mysql("UPDATE faq SET question = 'another poison' WHERE id = 3")
    poisoned.sync(question_only())
    found = entries(poisoned)
    assert list(found) == ["3", "5"]
    assert (found["3"].ignored_at, found["3"].attempts) == (None, 1)
    with poisoned.index(question_only()) as index:
        assert index.verify().equal


def test_ignoring_can_be_taken_back_and_the_next_sync_tries_the_text(
    poisoned: Workbench, provider: MisbehavingProvider
) -> None:
    ignore(poisoned, "2", "3")
    with poisoned.index(question_only()) as index:
        assert index.unignore_quarantined(["2", "5"]) == 1
    provider.reset()
    poisoned.sync(question_only())
    assert [provider.times_sent(f"poison {key}") for key in POISONED] == [1, 0, 0]
    assert entries(poisoned)["2"].attempts == 2


def test_named_rows_alone_are_tried_again(poisoned: Workbench, provider: MisbehavingProvider) -> None:
    assert retry(poisoned, "3") == 1
    provider.reset()
    poisoned.sync(question_only())
    assert [provider.times_sent(f"poison {key}") for key in POISONED] == [0, 1, 0]


@pytest.mark.parametrize("action", ["retry_quarantine", "ignore_quarantined", "unignore_quarantined"])
def test_a_row_without_a_quarantined_text_is_named_and_nothing_is_changed(poisoned: Workbench, action: str) -> None:
    before = entries(poisoned)
    with (
        poisoned.index(question_only()) as index,
        pytest.raises(VectorPipelineError, match=r"no text in quarantine of rows '1', 'nobody'; `vector-pipeline"),
    ):
        getattr(index, action)(["2", "nobody", "1"])
    assert entries(poisoned) == before


def test_an_ignored_row_is_not_tried_again_unless_that_is_taken_back(poisoned: Workbench) -> None:
    ignore(poisoned, "2")
    with pytest.raises(VectorPipelineError, match=r"ignores the quarantined texts of row '2'; .* --unignore"):
        retry(poisoned, "2", "3")


def test_a_refusal_that_comes_in_while_its_text_is_being_ignored_leaves_it_ignored(
    poisoned: Workbench, provider: MisbehavingProvider
) -> None:
    retry(poisoned, "2")
    with poisoned.index(question_only()) as index:
        partitions = [state.partition for state in index.due_ranges()]
        index.embed(partitions, lambda _, __: ignore(poisoned, "2") and None)
        [entry] = [entry for entry in index.quarantine() if entry.key == "2"]
        assert entry.ignored_at is not None
    end_pauses(poisoned)
    provider.reset()
    poisoned.sync(question_only())
    assert provider.times_sent("poison 2") == 0


def test_a_text_is_ignored_for_all_rows_and_fields_that_have_it(workbench: Workbench) -> None:
    workbench.create_faq(4)
    workbench.mysql("UPDATE faq SET question = 'poison' WHERE id IN (1, 3)")
    workbench.mysql("UPDATE faq SET answer = 'poison' WHERE id = 4")
    workbench.sync(faq_spec())
    with workbench.index(faq_spec()) as index:
        assert index.ignore_quarantined(["1"]) == 1
        assert [(e.key, e.field, e.ignored_at is not None) for e in index.quarantine()] == [
            ("1", "question", True),
            ("3", "question", True),
            ("4", "answer", True),
        ]
