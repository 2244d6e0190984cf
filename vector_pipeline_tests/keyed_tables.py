"""Tables that differ in their key alone: what kinds of keys there are, and how the target names each row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

KeyValues = tuple[Any, ...]

VARIANTS = 4
"""In how many forms a table may write one key."""


@dataclass(frozen=True)
class KeyedTable:
    """A table `rows_of_it` with one kind of key.

    Attributes:
        ddl: the key's columns.
        columns: their names.
        values: the values of the key with a number, in one of its variants, which a table takes for one key.
        text: how the target writes a key.
        bound: a key's values from how the target writes it.
    """

    ddl: str
    columns: tuple[str, ...]
    values: Callable[[int, int], KeyValues]
    text: Callable[[KeyValues], str]
    bound: Callable[[str], KeyValues]

    @property
    def declared(self) -> str | list[str]:
        """What a declaration says of it."""
        return self.columns[0] if len(self.columns) == 1 else list(self.columns)

    @property
    def tuple_of_columns(self) -> str:
        """For comparisons in SQL."""
        return f"({', '.join(self.columns)})"

    @property
    def tuple_of_values(self) -> str:
        """Placeholders for one key."""
        return f"({', '.join(['%s'] * len(self.columns))})"


def _integer(number: int, variant: int) -> KeyValues:  # noqa: ARG001 - a number has one form
    # Gaps, numbers below zero, and both ends of the type.
    return ({0: -(1 << 63), 59: (1 << 63) - 1}.get(number, 3 * number - 60),)


def _word(number: int, variant: int) -> KeyValues:
    # To a collation that ignores case and accents and pads with spaces, these are one key.
    return ([f"key {number:02}", f"KEY {number:02}", f"këy {number:02}", f"Key {number:02} "][variant],)


def _bytes(number: int, variant: int) -> KeyValues:  # noqa: ARG001 - bytes have one form
    return (sha256(str(number).encode()).digest()[:14] + bytes(2),)


_TENANTS = ("Acme|1", "b\\", "C")


def _of_a_tenant(number: int, variant: int) -> KeyValues:
    tenant = _TENANTS[number // 20]
    # To a collation that ignores case, these are one key.
    return (tenant.upper() if variant % 2 else tenant.lower(), number % 20 - 10)


def _parts_as_text(key: KeyValues) -> str:
    return "|".join(str(value).replace("\\", "\\\\").replace("|", "\\|") for value in key)


def _parts_from_text(text: str) -> KeyValues:
    parts = re.findall(r"(?:^|\|)((?:[^\\|]|\\.)*)", text)
    tenant, number = (re.sub(r"\\(.)", r"\1", part) for part in parts)
    return tenant, int(number)


KEYED_TABLES = {
    "integer": KeyedTable(
        ddl="id BIGINT PRIMARY KEY",
        columns=("id",),
        values=_integer,
        text=lambda key: str(key[0]),
        bound=lambda text: (int(text),),
    ),
    "word": KeyedTable(
        ddl="id VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY",
        columns=("id",),
        values=_word,
        text=lambda key: key[0],
        bound=lambda text: (text,),
    ),
    "bytes": KeyedTable(
        ddl="id BINARY(16) PRIMARY KEY",
        columns=("id",),
        values=_bytes,
        text=lambda key: key[0].hex().upper(),
        bound=lambda text: (bytes.fromhex(text),),
    ),
    "of a tenant": KeyedTable(
        ddl="tenant VARCHAR(20) COLLATE utf8mb4_unicode_ci, id INT, PRIMARY KEY (tenant, id)",
        columns=("tenant", "id"),
        values=_of_a_tenant,
        text=_parts_as_text,
        bound=_parts_from_text,
    ),
}
