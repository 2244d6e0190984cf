"""What tools take, and how long their answers may be."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from vector_pipeline.serving.mcp.declaring import IndexTable
from vector_pipeline.serving.mcp.reading import ByKey, IndexedAnswer, IndexedRow
from vector_pipeline.serving.mcp.searching import WordSearch
from vector_pipeline.serving.mcp.size import TooLongError, fitted
from vector_pipeline.serving.mcp.tool import Answer
from vector_pipeline.serving.mcp.tools import TOOLS


@pytest.mark.parametrize("columns", [["name", "notes"], '["name", "notes"]'])
def test_columns_are_an_array_or_json_text(columns: object) -> None:
    given = IndexTable.model_validate({"schema": "shop", "table": "orders", "columns": columns})

    assert (given.columns, given.strategy) == (["name", "notes"], "concat")


@pytest.mark.parametrize("key", ["id", ["id"], '["id"]'])
def test_a_primary_key_is_one_column_or_several(key: object) -> None:
    given = IndexTable.model_validate({"table": "orders", "columns": ["notes"], "primary_key": key})

    assert given.primary_key in ("id", ["id"])


def test_keys_may_be_numbers() -> None:
    assert ByKey.model_validate({"keys": [17, "23"]}).keys == ["17", "23"]


@pytest.mark.parametrize(
    "given",
    [
        {"columns": ["notes"]},
        {"table": "orders", "columns": []},
        {"table": "orders", "columns": "notes"},
        {"table": "orders", "columns": ["notes"], "strategy": "template"},
        {"table": "orders", "columns": ["notes"], "where_clause": "x" * 9000},
    ],
)
def test_what_makes_no_index_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IndexTable.model_validate(given)


@pytest.mark.parametrize(
    "given", [{"index": "\0"}, {"table": "a\0b"}, {"filters": "[" * 100_000}, {"filters": '{"not": ' * 100_000}]
)
def test_what_no_name_is_and_no_json_is_an_argument_that_is_wrong(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WordSearch.model_validate({"query": "refund"} | given)


def answer_of(rows: int, text: str) -> IndexedAnswer:
    results = [
        IndexedRow(primary_key_value=str(row), metadata={"notes": text}, vector_behind=False) for row in range(rows)
    ]
    return IndexedAnswer(index="orders", results=results, missing=[])


@pytest.mark.parametrize("text", ["x" * 300, '"' * 300, "ß" * 300, "\U0001f600" * 300])
def test_an_answer_that_would_be_too_long_leaves_out_its_last_results_and_says_so(text: str) -> None:
    shorter, said = fitted(answer_of(100, text), most=40_000)

    sent = json.dumps({"content": [{"type": "text", "text": said}], "structuredContent": json.loads(said)})
    told = json.loads(said)
    assert len(sent) < 40_000
    assert 0 < len(told["results"]) < 100
    assert told["left_out"].startswith(f"{100 - len(told['results'])} of the results, since")
    assert f"primary_key_value {len(told['results'])}, " in told["left_out"]
    assert shorter.success


def test_an_answer_that_fits_is_whole() -> None:
    answer = answer_of(3, "short")

    assert fitted(answer, most=40_000)[0] is answer


def test_a_long_answer_without_results_is_an_error() -> None:
    class Wordy(Answer):
        words: str

    with pytest.raises(TooLongError):
        fitted(Wordy(words="x" * 50_000), most=40_000)


def test_every_tool_says_what_it_does_and_shows_an_example() -> None:
    for tool in TOOLS.values():
        listed = tool.listed
        assert listed.description is not None
        example = listed.description.partition("Example: ")[2]
        tool.read(json.loads(example))
        assert listed.annotations is not None
        assert listed.annotations.read_only_hint is (not tool.changes)


def test_only_removing_an_index_is_called_destructive() -> None:
    assert [tool.name for tool in TOOLS.values() if tool.destroys] == ["embed_delete_index"]
