"""JSON Schema as tables: the form in which declarations, bodies of requests and arguments of tools are described."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from documentation.markdown import code, table

Schema = Mapping[str, Any]
Link = Callable[[str], str]
"""Name of a definition → how it is written in a table, such as a link to where it is described."""

_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


@dataclass(frozen=True)
class Definitions:
    """What `$ref` names.

    Attributes:
        link: how a definition that isn't looked into is written.
    """

    known: Mapping[str, Schema]
    link: Link = code
    _names: Mapping[str, str] = field(default_factory=dict)

    def named(self, reference: str) -> tuple[str, Schema]:
        """The definition that `#/…/name` names, with its name."""
        name = reference.rpartition("/")[2]
        return name, self.known[name]


def fields(schema: Schema, definitions: Definitions) -> str:
    """A table of the fields that an object may be given; empty for an object without any."""
    required = set(schema.get("required", ()))
    return table(
        ("field", "type", "default", "meaning"),
        [
            (
                code(name),
                type_of_choice(given, definitions),
                default_of(given, name in required),
                meaning(given) or _of_what(given, definitions),
            )
            for name, given in schema.get("properties", {}).items()
        ],
    )


def answered_fields(schema: Schema, definitions: Definitions) -> str:
    """A table of the fields that an object has which is answered."""
    return table(
        ("field", "type", "meaning"),
        [
            (code(name), type_of(given, definitions), meaning(given))
            for name, given in schema.get("properties", {}).items()
        ],
    )


def type_of_choice(schema: Schema, definitions: Definitions) -> str:
    """The type of what may be left out: null goes without saying."""
    types = dict.fromkeys(_types(schema, definitions))
    if len(types) > 1 and schema.get("default") is None:
        types.pop("null", None)
    return " or ".join(types)


def type_of(schema: Schema, definitions: Definitions) -> str:
    """The type, with what is demanded of a value."""
    return " or ".join(dict.fromkeys(_types(schema, definitions)))


def meaning(schema: Schema) -> str:
    """What a field is, with examples."""
    examples = ", ".join(code(_literal(example)) for example in schema.get("examples", ()))
    described = schema.get("description", "")
    return f"{described}\nExample: {examples}" if examples else described


def objects(schema: Schema, definitions: Definitions) -> Iterator[tuple[str, Schema]]:
    """The objects of known fields that a value of this type may be, or be a list or a mapping of."""
    if "$ref" in schema:
        name, found = definitions.named(schema["$ref"])
        if "properties" in found:
            yield name, found
        return
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from objects(alternative, definitions)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, Mapping):
            yield from objects(inner, definitions)


def default_of(schema: Schema, required: bool) -> str:
    """What holds where nothing is given."""
    if required:
        return "required"
    if schema.get("default") in (None, "", []) or isinstance(schema["default"], Mapping):
        return ""
    return code(_literal(schema["default"]))


def _of_what(schema: Schema, definitions: Definitions) -> str:
    """What the one object is that a field without words of its own holds."""
    found = [inner.get("description", "") for _, inner in objects(schema, definitions)]
    return " ".join(found[0].partition("\n\n")[0].split()) if len(found) == 1 else ""


def _types(schema: Schema, definitions: Definitions) -> Iterator[str]:
    if "$ref" in schema:
        name, found = definitions.named(schema["$ref"])
        if "properties" in found:
            yield definitions.link(name)
        else:
            yield from _types(found, definitions)
    elif alternatives := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        for alternative in alternatives:
            yield from _types(alternative, definitions)
    elif "const" in schema:
        yield code(schema["const"])
    elif "enum" in schema:
        yield from map(code, schema["enum"])
    elif schema.get("type") == "array":
        most = f", at most {schema['maxItems']}" if "maxItems" in schema else ""
        yield f"list of {type_of(schema.get('items', {}), definitions)}{most}"
    elif schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        yield f"name → {type_of(schema['additionalProperties'], definitions)}"
    else:
        yield _plain_type(schema)


def _plain_type(schema: Schema) -> str:
    kind = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "object",
        "null": "null",
        None: "anything",
    }[schema.get("type")]
    bounds = [f"{sign} {schema[name]:.12g}" for name, sign in _BOUNDS if name in schema]
    if "maxLength" in schema:
        bounds.append(f"at most {schema['maxLength']} characters")
    kind = schema.get("format", kind)
    return f"{kind} ({', '.join(bounds)})".replace("<", "&lt;") if bounds else kind


def _literal(value: Any) -> str:
    return (
        value if isinstance(value, str) and value == " ".join(value.split()) else json.dumps(value, ensure_ascii=False)
    )
