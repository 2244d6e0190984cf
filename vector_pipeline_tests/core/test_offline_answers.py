"""What becomes of an index whose Batch API answers otherwise than it should."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO

import pytest

from vector_pipeline.core.batch_submission import Submission
from vector_pipeline.core.batches import alone
from vector_pipeline.core.embedding.offline import BatchLimits
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import DishonestAnswerError, ProviderError, VectorPipelineError
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import key_ranges, registry
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.offline_desk import OfflineDesk
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all

HTML = b"<html><body>Please sign in</body></html>\n"
TWO_BATCHES = BatchLimits(requests=5)


@pytest.fixture
def desk(provider: MisbehavingProvider) -> OfflineDesk:
    return provider.offline


def output_of(desk: OfflineDesk, batch: str = "batch_1") -> list[bytes]:
    return desk.files[desk.batches[batch]["output_file_id"]].splitlines(keepends=True)


def test_what_is_no_answer_of_a_batch_api_is_an_error_in_our_words(
    provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    api = OpenAICompatibleProvider(provider.url, "numbers").batches()
    desk.batches["batch_1"] = {}
    for body in (HTML, b"", b"{}", b"[]", b'{"object": "batch", "id": "b', b'{"id": 7, "status": null}'):
        desk.answer_next("retrieve", body)
        with pytest.raises(DishonestAnswerError, match=r"no Batch API|can't be read"):
            api.retrieve("batch_1")
        desk.answer_next("upload", body)
        with pytest.raises(DishonestAnswerError, match=r"no Batch API|can't be read"):
            api.upload(BytesIO(b"{}\n"), "requests.jsonl")


def test_a_server_that_lists_its_first_page_for_ever_is_asked_twice(
    provider: MisbehavingProvider, desk: OfflineDesk
) -> None:
    api = OpenAICompatibleProvider(provider.url, "numbers").batches()
    now = datetime.now(UTC)
    other = {"id": "batch_1", "status": "completed", "metadata": None, "created_at": now.timestamp() + 60}
    listed = json.dumps({"object": "list", "data": [other], "has_more": True}).encode()
    desk.answer_next("list", listed, times=2)
    assert api.find("mark", now) is None


def test_a_batch_whose_making_is_answered_with_nonsense_is_found_again_and_paid_once(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only()) as index:
        desk.answer_next("create", HTML, done=True)
        with pytest.raises(DishonestAnswerError):
            index.submit_batches()
        assert index.submit_batches().texts == 0
        desk.finish()
        assert index.ingest_batches() == 1
    assert desk.embedded.total() == 5


@pytest.mark.parametrize("what", ["a web page", "a line cut off"])
def test_a_result_that_cannot_be_read_stays_at_the_provider_and_is_read_again(
    workbench: Workbench, desk: OfflineDesk, what: str
) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only()) as index:
        index.submit_batches()
        desk.finish()
        desk.answer_next("content", HTML if what == "a web page" else b"".join(output_of(desk))[:-20])
        with pytest.raises(DishonestAnswerError, match=r"1 lines .* can't be read, and \d texts have no other"):
            index.ingest_batches()
        assert index.batches_need_work()
        assert index.ingest_batches() == 1
        assert index.batches()[0].embedded == 5
        sync_all(index)
        assert index.verify().equal
    assert desk.embedded.total() == 5


def test_lines_that_are_strange_twice_there_or_missing_harm_no_other(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only()) as index:
        index.submit_batches()
        desk.finish()
        first, second, *others = output_of(desk)
        stranger = first.replace(json.loads(first)["custom_id"].encode(), b"somebody's")
        unasked = first.replace(json.loads(first)["custom_id"].encode(), b"00" * 32)
        desk.answer_next("content", b"".join([stranger, second, unasked, second, b"\n", *others]))
        assert index.ingest_batches() == 1
        batch = index.batches()[0]
        assert (batch.embedded, batch.given_back) == (4, 1)
        sync_all(index)
        assert index.verify().equal


def test_words_that_postgresql_cannot_store_keep_no_batch_from_its_end(workbench: Workbench, desk: OfflineDesk) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only()) as index:
        index.submit_batches()
        desk.finish("expired", answered=0)
        error_file = desk.batches["batch_1"]["error_file_id"]
        desk.files[error_file] = desk.files[error_file].replace(b"This request", b"\\u0000\\ud800 This request")
        assert index.ingest_batches() == 1
        assert index.batches()[0].given_back == 5


def test_a_batch_that_the_provider_does_not_know_keeps_no_other_from_being_taken_in(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(question_only()) as index:
        index.submit_batches(TWO_BATCHES)
        del desk.batches["batch_1"]
        with pytest.raises(ProviderError):
            index.batches_need_work()
        desk.finish()
        assert index.batches_need_work()
        with pytest.raises(ProviderError):
            index.ingest_batches()
        assert {one.number: one.embedded for one in index.batches()} == {1: 0, 2: 5}


def test_a_text_that_is_erased_while_it_is_at_a_batch_api_is_in_the_ledger(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only(embedding={"price_per_million_tokens": 1000.0})) as index:
        submitted = index.submit_batches()
        workbench.mysql("DELETE FROM faq WHERE id = 3")
        index.erase(["3"])
        desk.finish(usage=False)
        index.ingest_batches()
        spent, batch = index.status().spent, index.batches()[0]
    assert (spent.texts, spent.tokens, batch.tokens) == (5, submitted.tokens, submitted.tokens)
    assert spent.cost == batch.cost == pytest.approx(submitted.cost)


@pytest.mark.parametrize("erased_first", [True, False])
def test_what_a_batch_api_says_of_an_erased_text_is_kept_nowhere(
    workbench: Workbench, desk: OfflineDesk, erased_first: bool
) -> None:
    workbench.create_faq(1)
    with workbench.index(question_only()) as index:
        index.submit_batches()
        desk.finish("expired", answered=0)
        error_file = desk.batches["batch_1"]["error_file_id"]
        desk.files[error_file] = desk.files[error_file].replace(b"This request", b"question number 1?")
        workbench.mysql("DELETE FROM faq WHERE id = 1")
        if erased_first:
            index.erase(["1"])
        index.ingest_batches()
        workbench.postgres("ANALYZE vector_pipeline.offline_batches")
        index.erase(["1"])
    for table in ("vector_pipeline.offline_batches", "pg_stats"):
        assert workbench.postgres(f"SELECT 1 FROM {table} t WHERE strpos(t::text, 'question number 1?') > 0") == []


def test_a_text_that_is_erased_before_its_batch_is_sent_is_not_in_it(
    workbench: Workbench, desk: OfflineDesk, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(5)
    api = OpenAICompatibleProvider(provider.url, "numbers").batches()

    def count_and_erase(text: str) -> int:
        if "number 4" in text:
            workbench.mysql("DELETE FROM faq WHERE id = 3")
            with workbench.index(question_only()) as index:
                index.erase(["3"])
        return 1

    with workbench.index(question_only()) as index, store_connection.connect(workbench.target) as connection:
        index.detect()
        list(index.sync_documents([state.partition for state in index.ranges()]))
        registered = registry.load(connection, "faq")
        assert registered is not None
        submission = Submission(connection, registered, api, count_and_erase, None, None, BatchLimits())
        assert submission.run(key_ranges.load_ranges(connection, registered)).texts == 4
    assert sorted(request["body"]["input"][16] for request in desk.requests) == ["1", "2", "4", "5"]


def test_cancelling_leaves_a_batch_alone_that_is_over_and_ends_the_others(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(question_only()) as index:
        index.submit_batches(TWO_BATCHES)
        desk.batches["batch_1"]["status"] = "failed"
        assert index.cancel_batches() == 1
    assert desk.batches["batch_2"]["status"] == "cancelling"


def test_what_was_paid_for_a_generation_that_is_gone_serves_another_one_of_its_model(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(5)
    workbench.sync(question_only())
    with workbench.index(faq_spec()) as index:
        assert (index.submit_batches().generation, desk.requests[0]["body"]["model"]) == (2, "numbers")
        workbench.postgres("UPDATE vector_pipeline.embedding_indexes SET building_generation = NULL")
        workbench.postgres("DELETE FROM vector_pipeline.generations WHERE generation = 2")
        desk.finish()
        assert index.ingest_batches() == 1
        assert index.batches()[0].embedded == 5
        assert index.estimate().texts == 0


def test_an_index_is_not_dropped_while_somebody_submits_a_batch(workbench: Workbench) -> None:
    workbench.create_faq(1)
    workbench.sync(question_only())
    with workbench.index(question_only()) as index, store_connection.connect(workbench.target) as connection:
        registered = registry.load(connection, "faq")
        assert registered is not None
        with alone(connection, registered), pytest.raises(VectorPipelineError, match="at work on the offline batches"):
            index.drop()
        index.drop()
    assert workbench.postgres("SELECT count(*) FROM vector_pipeline.embedding_indexes") == [(0,)]


def test_an_estimate_counts_no_text_that_is_in_a_batch(workbench: Workbench) -> None:
    workbench.create_faq(5)
    with workbench.index(question_only()) as index:
        index.submit_batches()
        workbench.mysql("UPDATE faq SET question = 'another' WHERE id = 3")
        assert index.estimate().texts == 1
