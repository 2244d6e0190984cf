"""What becomes of an index whose Batch API answers otherwise than it should."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO

import pytest

from vector_pipeline.core.embedding.offline import BatchLimits
from vector_pipeline.core.embedding.openai_compatible import OpenAICompatibleProvider
from vector_pipeline.core.errors import DishonestAnswerError, ProviderError
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.offline_desk import OfflineDesk
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

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


def test_cancelling_leaves_a_batch_alone_that_is_over_and_ends_the_others(
    workbench: Workbench, desk: OfflineDesk
) -> None:
    workbench.create_faq(10)
    with workbench.index(question_only()) as index:
        index.submit_batches(TWO_BATCHES)
        desk.batches["batch_1"]["status"] = "failed"
        assert index.cancel_batches() == 1
    assert desk.batches["batch_2"]["status"] == "cancelling"
