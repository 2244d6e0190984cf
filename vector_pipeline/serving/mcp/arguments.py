"""What tools take. Agents write arguments in more ways than people do: null for what they leave out, JSON as text."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MOST_HITS = 100
MOST_KEYS = 100
MOST_QUERY_BYTES = 8192
_LONGEST_NAME = 256
_LONGEST_KEY = 3072


class Arguments(BaseModel):
    """Arguments of a tool. What is null counts as left out; what the tool doesn't know is refused, so that a mistyped
    name is not taken for a wish that was granted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        return {name: value for name, value in given.items() if value is not None} if isinstance(given, dict) else given


def _from_json(value: Any) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in {"[", "{"}:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _bounded(query: str) -> str:
    if not query.strip():
        raise ValueError("is empty; ask with at least one word")
    if len(query.encode()) > MOST_QUERY_BYTES:
        raise ValueError(f"is longer than {MOST_QUERY_BYTES} bytes")
    return query


def _as_text(key: Any) -> Any:
    return str(key) if isinstance(key, int) and not isinstance(key, bool) else key


def _without_nul(name: str) -> str:
    if "\0" in name:
        raise ValueError("has a NUL character, which no name has")
    return name


OrJsonText = BeforeValidator(_from_json)
"""Takes an array or an object, and either as JSON text."""

Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME), AfterValidator(_without_nul)]
Key = Annotated[str, Field(min_length=1, max_length=_LONGEST_KEY), BeforeValidator(_as_text)]
Query = Annotated[
    str,
    Field(
        max_length=MOST_QUERY_BYTES,
        description="What to look for, in any language; at most 8 KB.",
        examples=["customers who asked for express delivery"],
    ),
    AfterValidator(_bounded),
]
Limit = Annotated[int, Field(ge=1, le=MOST_HITS, description="The most rows to give, 1 to 100.")]
Filters = Annotated[
    dict[str, Any] | None,
    OrJsonText,
    Field(
        description="Conditions on the row's metadata columns, all of which must hold. A value, a list of values, or "
        'comparisons; null is written as {"field": …, "op": "is_null"}.',
        examples=[{"status": "open"}, {"amount": {">=": 100}, "country": ["DE", "FR"]}],
    ),
]
Schema = Annotated[Name | None, Field(alias="schema", description="The MySQL database of the table.")]
Table = Annotated[Name | None, Field(description="The MySQL table or view.")]
Index = Annotated[Name | None, Field(description="An index by its name, as embed_list_indexes gives it.")]
Keys = Annotated[
    list[Key],
    OrJsonText,
    Field(
        min_length=1,
        max_length=MOST_KEYS,
        description="Primary keys, as primary_key_value of a hit gives them; at most 100. A key of several columns is "
        "their values with | between them.",
        examples=[["17", "23"]],
    ),
]
Columns = Annotated[
    list[Name] | None,
    OrJsonText,
    Field(description="Only these columns, by the names that hits show; all if left out."),
]


class Which(Arguments):
    """Arguments that name indexes: by name, or by the table that they are over."""

    index: Index = None
    database: Schema = None
    table: Table = None
