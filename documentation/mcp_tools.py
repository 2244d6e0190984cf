"""The reference of the MCP tools, from what agents are told of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from documentation.markdown import code, document, prose
from documentation.schema import Definitions, Schema, answered_fields, fields, objects
from vector_pipeline.serving.mcp.tool import Tool
from vector_pipeline.serving.mcp.tools import TOOLS

_Fields = Callable[[Schema, Definitions], str]
_EXAMPLE = re.compile(r"^Example: (\{.*\})\Z", re.DOTALL | re.MULTILINE)


def describe() -> str:
    """Each tool: what it does, who may call it, what it takes and gives."""
    return document(_tool(tool) for tool in TOOLS.values())


def _tool(tool: Tool[Any]) -> str:
    listed = tool.listed
    if tool.alias_of:
        return document((f"## {tool.name}", f"The same as [{tool.alias_of}](#{tool.alias_of})."))
    told = listed.description or ""
    example = _EXAMPLE.search(told)
    return document(
        (
            f"## {tool.name}",
            f"{tool.title}. Scope: {code(tool.scope.value)}. {_effect(tool)}",
            prose(_EXAMPLE.sub("", told)),
            f"```json\n{example[1]}\n```" if example else "",
            *_object("Takes", fields, listed.input_schema),
            *_object("Answers with", answered_fields, listed.output_schema or {}),
        )
    )


def _effect(tool: Tool[Any]) -> str:
    if tool.destroys:
        return "What it does can't be taken back."
    return "Changes something here." if tool.changes else "Only reads."


def _object(verb: str, described_fields: _Fields, schema: Schema) -> Iterator[str]:
    """The fields of an object, then those of the objects in them."""
    definitions = Definitions(schema.get("$defs", {}))
    described = described_fields(schema, definitions)
    yield f"{verb}:" if described else f"{verb} nothing."
    yield described
    told: set[str] = set()
    for name, inner in _inner_objects(schema, definitions, told):
        yield f"{code(name)}:"
        yield described_fields(inner, definitions)


def _inner_objects(schema: Schema, definitions: Definitions, told: set[str]) -> Iterator[tuple[str, Schema]]:
    for given in schema.get("properties", {}).values():
        for name, inner in objects(given, definitions):
            if name not in told:
                told.add(name)
                yield name, inner
                yield from _inner_objects(inner, definitions, told)
