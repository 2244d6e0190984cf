"""An upgrade from every earlier version of our tables, as that version's own code has left them: what was paid for
stays, what was served is served, and what was true stays true."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from _pytest.mark import ParameterSet

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.schema import REGISTRY_VERSION
from vector_pipeline.orchestration.preparing import prepare
from vector_pipeline_tests.core.store.earlier_versions import (
    CHANGED,
    DIMENSIONS,
    QUERY,
    ROWS,
    Recorded,
    recorded_versions,
)
from vector_pipeline_tests.core.store.earlier_versions.recording import change_rows, insert_rows
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.workbench import Synced, Workbench

RECORDED = recorded_versions()
NEWEST = RECORDED[-1].version
FIRST_WITH_GENERATIONS = 4


def _each(*quick: int, since: int = 1) -> list[ParameterSet]:
    """The recorded versions; those that are not told to be quick are left to the long tests."""
    return [
        pytest.param(one, id=f"version {one.version}", marks=() if one.version in quick else pytest.mark.long)
        for one in RECORDED
        if one.version >= since
    ]


TOGETHER = len(ROWS) - 1


@pytest.fixture
def provider() -> Iterator[MisbehavingProvider]:
    with MisbehavingProvider(dimensions=DIMENSIONS) as server:
        yield server


@pytest.fixture
def upgraded(
    request: pytest.FixtureRequest,
    bare_pg_database: TargetSettings,
    mysql_database: SourceSettings,
    provider: MisbehavingProvider,
    instance: dg.DagsterInstance,
) -> Workbench:
    """The recorded database over the table that it was made from, after `vector-pipeline prepare`."""
    recorded: Recorded = request.param
    bench = Workbench(mysql_database, bare_pg_database, EmbeddingSettings(host=provider.url, model="misbehaving-1"))
    with postgres(bare_pg_database) as connection:
        connection.execute(recorded.sql.encode())
    bench.create_faq()
    insert_rows(bench)
    change_rows(bench)
    assert bench.postgres("SELECT max(version) FROM vector_pipeline.schema_version") == [(recorded.version,)]
    assert instance.is_persistent
    told: list[str] = []
    prepare(bench.settings, told.append)
    assert told[0] == f"tables of vector-pipeline: version {REGISTRY_VERSION}"
    return bench


def _recorded(request: pytest.FixtureRequest) -> tuple[Recorded, IndexSpec]:
    recorded: Recorded = request.node.callspec.params["upgraded"]
    return recorded, IndexSpec.model_validate(recorded.declaration)


def _embedded_texts(synced: Synced) -> int:
    """How many got a vector; the one that is refused each time does not."""
    return synced.embedding.texts_embedded if synced.embedding else 0


def _rows_in_quarantine(bench: Workbench) -> int:
    [(rows,)] = bench.postgres("SELECT count(*) FROM vector_pipeline.quarantine")
    return int(rows)


def test_every_version_up_to_the_recorded_newest_is_there() -> None:
    assert [one.version for one in RECORDED] == list(range(1, NEWEST + 1))


@pytest.mark.parametrize("upgraded", _each(1, NEWEST), indirect=True)
def test_an_upgraded_index_is_equal_pays_for_nothing_and_finds_the_same(
    upgraded: Workbench, request: pytest.FixtureRequest
) -> None:
    recorded, spec = _recorded(request)
    with upgraded.index(spec) as index:
        parity = index.verify()
        assert parity.equal
        assert (parity.source_rows, parity.target_rows) == (TOGETHER, TOGETHER)
        assert parity.quarantined == _rows_in_quarantine(upgraded) > 0
    assert _embedded_texts(upgraded.sync(spec)) == 0
    with upgraded.index(spec) as index:
        hits = index.search(QUERY, limit=5).hits
        assert {hit.key: pytest.approx(hit.score) for hit in hits} == dict(recorded.hits)
        assert index.verify().equal


@pytest.mark.parametrize("upgraded", _each(1), indirect=True)
def test_an_upgraded_index_goes_on_following_its_table(upgraded: Workbench, request: pytest.FixtureRequest) -> None:
    _, spec = _recorded(request)
    upgraded.mysql("DELETE FROM faq WHERE id = 2")
    upgraded.mysql("UPDATE faq SET link = 'https://example.org/moved' WHERE id = %s", [[CHANGED[0]]])
    upgraded.add_faq([100])
    synced = upgraded.sync(spec)
    assert (synced.inserted, synced.updated, synced.deleted) == (1, 1, 1)
    assert _embedded_texts(synced) == (1 if spec.embedding.strategy == "concat" else 2)
    with upgraded.index(spec) as index:
        assert "100" in {hit.key for hit in index.search("question number 100?", limit=20).hits}
        assert index.verify().equal


@pytest.mark.parametrize("upgraded", _each(FIRST_WITH_GENERATIONS, since=FIRST_WITH_GENERATIONS), indirect=True)
def test_a_generation_that_an_earlier_version_replaced_can_be_served_again(
    upgraded: Workbench, request: pytest.FixtureRequest
) -> None:
    _, spec = _recorded(request)
    with upgraded.index(spec) as index:
        assert index.roll_back().number == 1
        assert index.search(QUERY, limit=1).hits[0].key == "3"
