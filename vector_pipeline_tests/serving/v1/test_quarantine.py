"""The quarantine by /v1, on a live server over a provider that refuses some texts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.serving.serving import LiveServer, live_server
from vector_pipeline_tests.workbench import Workbench, question_only


@pytest.fixture
def poisoned(mysql_database: SourceSettings, pg_database: TargetSettings) -> Iterator[LiveServer]:
    """A server over six rows, of which 2, 3 and 5 have a text that the provider refuses."""
    with MisbehavingProvider(dimensions=8) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        bench.create_faq(6)
        bench.mysql("UPDATE faq SET question = CONCAT('poison ', id) WHERE id IN (2, 3, 5)")
        bench.sync(question_only())
        with live_server(bench, [question_only()]) as server:
            yield server


def listed(server: LiveServer, **asked: int) -> tuple[list[str], int | None]:
    found = server.client.get("/v1/indexes/faq/quarantine", params=asked).json()
    return [entry["key"] for entry in found["entries"]], found["next_offset"]


def test_the_quarantine_is_listed_in_parts_with_the_reasons(poisoned: LiveServer) -> None:
    assert listed(poisoned) == (["2", "3", "5"], None)
    assert listed(poisoned, limit=2) == (["2", "3"], 2)
    assert listed(poisoned, limit=2, offset=2) == (["5"], None)
    [entry, *_] = poisoned.client.get("/v1/indexes/faq/quarantine").json()["entries"]
    assert (entry["field"], entry["reason"], entry["attempts"]) == ("question", "refused by the provider", 1)


def test_refused_texts_are_ignored_taken_up_again_and_tried_again(poisoned: LiveServer) -> None:
    def decide(what: str, **body: list[str]) -> int:
        answer = poisoned.client.post(f"/v1/indexes/faq/quarantine/{what}", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["texts"])

    assert decide("ignore", keys=["2", "3"]) == 2
    assert decide("retry") == 1
    assert decide("unignore", keys=["2"]) == 1
    assert decide("retry") == 2


@pytest.mark.parametrize("keys", [["1"], ["2", "\0"], ["2", "nobody"]])
def test_a_row_without_a_refused_text_is_named_and_nothing_is_changed(poisoned: LiveServer, keys: list[str]) -> None:
    answer = poisoned.client.post("/v1/indexes/faq/quarantine/ignore", json={"keys": keys})

    assert answer.status_code == 404
    assert "no text in quarantine" in answer.json()["detail"]
    assert all(
        entry["ignored_at"] is None for entry in poisoned.client.get("/v1/indexes/faq/quarantine").json()["entries"]
    )
