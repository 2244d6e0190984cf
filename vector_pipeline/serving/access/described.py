"""What the OpenAPI document says of access: how a key is sent, which scope an operation needs, and how it is refused.

One place says so for all operations, since they are refused before any of them is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from vector_pipeline.serving.access.needs import Door, Needs

_SCHEMES = {
    "Bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same, in another header."},
}
_REFUSAL = {
    "title": "Refusal",
    "description": "Why somebody is refused.",
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "examples": [{"detail": "an API key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"}],
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}


def describe_access(app: FastAPI, ways_in: Sequence[Door]) -> None:
    """Lets the application's document tell it."""
    plain = app.openapi
    needed = {(door.path, method): door for door in ways_in for method in door.methods}

    def openapi() -> dict[str, Any]:
        document = plain()
        components = document.setdefault("components", {})
        components["securitySchemes"] = _SCHEMES
        components.setdefault("schemas", {})["Refusal"] = _REFUSAL
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe(operation, needed.get((path, method.upper())))
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], door: Door | None) -> None:
    if door is None or door.is_open:
        operation["security"] = []
        return
    scopes = [one.scope.value for one in door.declared if isinstance(one, Needs) and one.scope is not None]
    # {} since trusted networks, and this machine as long as there is no key, need none.
    operation["security"] = [{"Bearer": scopes}, {"ApiKey": scopes}, {}]
    refusals = {
        "401": _refusal("No API key that is valid", _CHALLENGE),
        "403": _refusal("The key lacks the scope, or is for other indexes"),
        "429": _refusal("Too many requests of this key", _RETRY_AFTER),
        "504": _refusal("The answer took too long"),
    }
    if "requestBody" in operation:
        refusals["413"] = _refusal("The body is too long")
    for status, answer in refusals.items():
        operation["responses"].setdefault(status, answer)


def _refusal(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    return {"description": description, "content": content} | ({"headers": headers} if headers else {})
