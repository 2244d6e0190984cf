"""How filters are written, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vector_pipeline.core.errors import SearchRequestError
from vector_pipeline.core.search.filters import And, Comparison, Not, Operator, Or, parsed, parsed_texts, to_json

HEALTH = Comparison("category", Operator.EQUAL, ("health",))
SINCE = Comparison("asked", Operator.AT_LEAST, ("2026-01-01",))
NO_LINK = Comparison("link", Operator.IS_NULL)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"field": "category", "op": "=", "value": "health"}, HEALTH),
        ({"field": "category", "value": "health"}, HEALTH),
        ({"category": "health"}, HEALTH),
        ({"category": ["a", "b"]}, Comparison("category", Operator.IN, ("a", "b"))),
        ({"category": []}, Comparison("category", Operator.IN)),
        ({"link": None}, NO_LINK),
        ({"field": "link", "op": "is_null"}, NO_LINK),
        ({"field": "link", "op": "is_null", "value": False}, Not(NO_LINK)),
        ({"category": "health", "link": None}, And((HEALTH, NO_LINK))),
        ({"asked": {">=": "2026-01-01"}}, SINCE),
        (
            {"asked": {">=": "2026-01-01", "<": "2026-02-01"}},
            And((SINCE, Comparison("asked", Operator.LESS, ("2026-02-01",)))),
        ),
        ({"price": {"between": [1, 2.5]}}, Comparison("price", Operator.BETWEEN, (1, 2.5))),
        ({"and": [SINCE_WRITTEN := {"field": "asked", "op": ">=", "value": "2026-01-01"}]}, And((SINCE,))),
        ({"or": [SINCE_WRITTEN, {"not": {"link": None}}]}, Or((SINCE, Not(NO_LINK)))),
        ({"field": "and", "op": "=", "value": "x"}, Comparison("and", Operator.EQUAL, ("x",))),
        ({"field": "x"}, Comparison("field", Operator.EQUAL, ("x",))),
        ({}, And(())),
    ],
)
def test_a_filter_has_a_long_and_a_short_form(written: dict[str, Any], meant: object) -> None:
    assert parsed(written) == meant
    assert parsed(to_json(parsed(written))) == meant
    assert parsed(json.loads(json.dumps(to_json(parsed(written))))) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (["category=health"], HEALTH),
        ([" asked >= 2026-01-01"], SINCE),
        (["category!=health"], Comparison("category", Operator.NOT_EQUAL, ("health",))),
        (["link=https://example.org/?a=1"], Comparison("link", Operator.EQUAL, ("https://example.org/?a=1",))),
        (['{"link": null}', "category=health"], And((NO_LINK, HEALTH))),
    ],
)
def test_on_the_command_line_a_filter_is_a_column_a_sign_and_a_value_or_json(written: list[str], meant: object) -> None:
    assert parsed_texts(written) == meant


def test_no_filter_on_the_command_line_is_none() -> None:
    assert parsed_texts([]) is None


def _nested(levels: int) -> dict[str, Any]:
    written: dict[str, Any] = {"category": "health"}
    for _ in range(levels):
        written = {"not": written}
    return written


def _endless() -> dict[str, Any]:
    written: dict[str, Any] = {}
    written["and"] = [written]
    return written


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("category", "filter: 'category' is no condition; write"),
        ([{"category": "a"}], "is no condition"),
        ({"and": [{"category": "a"}, 3]}, r"filter\.and\[1\]: 3 is no condition"),
        ({1: "a"}, "is no condition"),
        ({"field": "asked", "op": "=>", "value": 1}, "'=>' is no operator; use =, !=, <, <=, >, >=, in, between"),
        ({"asked": {"after": 1}}, "'after' is no operator"),
        ({"field": "asked", "op": ["="], "value": 1}, r"\['='\] is no operator"),
        ({"field": 3, "op": "=", "value": 1}, "3 is no name of a column"),
        ({"field": "asked", "op": ">"}, '"op": "is_null"'),
        ({"category": ["a", None]}, 'to ask for category without one write {"field": "category", "op": "is_null"}'),
        ({"category": [["a"]]}, "is no value to compare category with by in"),
        ({"field": "category", "op": "=", "value": {"a": 1}}, "is no value to compare category with by ="),
        ({"field": "category", "op": "in", "value": "a"}, "in takes a list"),
        ({"price": {"between": [1]}}, "the lowest and the highest"),
        ({"link": {"is_null": "yes"}}, "is_null takes no value but true or false"),
        ({"and": [], "or": []}, "'and' takes a list of conditions, and stands in an object by itself"),
        ({"not": []}, "'not' takes one condition"),
        (_nested(10), "nested deeper than 10 levels"),
        (_nested(100_000), "nested deeper than 10 levels"),
        (_endless(), "nested deeper than 10 levels"),
        ({"or": [{"a": 1}] * 101}, "more than 100 comparisons"),
        ({"a": list(range(1001))}, "more than 1000 values"),
        ({"a": "x" * 10_001}, "10001 characters; 10000 are the most"),
        ({"a": "\ud800"}, "half of a character is missing"),
        ({"a": 10**5000}, "a number of more than 400 digits"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(written: object, complaint: str) -> None:
    with pytest.raises(SearchRequestError, match=complaint):
        parsed(written)


@pytest.mark.parametrize("written", ["category", "{", "[" * 100_000, "{" + '"not": {' * 100_000, "=health"])
def test_what_is_no_filter_on_the_command_line_is_refused(written: str) -> None:
    with pytest.raises(SearchRequestError):
        parsed_texts([written])
