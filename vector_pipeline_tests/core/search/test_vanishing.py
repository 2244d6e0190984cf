"""What is served may change between two statements of a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.errors import NotYetSyncedError, ProviderUnavailableError, SearchRequestError
from vector_pipeline.core.index import open_index
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


class Meddling(CountingProvider):
    """Does something else before it answers a query."""

    def __init__(self) -> None:
        super().__init__()
        self.before_answers: list[str] = []
        self.workbench: Workbench | None = None

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        while self.before_answers and "a query" in texts:
            assert self.workbench is not None
            self.workbench.postgres(self.before_answers.pop())
        batch = super().embed(texts)
        return EmbeddedBatch(batch.vectors, np.full(len(texts), batch.vectors.shape[1], np.int32), batch.tokens)


def test_a_search_whose_generation_is_replaced_while_its_query_is_embedded_is_answered_by_the_new_one(
    workbench: Workbench,
) -> None:
    """As a switch and the removal of the generation before do it, to tables of other numbers."""
    provider = Meddling()
    provider.workbench = workbench
    workbench.create_faq(5)
    with open_index(question_only(), workbench.settings, provider=provider) as index:
        sync_all(index)
        provider.before_answers = [
            """
            ALTER TABLE faq.passages_1 RENAME TO passages_2;
            UPDATE vector_pipeline.generations SET generation = 2;
            UPDATE vector_pipeline.embedding_indexes SET active_generation = 2
            """
        ]
        assert len(index.search("a query", limit=10).hits) == 5
        assert provider.before_answers == []


def test_what_has_changed_since_the_last_search_is_seen_by_the_next_one(workbench: Workbench) -> None:
    """Which assumes at first that all is as it was."""
    text = {"question": "question"}
    before = question_only(document={"text": text, "metadata": {"link": "link"}}, search={"threshold": -1})
    after = question_only(document={"text": text, "metadata": {"address": "link"}}, search={"threshold": -1})
    workbench.create_faq(3)
    workbench.sync(before)
    with workbench.index(before) as index:
        [hit] = index.search("question number 2?", filter={"link": {"prefix": "http"}}, limit=1).hits
        assert "link" in hit.metadata
        workbench.sync(after)
        [hit] = index.search("question number 2?", filter={"address": {"prefix": "http"}}, limit=1).hits
        assert "address" in hit.metadata
        with pytest.raises(SearchRequestError, match="no metadata"):
            index.search("question number 2?", filter={"link": {"prefix": "http"}})
        workbench.postgres("DELETE FROM vector_pipeline.embedding_indexes; DROP SCHEMA faq CASCADE")
        with pytest.raises(NotYetSyncedError):
            index.search("question number 2?", filter={"address": {"prefix": "http"}})


def test_the_first_search_after_a_switch_fails_for_nothing_of_the_model_before(workbench: Workbench) -> None:
    workbench.create_faq(5)
    with MisbehavingProvider(dimensions=8) as old, MisbehavingProvider(dimensions=8) as new:
        workbench.sync(_embedded_by(old, "numbers"))
        with (
            workbench.index(_embedded_by(new, "letters")) as index,
            workbench.index(_embedded_by(new, "letters")) as run,
        ):
            assert index.search("a query").generation == 1
            assert run.build_next_generation().switched
            old.stop()
            assert index.search("another query").generation == 2
            new.stop()
            with pytest.raises(ProviderUnavailableError):
                index.search("a third query")


def test_an_index_made_anew_with_longer_vectors_is_searched_as_it_is_now(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    """Its tables have the names that they had."""
    workbench.create_faq(5)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        assert len(index.search("a query").hits) == 5
        workbench.postgres("DELETE FROM vector_pipeline.embedding_indexes; DROP SCHEMA faq CASCADE")
        provider.dimensions = 16
        workbench.sync(question_only())
        assert len(index.search("a query").hits) == 5


def _embedded_by(provider: MisbehavingProvider, model: str) -> IndexSpec:
    return question_only(embedding={"provider": {"type": "openai", "host": provider.url}, "model": model})


def test_a_search_whose_index_is_dropped_meanwhile_says_so(workbench: Workbench) -> None:
    provider = Meddling()
    provider.workbench = workbench
    workbench.create_faq(5)
    with open_index(question_only(), workbench.settings, provider=provider) as index:
        sync_all(index)
        provider.before_answers = [
            "DELETE FROM vector_pipeline.embedding_indexes; DROP SCHEMA faq CASCADE",
        ]
        with pytest.raises(NotYetSyncedError, match="vector-pipeline sync faq"):
            index.search("a query")
