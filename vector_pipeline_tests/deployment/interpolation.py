"""Variables in a compose file, as Compose puts their values in: `${NAME}`, `${NAME:-default}`, `${NAME-default}`,
`${NAME:?message}`, with others in the default; `$$` is a dollar sign."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_OPENING = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?P<operator>:-|-|:\?|\?)?)")


class MissingVariableError(Exception):
    """A variable that has to be set is not; the message is the file's own."""


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """The same value with all variables in its texts replaced."""
    if isinstance(value, str):
        return _text(value, variables)
    if isinstance(value, dict):
        return {name: interpolated(inner, variables) for name, inner in value.items()}
    if isinstance(value, list):
        return type(value)(interpolated(inner, variables) for inner in value)
    return value


def variables_in(text: str) -> set[str]:
    """The names of all variables in the text of a file, those within defaults too."""
    return {found["name"] for found in _OPENING.finditer(text) if found["name"]}


def _text(text: str, variables: Mapping[str, str]) -> str:
    found = _OPENING.search(text)
    if found is None:
        return text
    if found["name"] is None:
        return text[: found.start()] + "$" + _text(text[found.end() :], variables)
    end = _closing(text, found.end())
    rest = text[found.end() : end]
    given = variables.get(found["name"])
    match found["operator"]:
        case ":-":
            value = given or _text(rest, variables)
        case "-":
            value = _text(rest, variables) if given is None else given
        case ":?" | "?":
            if not given:
                raise MissingVariableError(f"{found['name']}: {rest}")
            value = given
        case _:
            value = given or ""
    return text[: found.start()] + value + _text(text[end + 1 :], variables)


def _closing(text: str, start: int) -> int:
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"no end of a variable in {text!r}")
