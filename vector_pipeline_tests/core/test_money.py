"""What an index costs is in the ledger, and a budget is never overdrawn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from vector_pipeline.core.errors import (
    IndexSpecError,
    ModelDriftedError,
    ProviderUnavailableError,
    TargetRefusedError,
)
from vector_pipeline.core.money import describe_budget
from vector_pipeline.core.reports import EmbeddingReport, Spent
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import registry, spending
from vector_pipeline_tests.at_once import AtOnce
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

DOLLAR_A_THOUSAND = 1000.0
"""USD per million tokens. A numbered question has three tokens, as the provider counts."""


def priced(price: float | None = DOLLAR_A_THOUSAND, budget: float | None = None, **provider: Any) -> IndexSpec:
    block = {"type": "openai", "attempts": 2, "texts_per_request": 10, "requests_in_flight": 2} | provider
    return question_only(
        embedding={"provider": block, "price_per_million_tokens": price, "budget_per_day": budget}, range_size=50
    )


def sync(workbench: Workbench, spec: IndexSpec) -> EmbeddingReport:
    report = workbench.sync(spec).embedding
    assert report is not None
    return report


def spent(workbench: Workbench, spec: IndexSpec) -> Spent:
    with workbench.index(spec) as index:
        status = index.status()
    assert status.spent_today == status.spent
    return status.spent


def test_tokens_and_cost_are_those_that_the_provider_counts(workbench: Workbench) -> None:
    workbench.create_faq(40)
    report = sync(workbench, priced())
    assert (report.tokens, report.tokens_estimated, report.cost) == (120, 0, pytest.approx(0.12))
    assert spent(workbench, priced()) == Spent(requests=4, texts=40, tokens=120, cost=pytest.approx(0.12))


def test_what_is_stored_already_costs_nothing_and_the_ledger_adds_up_over_days(workbench: Workbench) -> None:
    workbench.create_faq(10)
    sync(workbench, priced())
    workbench.let_a_day_pass()
    workbench.add_faq(range(11, 16))
    sync(workbench, priced())
    with workbench.index(priced()) as index:
        status = index.status()
    assert (status.spent_today.texts, status.spent_today.cost) == (5, pytest.approx(0.015))
    assert (status.spent.texts, status.spent.cost) == (15, pytest.approx(0.045))


def test_tokens_that_no_provider_counts_are_estimated_and_told_as_such(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(10)
    provider.behave("no usage")
    report = sync(workbench, priced())
    assert report.tokens == report.tokens_estimated >= 30
    assert spent(workbench, priced()).tokens_estimated == report.tokens


def test_an_answer_that_is_of_no_use_is_paid_for_and_a_refused_request_is_not(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.prepare()
    provider.behave("fewer", requests=1)
    assert sync(workbench, priced()).tokens == 60
    workbench.add_faq(range(11, 21))
    provider.behave("status", requests=1, status=503)
    assert sync(workbench, priced()).tokens == 30
    assert spent(workbench, priced()).requests == 4


def test_vectors_that_are_not_given_out_since_the_model_has_changed_are_paid_for(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(10)
    workbench.sync(priced())
    workbench.postgres("UPDATE vector_pipeline.canary_looks SET compared_at = now() - interval '1 day'")
    workbench.add_faq([11])
    provider.behave("other model")
    with workbench.index(priced()) as index, pytest.raises(ModelDriftedError):
        sync_all(index)
    assert spent(workbench, priced()).tokens == 33


def test_what_a_failed_run_has_paid_is_in_the_ledger(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.prepare()
        provider.behave("status", status=503)
        with pytest.raises(ProviderUnavailableError):
            sync_all(index)
    assert spent(workbench, priced()) == Spent(requests=2)


def test_without_a_price_tokens_are_counted_and_the_cost_is_unknown(workbench: Workbench) -> None:
    workbench.create_faq(10)
    assert sync(workbench, priced(price=None)).cost is None
    assert spent(workbench, priced(price=None)) == Spent(requests=1, texts=10, tokens=30, tokens_unpriced=30)


def test_a_budget_without_a_price_is_an_error_of_the_declaration(workbench: Workbench) -> None:
    workbench.create_faq(1)
    with pytest.raises(IndexSpecError, match="what model 'numbers' costs is not known"):
        workbench.sync(priced(price=None, budget=1.0))
    workbench.sync(priced(price=None))
    with workbench.index(priced(price=None, budget=1.0)) as index:
        assert [problem.field for problem in index.check_declaration()] == ["embedding.budget_per_day"]


def test_a_spent_budget_stops_embedding_and_nothing_else(workbench: Workbench) -> None:
    workbench.create_faq(200)
    spec = priced(budget=0.3)
    report = sync(workbench, spec)
    assert report.paused is not None
    assert "embedding.budget_per_day" in report.paused
    assert 0 < report.texts_embedded < 100
    assert report.cost is not None
    assert report.cost <= 0.3
    with workbench.index(spec) as index:
        assert not any(state.documents_differ for state in index.ranges())
        budget = index.budget()
        hits = index.search("question number 1?", limit=1).hits
    assert (budget.pauses, budget.texts_waiting) == (True, 200 - report.texts_embedded)
    assert f"{budget.texts_waiting} texts wait" in describe_budget(budget)
    assert "goes on at 00:00 UTC" in describe_budget(budget)
    assert hits[0].key == "1"


def test_rows_that_change_while_the_budget_is_spent_are_synced_at_once(workbench: Workbench) -> None:
    workbench.create_faq(100)
    spec = priced(budget=0.1)
    with workbench.index(spec) as index:
        sync_all(index)
        tried = [state.partition for state in index.ranges()]
        index.note_attempt(tried)
        assert index.embed(tried).paused
        workbench.mysql("DELETE FROM faq WHERE id = 100")
        assert sync_all(index).deleted == 1


@pytest.mark.parametrize("change", ["the next day", "a higher budget"])
def test_embedding_goes_on(workbench: Workbench, change: str) -> None:
    workbench.create_faq(60)
    first = sync(workbench, priced(budget=0.15))
    assert first.paused is not None
    if change == "the next day":
        workbench.let_a_day_pass()
    spec = priced(budget=5.0 if change == "a higher budget" else 0.15)
    with workbench.index(spec) as index:
        assert not index.budget().pauses
    second = sync(workbench, spec)
    assert second.texts_embedded > 0
    assert spent_in_all(workbench) == pytest.approx(0.003 * (first.texts_embedded + second.texts_embedded))


def let_the_ledger_refuse(workbench: Workbench) -> None:
    workbench.postgres(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the ledger is full'; END $$"
    )
    workbench.postgres(
        "CREATE TRIGGER refuse BEFORE INSERT ON vector_pipeline.spending FOR EACH ROW EXECUTE FUNCTION refuse()"
    )


@pytest.mark.parametrize("budget", [None, 100.0])
def test_a_ledger_that_cannot_be_written_lets_nothing_be_paid_for_twice(
    workbench: Workbench, provider: MisbehavingProvider, budget: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    workbench.create_faq(10)
    spec = priced(budget=budget)
    with workbench.index(spec) as index:
        index.prepare()
        let_the_ledger_refuse(workbench)
        with pytest.raises(TargetRefusedError, match="the ledger is full"):
            sync_all(index)
    assert "lacks 30 tokens that are paid for (0.030000 USD)" in caplog.text
    workbench.postgres("DROP TRIGGER refuse ON vector_pipeline.spending")
    workbench.sync(spec)
    assert provider.times_sent("question number 1?") == 1


def break_the_ledgers_connection(workbench: Workbench) -> None:
    ended = workbench.postgres(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE '%%INTO vector_pipeline.spending%%' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    assert ended == [(True,)]


def test_a_ledger_whose_connection_breaks_is_complete_in_the_end(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(60)
    broken: list[int] = []

    def break_it(done: int, _: int) -> None:
        if not broken:
            broken.append(done)
            break_the_ledgers_connection(workbench)

    with workbench.index(priced()) as index:
        index.detect()
        partitions = [state.partition for state in index.ranges()]
        list(index.sync_documents(partitions))
        provider.delay_seconds = 0.05
        assert index.embed(partitions, break_it).texts_embedded == 60
        assert index.verify().equal
    assert spent(workbench, priced()) == Spent(requests=6, texts=60, tokens=180, cost=pytest.approx(0.18))


def spent_in_all(workbench: Workbench) -> float:
    [(cost,)] = workbench.postgres("SELECT sum(cost) FROM vector_pipeline.spending")
    return float(cost)


def test_a_text_that_no_days_budget_covers_is_told_as_such(workbench: Workbench) -> None:
    workbench.create_faq(1)
    spec = priced(budget=0.001)
    assert sync(workbench, spec).paused is not None
    with workbench.index(spec) as index:
        assert "which no day's budget covers: raise embedding.budget_per_day" in describe_budget(index.budget())


def test_a_spent_budget_pauses_nothing_where_no_text_waits(workbench: Workbench) -> None:
    workbench.create_faq(100)
    spec = priced(budget=0.1)
    with workbench.index(spec) as index:
        sync_all(index)
        assert index.budget().pauses
        workbench.mysql("DELETE FROM faq")
        sync_all(index)
        assert not index.budget().pauses


def test_runs_at_once_do_not_overdraw_the_budget_together(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(400)
    spec = priced(budget=0.5)
    with workbench.index(spec) as index:
        index.detect()
        partitions = [state.partition for state in index.ranges()]
        list(index.sync_documents(partitions))
    provider.delay_seconds = 0.02
    paused: list[bool] = []

    def embed(some: list[str]) -> None:
        with workbench.index(spec) as index:
            paused.append(index.embed(some).paused is not None)

    runs = AtOnce()
    for part in range(4):
        runs.start(lambda part=part: embed(partitions[part::4]))
    runs.finish()
    assert any(paused)
    assert 0.25 < spent_in_all(workbench) <= 0.5
    assert workbench.postgres("SELECT in_flight FROM vector_pipeline.budget_days") == [(0,)]


def test_what_a_killed_run_had_under_way_counts_until_the_day_is_over(workbench: Workbench) -> None:
    workbench.create_faq(10)
    workbench.sync(priced())
    with store_connection.connect(workbench.target) as connection:
        index = registry.load(connection, "faq")
        assert index is not None
        assert spending.reserve(connection, index, Decimal("0.9"), Decimal(1)) is not None
        assert spending.reserve(connection, index, Decimal("0.2"), Decimal(1)) is None
        assert spending.budget_day(connection, index).pauses(1.0)
        assert not spending.budget_day(connection, index).pauses(2.0)


def test_each_generation_has_a_cost_of_its_own(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.sync(priced())
    more = question_only(embedding=priced().embedding.model_dump(exclude_unset=True) | {"dimensions": 4})
    with workbench.index(more) as index:
        index.build_next_generation()
        workbench.add_faq([21, 22])
        sync_all(index)
        found = index.generations().generations
    assert {one.number: (one.spent.texts, one.spent.cost) for one in found} == {
        1: (20, pytest.approx(0.06)),
        2: (22, pytest.approx(0.066)),
    }


def test_the_next_generation_is_built_as_far_as_the_budget_goes_and_then_further(workbench: Workbench) -> None:
    workbench.create_faq(60)
    workbench.sync(priced())
    workbench.let_a_day_pass()
    changed = priced(budget=0.15)
    changed = changed.model_copy(update={"embedding": changed.embedding.model_copy(update={"dimensions": 4})})
    with workbench.index(changed) as index:
        built = index.build_next_generation()
        assert not built.switched
        assert "embedding.budget_per_day" in built.obstacles[0]
        assert index.generations().served.number == 1
        assert index.budget().texts_waiting == 60 - built.texts_embedded
        for _ in range(4):
            workbench.let_a_day_pass()
            built = index.build_next_generation()
        assert index.generations().served.number == 2
