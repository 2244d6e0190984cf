"""Whatever a provider does wrong, the database holds no wrong vector, and the proof of parity says what is missing.

Each fault meets rows that have all changed: what it costs is the rows that `verify` names, or those in quarantine.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from vector_pipeline.core.errors import DimensionMismatchError, ProviderError, ProviderUnavailableError
from vector_pipeline.core.reports import ParityReport
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, question_only, sync_all

ROWS = 6
ODD = 4  # the row whose text the provider minds
KEYS = {str(i) for i in range(1, ROWS + 1)}


@dataclass(frozen=True)
class Outage:
    """All answers are wrong, whatever the texts are."""

    manner: str
    error: type[ProviderError] = ProviderUnavailableError
    details: dict[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 60


def status(number: int, **headers: str) -> Outage:
    return Outage("status", details={"status": number} | headers)


OUTAGES = {
    "429": status(429),
    "429 with Retry-After": status(429, retry_after="1"),
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "connection reset": Outage("reset"),
    "no answer in time": Outage("hang", timeout_seconds=0.3),
    "slow drip": Outage("drip", details={"seconds": 30.0}, timeout_seconds=0.3),
    "truncated JSON": Outage("truncate", ProviderError),
    "body cut off": Outage("cut"),
    "HTML instead of JSON": Outage("html", ProviderError),
    "error object with status 200": Outage("error in 200", ProviderError),
    "fewer vectors than texts": Outage("fewer", ProviderError),
    "more vectors than texts": Outage("more", ProviderError),
    "wrong length of all": Outage("wrong length", DimensionMismatchError),
    "broken base64": Outage("broken base64", ProviderError),
}

ODD_TEXTS = {
    "an error for one text": "poison",
    "an error for a text that is too long": "overlong",
    "HTTP 500 for a text that is too long": "stumble",
    "wrong length of one": "give-short",
    "NaN": "give-nan",
    "Inf": "give-infinity",
    "zero vector": "give-zero",
    "truncated JSON for one text": "give-nothing",
}


def declared(timeout_seconds: float = 60) -> IndexSpec:
    block = {"type": "openai", "attempts": 1, "texts_per_request": 3, "timeout_seconds": timeout_seconds}
    return question_only(embedding={"provider": block})


@pytest.fixture
def changed(workbench: Workbench) -> Workbench:
    """An index in step, each of whose rows has changed since."""
    workbench.create_faq(ROWS)
    workbench.sync(declared())
    workbench.mysql("UPDATE faq SET question = CONCAT('now ', question)")
    return workbench


def proof(workbench: Workbench) -> ParityReport:
    with workbench.index(declared()) as index:
        assert index.check_honesty() == []
        return index.verify()


def named(report: ParityReport) -> set[str]:
    """The keys of which the proof says that something is wrong, whatever it is."""
    return {
        key
        for difference in report.differences
        for kind in ("missing", "stale", "orphaned", "passages", "vectors", "dishonest")
        for key in getattr(difference, kind)
    }


def quarantined(workbench: Workbench) -> list[str]:
    with workbench.index(declared()) as index:
        return [entry.key for entry in index.quarantine()]


def found_by_their_own_vector(workbench: Workbench) -> set[str]:
    """Keys whose stored vector is the one that the provider gives for the text of their row as it is now."""
    rows = workbench.postgres(
        "SELECT d.key, d.question, v.embedding FROM faq.documents d JOIN faq.passages_1 p ON p.key = d.key"
        " JOIN faq.vectors_1 v ON v.content_hash = p.content_hash AND v.field = p.field"
        " WHERE p.served_hash = p.content_hash"
    )
    right = vectors_of([question for _, question, _ in rows], 8)
    for (key, _, stored), wanted in zip(rows, right, strict=True):
        assert stored.to_numpy().tolist() == pytest.approx(wanted.tolist(), abs=1e-6), key
    return {key for key, _, _ in rows}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_blames_no_text_and_the_proof_names_each_row_that_lacks_its_vector(
    changed: Workbench, provider: MisbehavingProvider, outage: Outage
) -> None:
    provider.behave(outage.manner, **outage.details)
    with changed.index(declared(outage.timeout_seconds)) as index, pytest.raises(outage.error):
        sync_all(index)
    assert quarantined(changed) == []
    report = proof(changed)
    assert (report.equal, report.target_rows, named(report)) == (False, ROWS, KEYS)
    assert found_by_their_own_vector(changed) == set()
    provider.behave("well")
    changed.sync(declared())
    assert proof(changed).equal
    assert found_by_their_own_vector(changed) == KEYS


@pytest.mark.parametrize("mark", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_a_text_that_gets_no_honest_vector_is_quarantined_alone_and_the_proof_holds_but_for_it(
    changed: Workbench, mark: str
) -> None:
    changed.mysql(f"UPDATE faq SET question = '{mark}' WHERE id = {ODD}")
    changed.sync(declared())
    assert quarantined(changed) == [str(ODD)]
    report = proof(changed)
    assert (report.equal, report.quarantined) == (True, 1)
    assert found_by_their_own_vector(changed) == KEYS - {str(ODD)}


@pytest.mark.parametrize("manner", ["shuffle", "lists", "mixed", "no usage"])
def test_an_answer_that_is_only_unusual_costs_nothing(
    changed: Workbench, provider: MisbehavingProvider, manner: str
) -> None:
    provider.behave(manner)
    changed.sync(declared())
    assert quarantined(changed) == []
    assert proof(changed).equal
    assert found_by_their_own_vector(changed) == KEYS


@pytest.mark.parametrize("manner", ["duplicate", "no index"])
def test_an_answer_whose_vectors_belong_to_no_text_for_sure_is_never_guessed_at(
    changed: Workbench, provider: MisbehavingProvider, manner: str
) -> None:
    provider.behave(manner)
    with changed.index(declared()) as index, suppress(ProviderError):
        sync_all(index)
    report = proof(changed)
    assert quarantined(changed) == []
    assert named(report) == KEYS - found_by_their_own_vector(changed)
    assert report.equal == (not named(report))
