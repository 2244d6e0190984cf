"""The reference of the HTTP API, from its OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from documentation.markdown import code, document, prose, table
from documentation.schema import (
    Definitions,
    Schema,
    answered_fields,
    default_of,
    fields,
    meaning,
    objects,
    type_of,
    type_of_choice,
)
from vector_pipeline.core.settings import read_settings
from vector_pipeline.serving.app import create_app
from vector_pipeline.serving.deployment import Deployment
from vector_pipeline.serving.settings import read_serving_settings

# Nothing is connected to: the document says what there may be, not what there is.
_NOWHERE = {name: "nowhere" for name in ("DB_HOST", "DB_USER", "DB_NAME", "PG_HOST", "PG_USER", "PGVECTOR_DB_NAME")}
_LEAST_ERROR = 400


@cache
def openapi_document() -> dict[str, Any]:
    """As `GET /openapi.json` answers it."""
    deployment = Deployment(read_settings(_NOWHERE), read_serving_settings({}), in_files=list)
    try:
        return create_app(deployment).openapi()
    finally:
        deployment.close()


def describe() -> str:
    """Every route, then what is sent and answered, then the errors."""
    api = openapi_document()
    schemas = api["components"]["schemas"]
    titles = _titles(schemas)
    definitions = Definitions(schemas, link=lambda name: f"[{titles[name]}](#{_anchor(titles[name])})")
    return document((*_routes(api, definitions), *_models(api, titles, definitions), *_errors(api, definitions)))


def _routes(api: Mapping[str, Any], definitions: Definitions) -> Iterator[str]:
    tagged: dict[str, list[str]] = {}
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            tagged.setdefault(operation["tags"][0], []).append(_route(method, path, operation, definitions))
    for tag, routes in tagged.items():
        yield f"## Routes: {tag}"
        yield from routes


def _route(method: str, path: str, operation: Mapping[str, Any], definitions: Definitions) -> str:
    return document(
        (
            f"### {method.upper()} {path} {{#{operation['operationId']}}}",
            f"{operation['summary']}. {_scopes(operation)}",
            prose(operation.get("description", "")),
            _parameters(operation, definitions),
            _body(operation, definitions),
            _answers(operation, definitions),
        )
    )


def _scopes(operation: Mapping[str, Any]) -> str:
    scopes = {scope for way in operation.get("security", ()) for scopes in way.values() for scope in scopes}
    return f"Scope: {' or '.join(map(code, sorted(scopes)))}." if scopes else "Open to all."


def _parameters(operation: Mapping[str, Any], definitions: Definitions) -> str:
    return table(
        ("parameter", "in", "type", "default", "meaning"),
        [
            (
                code(one["name"]),
                one["in"],
                type_of_choice(one["schema"], definitions),
                default_of(one["schema"], one.get("required", False)),
                meaning({**one["schema"], "description": one.get("description", "")}),
            )
            for one in operation.get("parameters", ())
        ],
    )


def _body(operation: Mapping[str, Any], definitions: Definitions) -> str:
    if "requestBody" not in operation:
        return ""
    return f"Body: {_content(operation['requestBody'], definitions)}."


def _answers(operation: Mapping[str, Any], definitions: Definitions) -> str:
    right = [
        f"{status}: {_content(answer, definitions)}"
        for status, answer in sorted(operation["responses"].items())
        if int(status) < _LEAST_ERROR
    ]
    wrong = [status for status in sorted(operation["responses"]) if int(status) >= _LEAST_ERROR]
    errors = f" Errors: {', '.join(f'[{status}](#errors)' for status in wrong)}." if wrong else ""
    return f"Answers: {'; '.join(right)}.{errors}"


def _content(holder: Mapping[str, Any], definitions: Definitions) -> str:
    """What a body is: its type where it is JSON, else its media type."""
    told = [
        type_of(media["schema"], definitions) if kind == "application/json" and media.get("schema") else code(kind)
        for kind, media in holder.get("content", {}).items()
    ]
    return " or ".join(told) or "no body"


def _models(api: Mapping[str, Any], titles: Mapping[str, str], definitions: Definitions) -> Iterator[str]:
    yield "## Bodies"
    sent = set(_sent(api, definitions))
    for name in sorted(titles, key=lambda one: titles[one].lower()):
        schema = definitions.known[name]
        described = (fields if name in sent else answered_fields)(schema, definitions)
        yield f"### {titles[name]} {{#{_anchor(titles[name])}}}"
        yield prose(schema.get("description", ""))
        yield described or f"{type_of(schema, definitions)}."
        for example in schema.get("examples", ())[:1]:
            yield f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"


def _sent(api: Mapping[str, Any], definitions: Definitions) -> Iterator[str]:
    """Names of what requests are made of."""
    wanted = [
        media["schema"]
        for methods in api["paths"].values()
        for operation in methods.values()
        for media in operation.get("requestBody", {"content": {}})["content"].values()
    ]
    while wanted:
        for name, found in objects(wanted.pop(), definitions):
            yield name
            wanted += found.get("properties", {}).values()


def _errors(api: Mapping[str, Any], definitions: Definitions) -> Iterator[str]:
    told: dict[tuple[str, str], str] = {}
    for methods in api["paths"].values():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= _LEAST_ERROR:
                    told.setdefault((status, answer["description"]), _content(answer, definitions))
    yield "## Errors"
    yield table(("status", "when", "body"), [(status, when, body) for (status, when), body in sorted(told.items())])


def _titles(schemas: Mapping[str, Schema]) -> dict[str, str]:
    """Names for people: those of classes, told apart by their package where there are several."""
    short = {name: name.rpartition("__")[2] for name in schemas}
    return {
        name: title if list(short.values()).count(title) == 1 else f"{title} of {name.split('__')[-3]}"
        for name, title in short.items()
    }


def _anchor(title: str) -> str:
    return "body-" + title.lower().replace(" ", "-")
