"""What a process knows of API keys, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import pytest

from vector_pipeline.core.errors import TargetUnavailableError
from vector_pipeline.core.store.api_keys import AccessScope, KeysOnFile, create_key, list_keys, revoke_key
from vector_pipeline.core.store.schema import create_registry
from vector_pipeline.serving.access.key_ring import FRESH_SECONDS, OUTAGE_SECONDS, UNKNOWN_SECONDS, KeyRing
from vector_pipeline.serving.access.protect import reading_keys
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.access.small_service import KEYS, NEVER_MADE, SEARCH_KEY
from vector_pipeline_tests.serving.serving import live_server
from vector_pipeline_tests.workbench import Workbench


class Shelf:
    """Keys that are read, a clock, and how often they were read."""

    def __init__(self) -> None:
        self.keys = KEYS
        self.away = False
        self.now = 1000.0
        self.reads = 0
        self.used: list[Mapping[int, datetime]] = []

    def read(self, used: Mapping[int, datetime]) -> KeysOnFile:
        self.reads += 1
        if self.away:
            raise TargetUnavailableError("PostgreSQL is away")
        self.used.append(used)
        return self.keys

    def ring(self) -> KeyRing:
        return KeyRing(self.read, lambda: self.now)


def name_of(ring: KeyRing, secret: str) -> str | None:
    key = asyncio.run(ring.find(secret))
    return key.name if key is not None else None


def test_keys_are_read_once_for_many_requests() -> None:
    shelf = Shelf()
    ring = shelf.ring()

    async def fifty() -> set[str]:
        found = await asyncio.gather(*(ring.find(SEARCH_KEY) for _ in range(50)))
        return {key.name for key in found if key is not None}

    assert asyncio.run(fifty()) == {"number1"}
    assert shelf.reads == 1


def test_a_revoked_key_stops_within_seconds() -> None:
    shelf = Shelf()
    ring = shelf.ring()
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.keys = NEVER_MADE
    shelf.now += FRESH_SECONDS
    assert name_of(ring, SEARCH_KEY) is None


def test_a_new_key_is_good_at_once_and_wrong_ones_cost_no_query_each() -> None:
    shelf = Shelf()
    shelf.keys = NEVER_MADE
    ring = shelf.ring()
    for _ in range(20):
        assert name_of(ring, "wrong") is None
    assert shelf.reads == 1
    shelf.keys = KEYS
    shelf.now += UNKNOWN_SECONDS
    assert name_of(ring, SEARCH_KEY) == "number1"


def test_known_keys_outlast_an_outage_but_not_for_ever() -> None:
    shelf = Shelf()
    ring = shelf.ring()
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.away = True
    shelf.now += OUTAGE_SECONDS - 1
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.now += 1
    with pytest.raises(TargetUnavailableError, match="API keys can't be read"):
        asyncio.run(ring.any_ever_made())
    shelf.away = False
    shelf.now += UNKNOWN_SECONDS
    assert name_of(ring, SEARCH_KEY) == "number1"


def test_an_outage_is_not_tried_with_each_request() -> None:
    shelf = Shelf()
    shelf.away = True
    ring = shelf.ring()
    for _ in range(20):
        with pytest.raises(TargetUnavailableError):
            asyncio.run(ring.find(SEARCH_KEY))
    assert shelf.reads == 1


def test_uses_are_noted_together_once_a_minute() -> None:
    shelf = Shelf()
    ring = shelf.ring()
    for _ in range(120):
        name_of(ring, SEARCH_KEY)
        shelf.now += 1
    assert len([used for used in shelf.used if used]) == 2
    assert {number for used in shelf.used for number in used} == {1}


def test_uses_that_could_not_be_noted_are_noted_later() -> None:
    shelf = Shelf()
    ring = shelf.ring()
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.away = True
    shelf.now += FRESH_SECONDS
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.away = False
    asyncio.run(ring.note_last_uses())
    assert set(shelf.used[-1]) == {1}


def test_a_service_ends_though_uses_can_not_be_noted() -> None:
    shelf = Shelf()
    ring = shelf.ring()
    assert name_of(ring, SEARCH_KEY) == "number1"
    shelf.away = True
    asyncio.run(ring.note_last_uses())


def test_when_a_key_was_used_is_noted_before_the_service_has_ended(bench_without_index: Workbench) -> None:
    with postgres(bench_without_index.target) as connection:
        create_registry(connection)
        secret = create_key(connection, "dify", [AccessScope.SEARCH]).secret
        with live_server(bench_without_index, []) as live:
            assert live.client.get("/v1/indexes", headers={"X-API-Key": secret}).status_code == 200
        assert list_keys(connection)[0].last_used_at is not None


def test_keys_are_made_used_and_revoked_under_a_running_deployment(bench_without_index: Workbench) -> None:
    deployment = Deployment(bench_without_index.settings, None, list)
    now = 1000.0
    ring = KeyRing(reading_keys(deployment), lambda: now)
    try:
        assert not asyncio.run(ring.any_ever_made())
        with postgres(bench_without_index.target) as connection:
            create_registry(connection)
            secret = create_key(connection, "dify", [AccessScope.SEARCH]).secret
            now += 60
            assert name_of(ring, secret) == "dify"
            now += 60
            assert name_of(ring, secret) == "dify"
            assert list_keys(connection)[0].last_used_at is not None
            revoke_key(connection, "dify")
        now += FRESH_SECONDS
        assert name_of(ring, secret) is None
        assert asyncio.run(ring.any_ever_made())
    finally:
        deployment.close()
