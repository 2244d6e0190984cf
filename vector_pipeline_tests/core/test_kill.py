"""A sync that is killed, again and again, goes on where it stopped: nothing is lost, little is paid twice, and nothing
stays locked."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.provider_process import ProviderProcess, provider_process
from vector_pipeline_tests.workbench import Workbench, question_only

TEXTS_PER_REQUEST = 25
REQUESTS_IN_FLIGHT = 4
DELAY_MS = 200
MOST_IN_FLIGHT = TEXTS_PER_REQUEST * (REQUESTS_IN_FLIGHT + 1)
LETTING_GO_SECONDS = 10.0


@dataclass(frozen=True)
class Moment:
    """When a process is killed: a share of the undisturbed duration, and of the time until it has something stored."""

    share_of_work: float
    share_of_going_on: float


@dataclass(frozen=True)
class Kill:
    """What there was when a process had been killed."""

    documents: int
    vectors: int
    paid: int


def test_a_sync_killed_in_the_middle_ends_equal(mysql_database: SourceSettings, pg_database: TargetSettings) -> None:
    with _workbench(mysql_database, pg_database) as (workbench, provider):
        _kill_and_end(workbench, provider, rows=400, kills=1)


@pytest.mark.long
def test_a_sync_of_5000_rows_killed_at_twenty_random_moments_ends_equal(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    with _workbench(mysql_database, pg_database) as (workbench, provider):
        kills = _kill_and_end(workbench, provider, rows=5000, kills=20)
    stored = [kill.vectors / 5000 for kill in kills]
    assert stored[0] < 1 / 4, stored
    assert stored[-1] > 1 / 2, stored
    assert len(set(stored)) > len(kills) / 2, f"the kills are not spread over the work: {stored}"


@contextmanager
def _workbench(source: SourceSettings, target: TargetSettings) -> Iterator[tuple[Workbench, ProviderProcess]]:
    with provider_process(dimensions=64, delay_ms=DELAY_MS) as provider:
        yield Workbench(source, target, EmbeddingSettings(host=provider.url, model="numbers")), provider


def _spec(name: str, table: str = "faq") -> IndexSpec:
    block = {"type": "openai", "texts_per_request": TEXTS_PER_REQUEST, "requests_in_flight": REQUESTS_IN_FLIGHT}
    return question_only(
        name=name,
        source={"table": table, "primary_key": "id"},
        range_size=100,
        embedding={"provider": block},
        automation={"ranges_per_run": 5},
    )


def _kill_and_end(workbench: Workbench, provider: ProviderProcess, rows: int, kills: int) -> list[Kill]:
    workbench.create_faq(rows)
    seed = random.randrange(1 << 32)
    print(f"moments chosen with random.Random({seed})")
    undisturbed = syncing_process.finish(syncing_process.start(_spec("undisturbed"), workbench.settings))
    assert undisturbed.embedded == rows
    provider.reset()
    spec = _spec("killed")
    found: list[Kill] = []
    for moment in _moments(random.Random(seed), kills):
        found.append(_kill_at(moment, workbench, provider, spec, undisturbed))
    assert found[-1].vectors < rows, f"the last kill came when all work was done: {found}"
    syncing_process.finish(syncing_process.start(spec, workbench.settings))
    _paid_in_vain_at_most_what_was_in_flight(provider, found, rows)
    _nothing_stays_frozen(workbench, spec)
    return found


def _moments(chance: random.Random, kills: int) -> list[Moment]:
    """Moments spread over the work, one in each equal part, and in the time that a process takes to go on."""
    return [Moment(0.8 * (part + chance.random()) / kills, chance.random()) for part in range(kills)]


def _kill_at(
    moment: Moment,
    workbench: Workbench,
    provider: ProviderProcess,
    spec: IndexSpec,
    undisturbed: syncing_process.Outcome,
) -> Kill:
    """Starts a process, and kills it when it has had the time to get from what is stored to the moment."""
    rows = undisturbed.embedded
    stored = _rows_of(workbench, "killed.vectors_1")
    ahead = max(0.0, moment.share_of_work - stored / rows) * undisturbed.seconds
    # All that is left would be under way: the last moment at which there is something to kill.
    most_paid = _paid(provider) + rows - stored - REQUESTS_IN_FLIGHT * TEXTS_PER_REQUEST
    process = syncing_process.start(spec, workbench.settings)
    deadline = time.monotonic() + ahead + moment.share_of_going_on * (undisturbed.first_text_seconds or 0.0)
    while time.monotonic() < deadline and _paid(provider) < most_paid:
        time.sleep(min(0.02, max(0.0, deadline - time.monotonic())))
    assert process.poll() is None, "the work was done before the kill"
    process.kill()
    process.communicate()
    _wait_until_it_has_let_go(workbench, spec)
    time.sleep(0.05)  # for the provider to count what was sent at the last moment
    return Kill(_rows_of(workbench, "killed.documents"), _rows_of(workbench, "killed.vectors_1"), _paid(provider))


def _wait_until_it_has_let_go(workbench: Workbench, spec: IndexSpec) -> None:
    """A server notices that its client is gone when it has done what that asked for."""
    deadline = time.monotonic() + LETTING_GO_SECONDS
    while _sessions(workbench, spec):
        assert time.monotonic() < deadline, "sessions of the killed process are still there"
        time.sleep(0.01)
    assert _advisory_locks(workbench) == 0


def _sessions(workbench: Workbench, spec: IndexSpec) -> int:
    name = f"vector-pipeline {spec.name}"
    return int(workbench.postgres("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", (name,))[0][0])


def _advisory_locks(workbench: Workbench) -> int:
    return int(
        workbench.postgres(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )[0][0]
    )


def _rows_of(workbench: Workbench, table: str) -> int:
    if workbench.postgres("SELECT to_regclass(%s)", (table,)) == [(None,)]:
        return 0
    return int(workbench.postgres(f"SELECT count(*) FROM {table}")[0][0])


def _paid(provider: ProviderProcess) -> int:
    return provider.stats()["texts"]


def _paid_in_vain_at_most_what_was_in_flight(provider: ProviderProcess, kills: list[Kill], rows: int) -> None:
    lost_before = 0
    for kill in kills:
        lost = kill.paid - kill.vectors
        # One text more: the probe by which the model's dimensions are measured before anything is stored.
        assert lost - lost_before <= MOST_IN_FLIGHT + 1, kills
        lost_before = lost
    stats = provider.stats()
    assert stats["texts"] - rows == lost_before, "a text was paid for twice that no kill had lost"
    assert stats["distinct_texts"] == rows + 1
    print(f"{stats['texts'] - rows} texts paid in vain in {len(kills)} kills, {MOST_IN_FLIGHT} a kill at most")


def _nothing_stays_frozen(workbench: Workbench, spec: IndexSpec) -> None:
    assert _advisory_locks(workbench) == 0
    with workbench.index(spec) as index:
        assert index.due_ranges() == []
        assert not any(state.dirty for state in index.ranges())
        report = index.verify()
    assert report.equal, report
