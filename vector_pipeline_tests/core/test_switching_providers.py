"""Switching the provider is configuration: texts and queries go to the one that has the model of the vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all


@pytest.fixture
def server() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=8, model="numbers") as server:
        yield server


@pytest.fixture
def workbench(mysql_database: SourceSettings, pg_database: TargetSettings, server: MisbehavingProvider) -> Workbench:
    workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=server.url, model="numbers"))
    workbench.create_faq(3)
    workbench.sync(question_only())
    return workbench


def hub(server: MisbehavingProvider, model: str = "numbers", **changes: Any) -> IndexSpec:
    block = {"type": "huggingface", "endpoint": server.features_url} | changes
    return question_only(embedding={"provider": block, "model": model})


def nearest(workbench: Workbench, spec: IndexSpec, query: str) -> tuple[str, float]:
    with workbench.index(spec) as index:
        [hit] = index.search(query, limit=1).hits
    return hit.key, hit.score


def test_another_provider_of_the_same_model_goes_on_without_paying_again(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    workbench.add_faq([4])
    with MisbehavingProvider(dimensions=8) as other, workbench.index(hub(other)) as index:
        synced = sync_all(index)
        assert synced.embedding is not None
        assert (synced.embedding.texts_embedded, other.stats()["texts"]) == (1, 1)
        assert index.verify().equal
        server.reset()
        [hit] = index.search("question number 2?", limit=1).hits
        assert (hit.key, hit.score) == ("2", pytest.approx(1))
        assert (server.requests, other.requests) == (0, 2)


def test_a_query_goes_to_the_provider_that_made_the_vectors_where_another_model_is_declared(
    workbench: Workbench, server: MisbehavingProvider
) -> None:
    with MisbehavingProvider(dimensions=8) as other:
        assert nearest(workbench, hub(other, model="letters"), "question number 2?") == ("2", pytest.approx(1))
        assert other.requests == 0
    assert server.last_request["model"] == "numbers"


def test_a_query_is_pooled_as_the_stored_vectors_were(workbench: Workbench, server: MisbehavingProvider) -> None:
    pooled = hub(server, model="tokens", pooling="mean").model_copy(update={"name": "pooled"})
    server.shape = "unequal tokens"
    workbench.sync(pooled)
    unpooled = hub(server, model="tokens").model_copy(update={"name": "pooled"})
    assert nearest(workbench, unpooled, "question number 2?") == ("2", pytest.approx(1))


def test_scores_of_another_pooling_are_on_another_scale(workbench: Workbench, server: MisbehavingProvider) -> None:
    scales = {}
    for pooling, shape in (("refuse", server.shape), ("mean", "unequal tokens")):
        server.shape = shape
        spec = hub(server, model="tokens", pooling=pooling).model_copy(update={"name": pooling})
        workbench.sync(spec)
        with workbench.index(spec) as index:
            answer = index.search("question number 2?")
        assert answer.hits
        scales[answer.scale] = pooling
    assert len(scales) == 2
