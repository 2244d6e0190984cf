"""The reference of declarations, from the model that is the component's schema."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from documentation.markdown import document, prose
from documentation.schema import Definitions, Schema, fields, objects
from vector_pipeline.core.spec import IndexSpec

_MOST_DEPTH = 4


@dataclass(frozen=True)
class _Section:
    """Where an object stands in a declaration; `kind` tells it from others that may stand there."""

    path: str
    kind: str
    name: str
    schema: Schema

    @property
    def anchor(self) -> str:
        return "-".join(filter(None, (*self.path.split("."), self.kind))) or "attributes"

    @property
    def title(self) -> str:
        return f"{self.path or 'attributes'}{f', type: {self.kind}' if self.kind else ''}"

    @property
    def heading(self) -> str:
        depth = min(2 + self.path.count("."), _MOST_DEPTH)
        return f"{'#' * depth} {self.title} {{#{self.anchor}}}"


def describe() -> str:
    """Each object of a declaration with its fields, in the order in which they may be written."""
    schema = IndexSpec.model_json_schema()
    known = Definitions(schema["$defs"])
    sections = list(_sections(_Section("", "", "", schema), known, set()))
    anchors = {section.name: f"[{section.kind or 'object'}](#{section.anchor})" for section in sections}
    linked = Definitions(known.known, link=anchors.__getitem__)
    return document(
        part
        for one in sections
        for part in (one.heading, prose(one.schema.get("description", "")), fields(one.schema, linked))
    )


def _sections(section: _Section, definitions: Definitions, told: set[str]) -> Iterator[_Section]:
    yield section
    for field, given in section.schema.get("properties", {}).items():
        found = [(name, inner) for name, inner in objects(given, definitions) if name not in told]
        told.update(name for name, _ in found)
        path = f"{section.path}.{field}" if section.path else field
        for name, inner in found:
            kind = inner["properties"]["type"]["const"] if len(found) > 1 else ""
            yield from _sections(_Section(path, kind, name, inner), definitions, told)
