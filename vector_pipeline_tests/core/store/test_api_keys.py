"""API keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from vector_pipeline.core.errors import ApiKeyError
from vector_pipeline.core.settings import TargetSettings
from vector_pipeline.core.store.api_keys import (
    AccessScope,
    create_key,
    digest_of,
    keys_on_file,
    list_keys,
    note_use,
    revoke_key,
    without_keys,
)
from vector_pipeline.core.store.schema import create_registry
from vector_pipeline_tests.servers import postgres

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def empty(bare_pg_database: TargetSettings) -> Iterator[psycopg.Connection]:
    with postgres(bare_pg_database) as connection:
        yield connection


@pytest.fixture
def registry(empty: psycopg.Connection) -> psycopg.Connection:
    create_registry(empty)
    return empty


def test_a_key_is_found_by_its_digest_and_stored_nowhere(registry: psycopg.Connection) -> None:
    new = create_key(registry, "dify", [AccessScope.SYNC, AccessScope.SEARCH], ["faq", "catalog", "faq"])
    found = keys_on_file(registry).find(new.secret)
    assert found is not None
    assert keys_on_file(registry).find(new.secret[:-1]) is None
    assert (found.name, found.scopes, found.indexes) == ("dify", ("search", "sync"), ("catalog", "faq"))
    stored = str(registry.execute("SELECT k::text FROM vector_pipeline.api_keys k").fetchall())
    assert new.secret not in stored
    assert new.secret[8:] not in stored
    assert new.secret not in repr(new)


def test_a_key_is_256_random_bits(registry: psycopg.Connection) -> None:
    secrets = {create_key(registry, f"key{i}", [AccessScope.SEARCH]).secret for i in range(20)}
    assert len(secrets) == 20
    assert {len(secret) for secret in secrets} == {len("vp_") + 43}


def test_a_revoked_key_is_not_on_file_but_was_made_and_its_name_is_free(registry: psycopg.Connection) -> None:
    first = create_key(registry, "dify", [AccessScope.SEARCH])
    with pytest.raises(ApiKeyError, match="a key 'dify' already"):
        create_key(registry, "dify", [AccessScope.SEARCH])
    assert revoke_key(registry, "dify").key_id == first.key.key_id
    assert (keys_on_file(registry).by_digest, keys_on_file(registry).ever_made) == ({}, True)
    second = create_key(registry, "dify", [AccessScope.ADMIN])
    assert [key.revoked_at is None for key in list_keys(registry)] == [False, True]
    assert list(keys_on_file(registry).by_digest) == [digest_of(second.secret)]


def test_what_cannot_be_revoked_or_named_so_is_refused(registry: psycopg.Connection) -> None:
    with pytest.raises(ApiKeyError, match="no key in use has the name 'nobody'"):
        revoke_key(registry, "nobody")
    with pytest.raises(ApiKeyError, match="is no name for a key"):
        create_key(registry, "two\nlines", [AccessScope.SEARCH])


def test_a_key_ends_by_itself_at_its_day(registry: psycopg.Connection) -> None:
    key = create_key(registry, "guest", [AccessScope.SEARCH], expires_at=NOW).key
    assert key.valid_at(NOW - timedelta(seconds=1))
    assert not key.valid_at(NOW)


def test_a_database_without_registry_has_no_keys(empty: psycopg.Connection) -> None:
    assert not keys_on_file(empty).ever_made


def test_the_last_use_of_a_key_never_goes_back(registry: psycopg.Connection) -> None:
    key = create_key(registry, "dify", [AccessScope.SEARCH]).key
    for moment in (NOW, NOW - timedelta(hours=1)):
        note_use(registry, {key.key_id: moment})
    assert [key.last_used_at for key in list_keys(registry)] == [NOW]


def test_a_key_in_a_text_is_masked(registry: psycopg.Connection) -> None:
    secret = create_key(registry, "dify", [AccessScope.SEARCH]).secret
    assert without_keys(f"GET /search?key={secret}&limit=5") == "GET /search?key=vp_***&limit=5"
