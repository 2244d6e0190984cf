"""The names that existing clients send and read, as the tools declare them."""

from __future__ import annotations

from typing import Any

import pytest

from vector_pipeline.serving.mcp.tools import TOOLS

INDEXED = {"success", "schema", "table", "model", "vector_dim", "row_count", "indexed_at"}
PLACE = {"schema", "table"}
FOUND = {"success", "query", "query_embedding_dim", "total_matches", "results"}
NEAR = PLACE | {"primary_key_value", "distance", "metadata"}
LISTED = INDEXED - {"success"} | {"columns", "primary_key", "strategy"}

TAKEN = {
    "embed_index_table": PLACE | {"columns", "primary_key", "where_clause", "model", "strategy"},
    "embed_search": PLACE | {"query", "limit", "min_distance", "max_distance"},
    "embedding_search": PLACE | {"query", "limit", "min_distance", "max_distance"},
    "embed_list_indexes": set[str](),
    "embed_delete_index": PLACE,
    "embed_reindex": PLACE,
    "embed_rebuild_all": set[str](),
}
ANSWERED = {
    "embed_index_table": INDEXED,
    "embed_search": FOUND,
    "embedding_search": FOUND,
    "embed_list_indexes": {"success", "indexes"},
    "embed_delete_index": PLACE | {"success", "message"},
    "embed_reindex": INDEXED,
    "embed_rebuild_all": {"success", "rebuilt_count", "failed", "indexes"},
}
WITHIN = {
    ("embed_search", "results"): NEAR,
    ("embedding_search", "results"): NEAR,
    ("embed_list_indexes", "indexes"): LISTED,
    ("embed_rebuild_all", "failed"): PLACE | {"error"},
    ("embed_rebuild_all", "indexes"): LISTED,
}


def answer_of(tool: str) -> dict[str, Any]:
    schema = TOOLS[tool].listed.output_schema
    assert schema is not None
    return schema


@pytest.mark.parametrize(("tool", "names"), TAKEN.items(), ids=TAKEN)
def test_what_clients_send_is_taken(tool: str, names: set[str]) -> None:
    schema = TOOLS[tool].listed.input_schema

    assert names <= schema.get("properties", {}).keys()
    # What is new is never asked of clients that don't know it.
    assert set(schema.get("required", [])) <= names


@pytest.mark.parametrize(("tool", "names"), ANSWERED.items(), ids=ANSWERED)
def test_what_clients_read_is_always_answered(tool: str, names: set[str]) -> None:
    schema = answer_of(tool)

    assert names <= schema["properties"].keys()
    assert names - {"success"} <= set(schema["required"])


@pytest.mark.parametrize(("place", "names"), WITHIN.items(), ids=[" ".join(place) for place in WITHIN])
def test_so_are_the_parts_of_answers(place: tuple[str, str], names: set[str]) -> None:
    tool, part = place
    schema = answer_of(tool)
    one = schema["$defs"][schema["properties"][part]["items"]["$ref"].rpartition("/")[2]]

    assert names <= set(one["required"])


@pytest.mark.parametrize(
    ("tool", "name", "value"),
    [("embed_search", "limit", 10), ("embed_search", "min_distance", 1.0), ("embed_index_table", "strategy", "concat")],
)
def test_what_clients_leave_out_is_as_they_know_it(tool: str, name: str, value: object) -> None:
    assert TOOLS[tool].listed.input_schema["properties"][name]["default"] == value
