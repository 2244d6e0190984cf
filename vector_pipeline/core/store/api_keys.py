"""API keys: who may call the service, for what, and on which indexes.

A key is shown once, when it is made. PostgreSQL holds its SHA-256 alone, which suffices because the key is 256 random
bits: there is no dictionary to try, so a slow hash would cost each request time and an attacker nothing. A key is found
by comparing this digest with all that are on file, each in constant time: how long it takes tells nothing of any key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql

from vector_pipeline.core.errors import ApiKeyError

# So that a key is recognised for what it is, by people and by tools that look for secrets in repositories and logs.
_PREFIX = "vp_"
_KEY = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")
_HINT_LENGTH = len(_PREFIX) + 5
_COLUMNS = sql.SQL("key_id, name, hint, scopes, indexes, created_at, expires_at, revoked_at, last_used_at")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")


class AccessScope(StrEnum):
    """What a caller may do. `ADMIN` may do everything; `SYNC` and `METRICS` read no documents."""

    SEARCH = "search"
    SYNC = "sync"
    METRICS = "metrics"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key once it has been shown. `indexes` None means all; `hint` is how the key begins."""

    key_id: int
    name: str
    hint: str
    scopes: tuple[AccessScope, ...]
    indexes: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def valid_at(self, moment: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the only time that `secret` is there."""

    key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True)
class KeysOnFile:
    """The keys by digest that can still be used, at some moment; `ever_made` counts revoked ones too."""

    by_digest: Mapping[bytes, ApiKey] = field(repr=False)
    ever_made: bool

    def find(self, secret: str) -> ApiKey | None:
        """The key that was shown as `secret`."""
        digest = digest_of(secret)
        found = [key for known, key in self.by_digest.items() if hmac.compare_digest(known, digest)]
        return found[0] if found else None


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def without_keys(text: str) -> str:
    """`text` with each API key replaced by its prefix and ***."""
    return _KEY.sub(f"{_PREFIX}***", text)


def create_key(
    connection: psycopg.Connection,
    name: str,
    scopes: Collection[AccessScope],
    indexes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Makes a key. The registry must be there.

    Raises:
        ApiKeyError: the name can't be used, or a key that is in use has it.
    """
    if not _NAME.fullmatch(name):
        raise ApiKeyError(
            f"{name!r} is no name for a key: give up to 63 letters, digits and _ . @ -, a letter or digit first"
        )
    secret = _PREFIX + secrets.token_urlsafe(32)
    row = connection.execute(
        sql.SQL(
            """
            INSERT INTO vector_pipeline.api_keys (name, digest, hint, scopes, indexes, expires_at)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (name) WHERE revoked_at IS NULL DO NOTHING
            RETURNING {}
            """
        ).format(_COLUMNS),
        (
            name,
            digest_of(secret),
            secret[:_HINT_LENGTH],
            [scope.value for scope in AccessScope if scope in scopes],
            None if indexes is None else sorted(set(indexes)),
            expires_at,
        ),
    ).fetchone()
    if row is None:
        raise ApiKeyError(f"there is a key {name!r} already: revoke it, or give this one another name")
    return NewKey(_read(row), secret)


def list_keys(connection: psycopg.Connection) -> list[ApiKey]:
    """All keys, revoked ones too, in the order in which they were made."""
    rows = connection.execute(
        sql.SQL("SELECT {} FROM vector_pipeline.api_keys ORDER BY key_id").format(_COLUMNS)
    ).fetchall()
    return [_read(row) for row in rows]


def revoke_key(connection: psycopg.Connection, name: str) -> ApiKey:
    """Ends a key; servers know within seconds.

    Raises:
        ApiKeyError: no key in use has that name.
    """
    row = connection.execute(
        sql.SQL(
            """
            UPDATE vector_pipeline.api_keys SET revoked_at = clock_timestamp()
            WHERE name = %s AND revoked_at IS NULL
            RETURNING {}
            """
        ).format(_COLUMNS),
        (name,),
    ).fetchone()
    if row is None:
        raise ApiKeyError(f"no key in use has the name {name!r}: `vector-pipeline keys list` shows which there are")
    return _read(row)


def keys_on_file(connection: psycopg.Connection) -> KeysOnFile:
    """All that a server needs to know of keys; none where there is no registry yet. Needs autocommit mode."""
    try:
        rows = connection.execute(
            sql.SQL("SELECT digest, {} FROM vector_pipeline.api_keys").format(_COLUMNS)
        ).fetchall()
    except psycopg.errors.UndefinedTable:
        return KeysOnFile({}, ever_made=False)
    keys = {bytes(digest): _read(row) for digest, *row in rows}
    return KeysOnFile({digest: key for digest, key in keys.items() if key.revoked_at is None}, ever_made=bool(keys))


def note_use(connection: psycopg.Connection, used: Mapping[int, datetime]) -> None:
    """Remembers when keys were last used, by their ids."""
    connection.execute(
        """
        UPDATE vector_pipeline.api_keys k SET last_used_at = u.moment
        FROM unnest(%s::integer[], %s::timestamptz[]) AS u (key_id, moment)
        WHERE k.key_id = u.key_id AND (k.last_used_at IS NULL OR k.last_used_at < u.moment)
        """,
        (list(used), list(used.values())),
    )


def _read(row: Sequence[Any]) -> ApiKey:
    key_id, name, hint, scopes, indexes, *moments = row
    known = tuple(scope for scope in AccessScope if scope.value in scopes)
    return ApiKey(key_id, name, hint, known, None if indexes is None else tuple(indexes), *moments)
