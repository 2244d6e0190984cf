"""What OpenAI's offline Batch API does for a backfill: half the price, each text once, whatever breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from vector_pipeline.core.embedding.offline import BatchLimits
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import (
    ConfigurationError,
    ProviderError,
    ProviderRejectsUsError,
    ProviderUnavailableError,
)
from vector_pipeline.core.index import VectorIndex
from vector_pipeline.core.reports import BatchReport
from vector_pipeline.core.spec import GenerationsSpec, IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import registry
from vector_pipeline.core.store.claims import Claims
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.offline_desk import EXPIRED, OfflineDesk
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all


def priced(**embedding: Any) -> IndexSpec:
    """USD 0.001 a token, online; a numbered question has three, as the provider counts."""
    return question_only(embedding={"price_per_million_tokens": 1000.0} | embedding)


@pytest.fixture
def desk(provider: MisbehavingProvider) -> OfflineDesk:
    return provider.offline


def texts_sent(provider: MisbehavingProvider) -> int:
    """By ordinary requests, but for the word by which the length is measured."""
    return provider.stats()["texts"] - 1


def latest(index: VectorIndex) -> BatchReport:
    return index.batches()[0]


def verified(index: VectorIndex) -> bool:
    """After what is left of a sync."""
    sync_all(index)
    return index.verify().equal


def test_a_backfill_is_paid_at_half_the_price_and_by_no_ordinary_request(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    workbench.create_faq(40)
    with workbench.index(priced()) as index:
        submitted = index.submit_batches()
        assert (submitted.batches, submitted.texts, submitted.paused) == (1, 40, None)
        assert not index.batches_need_work()
        desk.finish()
        assert index.batches_need_work()
        assert index.ingest_batches() == 1
        hits = index.search("question number 7?", limit=1).hits
        assert verified(index)
        batch, spent = latest(index), index.status().spent
    assert hits[0].key == "7"
    assert (batch.standing, batch.status, batch.embedded, batch.given_back) == ("ended", "completed", 40, 0)
    assert (spent.texts, spent.tokens, spent.cost) == (40, 120, pytest.approx(0.06))
    assert (batch.tokens, batch.cost) == (120, pytest.approx(0.06))
    assert texts_sent(provider) == 1  # the query
    assert not desk.files


def test_each_request_is_that_of_an_ordinary_sync_for_one_text_known_by_its_hash(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(2)
    with workbench.index(priced(dimensions=4, document_prefix="passage: ")) as index:
        index.submit_batches()
    [first, _] = sorted(desk.requests, key=lambda request: request["body"]["input"])
    assert first | {"custom_id": ""} == {
        "custom_id": "",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {
            "model": "numbers",
            "encoding_format": "base64",
            "dimensions": 4,
            "input": "passage: question number 1?",
        },
    }
    hashes = {bytes(row[0]).hex() for row in workbench.postgres("SELECT content_hash FROM faq.passages_1")}
    assert {request["custom_id"] for request in desk.requests} == hashes


def test_texts_of_a_living_batch_are_left_alone_by_runs_and_others_are_not(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    workbench.create_faq(20)
    with workbench.index(priced()) as index:
        index.submit_batches()
        assert not index.due_ranges()
        workbench.add_faq([21])
        synced = sync_all(index).embedding
        assert synced is not None
        assert (synced.texts_needed, synced.texts_embedded, synced.texts_reused) == (1, 1, 0)
        assert index.submit_batches().texts == 0
        desk.finish()
        index.ingest_batches()
        assert verified(index)
    assert texts_sent(provider) == 1
    assert desk.embedded.total() == 20


def test_texts_that_a_run_sends_are_left_out_of_a_batch(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(3)
    with workbench.index(priced()) as index:
        index.detect()
        list(index.sync_documents([state.partition for state in index.ranges()]))
        [(claimed,)] = workbench.postgres("SELECT content_hash FROM faq.passages_1 WHERE key = '2'")
        with store_connection.connect(workbench.target) as connection:
            registered = registry.load(connection, "faq")
            assert registered is not None
            Claims(connection, registered).claim([claimed])
            assert index.submit_batches().texts == 2
    assert claimed.hex() not in {request["custom_id"] for request in desk.requests}


@pytest.mark.parametrize(
    ("limits", "sizes"), [(BatchLimits(requests=8), [8, 8, 4]), (BatchLimits(file_bytes=1500), [7, 7, 6])]
)
def test_a_backfill_takes_as_many_batches_as_the_limits_ask_for(
    workbench: Workbench, desk: OfflineDesk, limits: BatchLimits, sizes: list[int]
) -> None:
    workbench.create_faq(20)
    with workbench.index(priced()) as index:
        assert index.submit_batches(limits).batches == 3
        assert [len(upload.splitlines()) for upload in desk.uploads] == sizes
        assert max(map(len, desk.uploads)) <= limits.file_bytes
        desk.finish()
        assert index.ingest_batches() == 3
        assert verified(index)


def test_refused_and_dishonest_texts_are_quarantined_and_the_others_stored(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(8)
    for key, text in enumerate(("poison", "give-nan", "give-zero", "give-short", "give-nothing"), start=1):
        workbench.mysql(f"UPDATE faq SET question = '{text} {key}' WHERE id = {key}")
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.finish()
        index.ingest_batches()
        entries = {entry.key: (entry.reason, entry.message) for entry in index.quarantine()}
        report = index.verify()
        batch = latest(index)
    assert set(entries) == {"1", "2", "3", "4", "5"}
    assert entries["1"] == ("refused by the provider", "HTTP 400: it is not to be embedded")
    assert entries["4"] == ("no honest vector", "the vector has 3 numbers instead of 8")
    assert (batch.embedded, batch.quarantined, batch.given_back) == (3, 5, 0)
    assert report.equal


@pytest.mark.parametrize(("status", "words"), [("expired", EXPIRED), ("cancelled", "This request was cancelled.")])
def test_what_an_expired_or_cancelled_batch_has_done_is_kept_and_the_rest_given_back(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk, status: str, words: str
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.finish(status, answered=4)
        index.ingest_batches()
        batch = latest(index)
        assert (batch.embedded, batch.given_back, batch.message) == (4, 6, words)
        assert verified(index)
        assert index.status().spent.cost == pytest.approx(4 * 0.0015 + 6 * 0.003)
    assert texts_sent(provider) == 6


def test_a_batch_that_fails_as_a_whole_costs_nothing_and_gives_all_back(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.finish("failed")
        index.ingest_batches()
        batch = latest(index)
        assert (batch.given_back, batch.cost, batch.message) == (10, 0, "Enqueued token limit reached.")
        assert index.submit_batches().texts == 10


def test_cancelling_asks_the_provider_and_the_texts_come_back_when_it_is_done(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(5)
    with workbench.index(priced()) as index:
        index.submit_batches()
        assert index.cancel_batches() == 1
        assert latest(index).status == "cancelling"
        assert index.ingest_batches() == 0
        desk.finish("cancelled", answered=0)
        assert index.ingest_batches() == 1
        assert latest(index).given_back == 5


def test_forgotten_batches_give_their_texts_back_unasked(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(5)
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.batches.clear()
        with pytest.raises(ProviderError):
            index.ingest_batches()
        assert index.forget_batches() == 5
        assert verified(index)


def test_a_batch_whose_answer_was_lost_is_found_again_and_paid_once(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        desk.break_next("create", done=True)
        with pytest.raises(ProviderUnavailableError):
            index.submit_batches()
    with workbench.index(priced()) as index:
        assert latest(index).standing == "submitting"
        assert index.batches_need_work()
        sync_all(index)
        assert index.submit_batches().texts == 0
        assert latest(index).standing == "under way"
        desk.finish()
        index.ingest_batches()
        assert verified(index)
    assert texts_sent(provider) == 0
    assert desk.embedded.total() == 10


def test_a_batch_that_was_never_made_gives_its_texts_back_once_it_would_be_listed(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        desk.break_next("create")
        with pytest.raises(ProviderUnavailableError):
            index.submit_batches()
        assert index.submit_batches().texts == 0
        workbench.postgres("UPDATE vector_pipeline.offline_batches SET uploaded_at = now() - interval '11 minutes'")
        assert index.submit_batches().texts == 10
        assert [batch.given_back for batch in index.batches()] == [0, 10]
    assert len(desk.files) == 1


@pytest.mark.parametrize("kind", ["upload", "create"])
def test_a_refused_submission_gives_its_texts_back_at_once(workbench: Workbench, desk: OfflineDesk, kind: str) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        desk.refuse_next(kind, 429)
        with pytest.raises(ProviderError, match=f"no {kind} now"):
            index.submit_batches()
        assert not desk.files
        assert index.submit_batches().texts == 10


def test_a_submission_that_died_before_anything_was_sent_gives_its_texts_back(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.batches.clear()
        workbench.postgres(
            "UPDATE vector_pipeline.offline_batches SET standing = 'submitting', file_id = NULL, batch_id = NULL"
        )
        assert index.batches_need_work()
        assert index.ingest_batches() == 0
        assert latest(index).given_back == 10


KILLED = """
import sys
from vector_pipeline.core.index import open_index
from vector_pipeline.core.settings import read_settings
from vector_pipeline.core.spec import IndexSpec

with open_index(IndexSpec.model_validate_json(sys.argv[1]), read_settings()) as index:
    getattr(index, sys.argv[2])()
"""


def kill_while_held(workbench: Workbench, desk: OfflineDesk, spec: IndexSpec, method: str) -> None:
    """Has a process of its own begin, and kills it (SIGKILL) while its request is held."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, spec.model_dump_json(), method],
        env=os.environ | variables_of(workbench.settings),
    )
    assert desk.holding.wait(60)
    process.kill()
    process.wait()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["upload", "create", "content"])
def test_a_kill_in_the_middle_loses_nothing_and_pays_nothing_twice(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk, kind: str
) -> None:
    workbench.create_faq(10)
    if kind == "content":
        with workbench.index(priced()) as index:
            index.submit_batches()
        desk.finish()
    desk.hold_next(kind)
    kill_while_held(workbench, desk, priced(), "ingest_batches" if kind == "content" else "submit_batches")
    with workbench.index(priced()) as index:
        while not index.batches_need_work():
            pass  # the killed process's lock goes with its connection
        index.ingest_batches()
        if kind == "upload":
            assert index.submit_batches().texts == 10
        desk.finish()
        index.ingest_batches()
        assert verified(index)
        assert index.status().spent.cost == pytest.approx(10 * 0.0015)
    assert (texts_sent(provider), desk.embedded.total()) == (0, 10)


def test_a_key_that_the_server_repeats_is_not_told(provider: MisbehavingProvider) -> None:
    provider.api_key = "another"
    api = OpenAICompatibleProvider(provider.url, "numbers", "sk-secret", api_key_variable="FAQ_KEY").batches()
    with pytest.raises(ProviderRejectsUsError, match=r"Bearer .*FAQ_KEY") as caught:
        api.retrieve("batch_1")
    assert "sk-secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_an_ingestion_that_breaks_off_goes_on_and_enters_no_cost_twice(
    workbench: Workbench, desk: OfflineDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vector_pipeline.core.batch_ingestion._OUTCOMES_AT_ONCE", 4)
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        desk.finish()
        desk.break_next("content", lines=6)
        with pytest.raises(ProviderUnavailableError):
            index.ingest_batches()
        assert latest(index).embedded == 4
        assert index.ingest_batches() == 1
        assert latest(index).embedded == 10
        assert index.status().spent.cost == pytest.approx(10 * 0.0015)
        assert verified(index)


def test_a_text_that_has_left_the_table_meanwhile_does_no_harm(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        workbench.mysql("UPDATE faq SET question = 'another' WHERE id = 4")
        sync_all(index)
        desk.finish()
        index.ingest_batches()
        assert verified(index)


def test_what_comes_of_a_text_that_was_erased_meanwhile_is_not_stored(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        index.submit_batches()
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        index.erase(["3"])
        desk.finish()
        index.ingest_batches()
        assert latest(index).embedded == 9
        assert verified(index)
    assert workbench.postgres("SELECT count(*) FROM faq.vectors_1") == [(9,)]
    assert workbench.postgres("SELECT count(*) FROM faq.retired_vectors_1") == [(0,)]


def test_without_a_count_of_tokens_the_estimate_is_charged(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(10)
    with workbench.index(priced()) as index:
        submitted = index.submit_batches()
        desk.finish(usage=False)
        index.ingest_batches()
        spent = index.status().spent
    assert spent.tokens == spent.tokens_estimated == submitted.tokens
    assert spent.cost == pytest.approx(submitted.cost)


def test_a_batch_counts_on_the_day_of_its_submission_and_is_no_larger_than_the_budget_covers(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(100)
    with workbench.index(priced(budget_per_day=0.1)) as index:
        submitted = index.submit_batches()
        assert 0 < submitted.texts < 100
        assert submitted.cost is not None
        assert submitted.cost <= 0.1
        assert "embedding.budget_per_day" in (submitted.paused or "")
        assert index.budget().in_flight == pytest.approx(submitted.cost)
        workbench.let_a_day_pass()
        workbench.postgres("UPDATE vector_pipeline.offline_batches SET day = day - 1")
        desk.finish()
        index.ingest_batches()
        assert (index.status().spent_today.cost, index.budget().in_flight) == (0, 0)
        assert index.status().spent.cost == pytest.approx(submitted.texts * 0.0015)
    assert workbench.postgres("SELECT sum(in_flight) FROM vector_pipeline.budget_days") == [(0,)]


def test_the_next_generation_is_filled_by_a_batch_and_served_once_it_is_in(
    workbench: Workbench, provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    workbench.create_faq(30)
    workbench.sync(priced())
    sent = provider.stats()["texts"]
    with workbench.index(priced(dimensions=4)) as index:
        submitted = index.submit_batches()
        assert (submitted.generation, submitted.texts) == (2, 30)
        assert index.build_awaits_batches()
        built = index.build_next_generation()
        assert (built.texts_embedded, built.obstacles) == (0, ("30 of its texts wait for an offline batch",))
        desk.finish()
        index.ingest_batches()
        assert not index.build_awaits_batches()
        assert index.build_next_generation().switched
        assert {one.number: one.spent.cost for one in index.generations().generations} == {
            1: pytest.approx(0.09),
            2: pytest.approx(0.045),
        }
    assert provider.stats()["texts"] == sent + 1  # the length is measured


def test_a_batch_ends_whose_generation_is_gone(workbench: Workbench) -> None:
    workbench.create_faq(5)
    workbench.sync(priced())
    changed = priced(dimensions=4).model_copy(update={"generations": GenerationsSpec(switch="approval")})
    with workbench.index(changed) as index:
        index.submit_batches()
        workbench.postgres("UPDATE vector_pipeline.embedding_indexes SET building_generation = NULL")
        workbench.postgres("DELETE FROM vector_pipeline.generations WHERE generation = 2")
        assert index.ingest_batches() == 1
        assert latest(index).message == "its generation is gone"


def test_means_of_fields_are_made_of_what_a_batch_brings(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(6)
    with workbench.index(faq_spec(embedding={"strategy": "average"})) as index:
        assert index.submit_batches().texts == 12
        desk.finish()
        index.ingest_batches()
        assert verified(index)
        assert index.status().coverage == 1


def test_a_provider_without_a_batch_api_is_told_as_such(workbench: Workbench) -> None:
    workbench.create_faq(1)
    with (
        workbench.index(question_only(embedding={"provider": {"type": "local"}})) as index,
        pytest.raises(ConfigurationError, match="has no offline Batch API"),
    ):
        index.submit_batches()


def test_dropping_an_index_cancels_its_batches_and_status_tells_of_them(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(5)
    with workbench.index(priced()) as index:
        index.submit_batches()
        assert index.status().texts_awaited == 5
        index.drop()
    assert [batch["status"] for batch in desk.batches.values()] == ["cancelling"]
    assert workbench.postgres("SELECT count(*) FROM vector_pipeline.offline_batch_texts") == [(0,)]
