"""What a filter is compiled to, and which columns and values it takes."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.filters import parsed
from vector_pipeline.core.search.restricting import restriction
from vector_pipeline.core.search.statement import Restriction
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store.metadata_columns import Kind, MetadataColumn, metadata_columns
from vector_pipeline.core.store.source_columns import AcceptedColumn

COLUMNS = {
    column.name: column
    for column in (
        MetadataColumn("category", Kind.TEXT),
        MetadataColumn("price", Kind.NUMBER),
        MetadataColumn("published", Kind.BOOLEAN),
        MetadataColumn("born", Kind.DATE),
        MetadataColumn("asked", Kind.MOMENT),
        MetadataColumn("changed", Kind.MOMENT, in_utc=True),
        MetadataColumn("opens", Kind.TIME),
        MetadataColumn("hash", Kind.BYTES),
        MetadataColumn("extra", Kind.OTHER),
    )
}


def _compiled(written: object) -> Restriction:
    return restriction(parsed(written), "faq", COLUMNS, ("question", "answer"))


def _given(written: object) -> list[Any]:
    return list(_compiled(written).parameters.values())


def _sql(written: object) -> str:
    condition = _compiled(written).condition
    assert condition is not None
    return condition.as_string(None)


MIDNIGHT, LAST = datetime(2026, 1, 2), datetime(2026, 1, 2, 23, 59, 59, 999999)
NOON = datetime(2026, 1, 2, 12)


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ({"price": 5}, [Decimal(5)]),
        ({"price": 0.1}, [Decimal("0.1")]),
        ({"price": "18446744073709551615"}, [Decimal(18446744073709551615)]),
        ({"price": {"between": [1, "2.50"]}}, [Decimal(1), Decimal("2.50")]),
        ({"published": True}, [Decimal(1)]),
        ({"published": ["false", 1]}, [[Decimal(0), Decimal(1)]]),
        ({"born": "2026-01-02"}, [date(2026, 1, 2)]),
        ({"born": "2026-01-02T12:00:00"}, [date(2026, 1, 2)]),
        ({"asked": "2026-01-02 12:00:00"}, [NOON]),
        ({"asked": NOON}, [NOON]),
        ({"asked": "2026-01-02"}, [MIDNIGHT, LAST]),
        ({"asked": date(2026, 1, 2)}, [MIDNIGHT, LAST]),
        ({"asked": {"<": "2026-01-02"}}, [MIDNIGHT]),
        ({"asked": {"<=": "2026-01-02"}}, [LAST]),
        ({"asked": {">": "2026-01-02"}}, [LAST]),
        ({"asked": {">=": "2026-01-02"}}, [MIDNIGHT]),
        ({"asked": {"between": ["2026-01-02", "2026-01-02"]}}, [MIDNIGHT, LAST]),
        ({"changed": "2026-01-02T14:00:00+02:00"}, [NOON]),
        ({"changed": "2026-01-02T12:00:00Z"}, [NOON]),
        ({"category": {"prefix": r"100%_\ "}}, [r"100\%\_\\ %"]),
        ({"category": "a\0b"}, ["ab"]),
        ({"hash": "ff00"}, ["FF00"]),
    ],
)
def test_values_are_compared_as_what_their_column_is(written: object, given: list[Any]) -> None:
    assert _given(written) == given


def test_values_and_names_of_users_never_become_part_of_the_statement() -> None:
    nasty = "'; DROP TABLE x --"
    compiled = restriction(parsed({nasty: nasty}), "faq", {nasty: MetadataColumn(nasty, Kind.TEXT)}, ())
    assert list(compiled.parameters.values()) == [nasty]
    assert compiled.condition is not None
    assert compiled.condition.as_string(None) == (
        "(left((\"d\".metadata ->> '''; DROP TABLE x --'), 200) COLLATE \"C\") = %(filter_0)s::text"
    )


def test_parameters_have_names_of_their_own() -> None:
    compiled = _compiled(
        {"or": [{"category": ["vector", "limit"]}, {"price": {">": 1, "<": 2}}, {"not": {"price": 7}}]}
    )
    assert set(compiled.parameters) == {f"filter_{number}" for number in range(4)}


def test_not_and_unequal_are_true_of_what_has_no_value() -> None:
    assert _sql({"not": {"category": "a"}}) == _sql({"category": {"!=": "a"}})
    assert _sql({"not": {"category": "a"}}).endswith("IS NOT TRUE)")


def test_texts_longer_than_what_is_indexed_are_compared_whole() -> None:
    long = "x" * 300
    assert _given({"category": long}) == [long[:200], long]
    assert _given({"category": {"prefix": long}}) == [long[:200] + "%", long + "%"]
    assert "left(" not in _sql({"category": {"<": long}})
    assert _given({"category": "x" * 199}) == ["x" * 199]


def test_nothing_is_one_of_nothing_and_everything_fits_no_condition() -> None:
    assert _given({"price": []}) == [[]]
    assert _sql({}) == "true"
    assert _sql({"or": []}) == "false"


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (
            {"colour": "red"},
            r"'colour' is no metadata of 'faq'; filter by category \(text\), price \(number\), published ",
        ),
        ({"question": "what"}, r"'question' is a text, not metadata of 'faq'; filter by category \(text\)"),
        ({"price": {"prefix": "1"}}, r"price \(number\) can't be compared by prefix; it takes =, !=, <, <=, >, >=, in"),
        ({"opens": {"<": "12:00:00"}}, r"opens \(time of day\) can't be compared by <; it takes =, !=, in, is_null"),
        ({"extra": "x"}, r"extra \(other\) can't be compared by =; it takes is_null"),
        ({"price": "cheap"}, r"price \(number\) can't be compared with 'cheap'; give a number"),
        ({"price": True}, r"price \(number\) can't be compared with True; give a number"),
        ({"price": float("nan")}, "give a number"),
        ({"price": "1e99999"}, "give a number"),
        ({"published": "yes"}, "give true or false"),
        ({"category": 5}, r"category \(text\) can't be compared with 5; give a text, \"5\""),
        (
            {"asked": "yesterday"},
            r'asked \(date and time\) can\'t be compared with \'yesterday\'; give a date, "2026-01-31"',
        ),
        ({"asked": "2026-02-30"}, "give a date"),
        ({"asked": 20260101}, "give a date"),
        ({"asked": "2026-01-02T12:00:00Z"}, "stored without a time zone; give it as it is stored"),
        ({"changed": "0001-01-01T00:00:00+02:00"}, "give a date"),
        ({"hash": "xyz"}, "give bytes in hexadecimal"),
    ],
)
def test_a_column_or_value_that_does_not_fit_is_refused_with_what_does(written: object, complaint: str) -> None:
    with pytest.raises(SearchRequestError, match=complaint):
        _compiled(written)


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("varchar(500)", Kind.TEXT),
        ("longtext", Kind.TEXT),
        ("enum('a','b')", Kind.TEXT),
        ("set('a','b')", Kind.TEXT),
        ("bigint(20) unsigned", Kind.NUMBER),
        ("int(5) unsigned zerofill", Kind.NUMBER),
        ("decimal(10,2)", Kind.NUMBER),
        ("double", Kind.NUMBER),
        ("float(7,2)", Kind.NUMBER),
        ("year(4)", Kind.NUMBER),
        ("bit(8)", Kind.NUMBER),
        ("bit(1)", Kind.BOOLEAN),
        ("tinyint(1)", Kind.BOOLEAN),
        ("tinyint(4)", Kind.NUMBER),
        ("date", Kind.DATE),
        ("datetime(6)", Kind.MOMENT),
        ("timestamp", Kind.MOMENT),
        ("time", Kind.TIME),
        ("varbinary(16)", Kind.BYTES),
        ("uuid", Kind.TEXT),
        ("json", Kind.OTHER),
        ("point", Kind.OTHER),
    ],
)
def test_kinds_are_those_of_the_source(type_: str, kind: Kind) -> None:
    spec = IndexSpec.model_validate(
        {
            "name": "faq",
            "source": {"table": "faq", "primary_key": "id"},
            "document": {
                "text": {"question": "question"},
                "metadata": {"served": "Column", "gone": {"column": "gone", "optional": True}},
            },
        }
    )
    found = metadata_columns(spec, {"column": AcceptedColumn("", type_)})
    assert found == {"served": MetadataColumn("served", kind, in_utc=type_ == "timestamp")}
