"""A model that changes under its name is noticed before vectors of two models lie side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from vector_pipeline.core.embedding.canaries import CANARY_TEXTS
from vector_pipeline.core.embedding.provider import EmbeddedBatch
from vector_pipeline.core.embedding.requesting import HARMLESS_TEXT
from vector_pipeline.core.errors import ModelDriftedError
from vector_pipeline.core.index import open_index
from vector_pipeline.core.model_drift import describe
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.counting_provider import CountingProvider
from vector_pipeline_tests.dialects import Dialect
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


@pytest.fixture
def server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=64, model="latest") as server:
        yield server


@pytest.fixture
def workbench(mysql_database: SourceSettings, pg_database: TargetSettings, server: MisbehavingProvider) -> Workbench:
    workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=server.url, model="latest"))
    workbench.create_faq(3)
    workbench.sync(question_only())
    return workbench


def last_look_was_long_ago(workbench: Workbench) -> None:
    workbench.postgres("UPDATE vector_pipeline.canary_looks SET compared_at = now() - interval '2 hours'")


def test_canaries_are_embedded_before_the_first_texts_and_not_by_each_run_again(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    workbench.add_faq([4])
    workbench.sync(question_only())
    assert server.canaries == 1


def test_an_index_with_nothing_to_embed_asks_nothing_of_the_model(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    last_look_was_long_ago(workbench)
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    workbench.sync(question_only())
    assert server.canaries == 1


@pytest.mark.parametrize("manner", ["well", "jitter"])
def test_the_same_model_passes_even_if_its_vectors_jitter(
    workbench: Workbench, server: MisbehavingProvider, manner: str
) -> None:
    server.behave(manner)  # type: ignore[arg-type]
    with workbench.index(question_only()) as index:
        drift = index.look_at_model()
    assert not drift.drifted
    assert drift.similarity is not None
    assert drift.similarity > 0.999


def test_a_changed_model_stops_embedding_and_nothing_else(workbench: Workbench, server: MisbehavingProvider) -> None:
    workbench.add_faq([4])
    workbench.mysql("DELETE FROM faq WHERE id = 3")
    server.behave("other model")
    last_look_was_long_ago(workbench)
    vectors = workbench.postgres("SELECT count(*) FROM faq.vectors_1")
    with workbench.index(question_only()) as index:
        with pytest.raises(ModelDriftedError, match=r"Model latest of index faq has changed under its name"):
            sync_all(index)
        assert workbench.postgres("SELECT count(*) FROM faq.vectors_1") == vectors
        assert index.last_look_at_model().drifted
        assert index.status().documents == 3
        server.behave("well")
        assert {hit.key for hit in index.search("question number 2?", limit=9).hits} == {"1", "2"}


def test_a_model_that_is_known_to_have_changed_is_paid_for_no_text(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    server.behave("other model")
    workbench.add_faq([4])
    with workbench.index(question_only()) as index:
        index.look_at_model()
        server.reset()
        with pytest.raises(ModelDriftedError):
            sync_all(index)
    assert server.stats()["texts"] == 0


def test_the_words_name_model_similarity_day_and_all_three_ways_out(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    server.behave("other model")
    with workbench.index(question_only()) as index:
        drift = index.look_at_model()
    assert drift.drifted
    assert drift.similarity is not None
    assert drift.alike_at is not None
    words = describe(drift)
    for part in (
        "Model latest",
        f"{drift.similarity:.4f}",
        f"{drift.alike_at:%Y-%m-%d}",
        "Put the model back",
        "embedding.model",
        "vector-pipeline canary faq --accept",
    ):
        assert part in words


def test_embedding_goes_on_by_itself_when_the_model_is_put_back(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    server.behave("other model")
    workbench.add_faq([4])
    with workbench.index(question_only()) as index:
        assert index.look_at_model().drifted
        with pytest.raises(ModelDriftedError):
            sync_all(index)
        server.behave("well")
        sync_all(index)
        assert not index.last_look_at_model().drifted
        assert index.verify().equal


def test_an_accepted_change_is_the_measure_from_then_on(workbench: Workbench, server: MisbehavingProvider) -> None:
    server.behave("other model")
    workbench.add_faq([4])
    with workbench.index(question_only()) as index:
        assert index.look_at_model().drifted
        assert not index.look_at_model(accept=True).drifted
        sync_all(index)
        assert index.look_at_model().similarity == pytest.approx(1)
        server.behave("well")
        assert index.look_at_model().drifted


def test_how_far_a_model_may_move_is_declared(workbench: Workbench, server: MisbehavingProvider) -> None:
    server.behave("jitter")
    with workbench.index(question_only(embedding={"canary_similarity": 1.0})) as index:
        assert index.look_at_model().drifted


def test_an_index_made_before_there_were_canaries_gets_them_with_the_first_look(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    workbench.postgres("DELETE FROM vector_pipeline.canary_looks")
    with workbench.index(question_only()) as index:
        assert index.last_look_at_model().taken_at is None
        assert index.look_at_model().taken_at is not None
        server.behave("other model")
        assert index.look_at_model().drifted


def test_a_provider_that_refuses_the_canaries_embeds_texts_all_the_same(
    workbench: Workbench, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.postgres("DELETE FROM vector_pipeline.canary_looks")
    workbench.add_faq([4])
    with MisbehavingProvider(dimensions=64, dialect=Dialect("narrow", most_texts=3)) as narrow:
        spec = question_only(embedding={"provider": {"type": "openai", "host": narrow.url}, "model": "latest"})
        assert workbench.sync(spec).inserted == 1
    assert "no look at the model" in caplog.text


class OneCallAtATime(CountingProvider):
    """Keeps whether it was called while it was still at work."""

    requests_in_flight = 1

    def __init__(self) -> None:
        super().__init__()
        self.called_at_work = False
        self._working = threading.Lock()
        self._looked_at = threading.Event()

    def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embeds texts no sooner than a look at the model has begun."""
        free = self._working.acquire(blocking=False)
        self.called_at_work |= not free
        try:
            if set(texts) <= set(CANARY_TEXTS):
                self._looked_at.set()
            elif HARMLESS_TEXT not in texts:
                assert self._looked_at.wait(10)
            return super().embed(texts)
        finally:
            if free:
                self._working.release()


def test_a_provider_that_takes_one_call_at_a_time_is_not_looked_at_beside_another(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    provider = OneCallAtATime()
    workbench = Workbench(mysql_database, pg_database)
    workbench.create_faq(3)
    with open_index(question_only(), workbench.settings, provider=provider) as index:
        sync_all(index)
        assert index.verify().vectors == 3
    assert not provider.called_at_work
