"""An estimate is what the sync that follows will do, and asks no provider."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.core.reports import Estimate
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

SMALL = {"model": "text-embedding-3-small", "dimensions": 8}


def estimated(workbench: Workbench, spec: IndexSpec, **options: Any) -> Estimate:
    with workbench.index(spec) as index:
        return index.estimate(**options)


def test_an_index_that_was_never_synced_is_read_from_the_source(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(50)
    workbench.mysql("UPDATE faq SET question = 'the same for all' WHERE id <= 20")
    found = estimated(workbench, question_only(embedding=SMALL))
    assert (found.rows, found.texts, found.sampled, found.about) == (50, 31, 1, "an index that was never synced")
    assert (found.tokens_counted, found.price) == (True, 0.02)
    # `question number 21?` has five tokens of cl100k, `the same for all` four.
    assert found.tokens == 30 * 5 + 4
    assert found.cost == pytest.approx(154 * 0.02 / 1e6)
    assert (found.texts_per_second, found.seconds, found.days) == (None, None, None)
    assert provider.requests == 0


def test_what_is_estimated_is_what_the_next_sync_embeds(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(150)
    first = estimated(workbench, faq_spec())
    synced = workbench.sync().embedding
    assert synced is not None
    assert first.texts == synced.texts_embedded == 300
    asked = provider.requests
    nothing = estimated(workbench, faq_spec())
    assert (nothing.texts, nothing.tokens, nothing.about) == (0, 0, "the generation that is served")
    workbench.mysql("UPDATE faq SET answer = CONCAT('now ', answer) WHERE id IN (3, 140)")
    workbench.add_faq([151])
    assert estimated(workbench, faq_spec()).texts == 4
    assert provider.requests == asked


def test_texts_of_synced_documents_that_have_no_vector_yet_are_counted(workbench: Workbench) -> None:
    workbench.create_faq(30)
    with workbench.index(question_only()) as index:
        index.detect()
        list(index.sync_documents([state.partition for state in index.ranges()]))
        assert index.estimate().texts == 30


def test_the_declared_next_generation_needs_only_texts_that_the_model_has_not_seen(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.sync(question_only())
    more = estimated(workbench, faq_spec())
    assert more.about.startswith("the next generation, which is not begun yet")
    assert more.texts == 40
    another = estimated(workbench, question_only(embedding={"model": "another"}))
    assert (another.texts, another.model) == (40, "another")


@pytest.mark.parametrize(("built", "declared", "texts"), [("vector", "halfvec", 1), ("halfvec", "vector", 5)])
def test_vectors_that_are_there_in_full_are_rounded_and_need_not_be_paid_again(
    workbench: Workbench, built: str, declared: str, texts: int
) -> None:
    workbench.create_faq(4)
    workbench.sync(question_only(embedding={"storage": built}))
    workbench.add_faq([5])
    assert estimated(workbench, question_only(embedding={"storage": declared})).texts == texts


def test_a_generation_that_is_being_built_needs_what_it_still_lacks(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.sync(question_only())
    changed = question_only(embedding={"dimensions": 4}, generations={"switch": "approval"})
    with workbench.index(changed) as index:
        index.build_next_generation()
        workbench.mysql("UPDATE faq SET question = 'another' WHERE id = 7")
        found = index.estimate()
    assert (found.about, found.texts) == ("generation 2: being built", 1)


def test_of_a_large_table_a_share_is_read_and_told_as_such(workbench: Workbench) -> None:
    workbench.create_faq(2000)
    workbench.mysql("DELETE FROM faq WHERE id % 2 = 0 AND id < 1000")
    found = estimated(
        workbench,
        question_only(source={"table": "faq", "primary_key": "id", "where": "id <> 1 OR '%' = 'x'"}),
        most_rows=300,
    )
    assert (found.rows, found.sampled) == (1500, 5)
    assert found.texts == pytest.approx(1500, rel=0.25)


def test_the_time_is_that_of_the_pace_of_earlier_runs(workbench: Workbench) -> None:
    workbench.create_faq(120)
    synced = workbench.sync(question_only()).embedding
    assert synced is not None
    workbench.add_faq(range(1001, 1013))
    found = estimated(workbench, question_only())
    assert found.texts_per_second == pytest.approx(synced.texts_per_second)
    assert found.seconds == pytest.approx(12 / synced.texts_per_second)


def test_a_budget_tells_over_how_many_days_it_goes(workbench: Workbench) -> None:
    workbench.create_faq(30)
    embedding = {"price_per_million_tokens": 1000.0, "budget_per_day": 0.1}
    found = estimated(workbench, question_only(embedding=embedding))
    assert found.cost is not None
    assert found.days == -(-found.cost // 0.1)
