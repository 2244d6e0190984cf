"""Blocks of YAML, JSON, TOML, CSV and Python are what they say; requests by curl are ones that the API takes."""

from __future__ import annotations

import ast
import csv
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator

from documentation import http_api
from vector_pipeline.core.declaration import DeclarationProblem
from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import Place, declare
from vector_pipeline_tests.documentation.blocks import COMPONENT, Block, blocks
from vector_pipeline_tests.documentation.shell import SHELLS, calls, commands, typed

# What the declaration has of which only a part is shown.
_TEXTS = ("name", "description", "question", "answer")
_METADATA = ("price", "category", "lang")
_REST = {
    "name": "shown",
    "source": {"table": "shown", "primary_key": "id"},
    "document": {"text": {name: name for name in _TEXTS}, "metadata": {name: name for name in _METADATA}},
}
_LANGUAGES = {*SHELLS, "csv", "json", "python", "sql", "text", "toml", "yaml"}
_SERVICE = re.compile(r"^(http://127\.0\.0\.1:5000|/v1)")
_OPTIONS_WITH_VALUE = {"-H", "-X", "-d", "-o", "-w", "-m", "--data", "--max-time", "--retry"}


def test_each_block_says_what_it_is() -> None:
    assert [f"{block}: {block.language!r}" for block in blocks() if block.language not in _LANGUAGES] == []


def declared(block: Block, folder: Path) -> tuple[DeclarationProblem, ...] | None:
    """What is wrong with the declaration, or the part of one, that a block shows; None if it shows something else.

    Raises:
        IndexSpecError: it is malformed.
    """
    shown = yaml.safe_load(dedent(block.text))
    if not isinstance(shown, dict):
        return None
    if shown.get("type") == COMPONENT:
        attributes = shown["attributes"]
    elif shown.keys() & IndexSpec.model_fields.keys() - {"name", "description"}:
        attributes = {**_REST, **shown}
        if "catalog" in attributes["source"]:
            del attributes["document"]
    else:
        return None
    return declare(attributes, Place(folder / "defs.yaml"), folder).problems


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_is_a_declaration_or_something_else(block: Block, tmp_path: Path) -> None:
    # What only the table can tell, and the golden set's file, are the reader's.
    problems = declared(block, tmp_path) or ()

    assert [str(problem) for problem in problems if problem.field != "search.golden_set"] == []


def test_declarations_are_among_them(tmp_path: Path) -> None:
    assert len([block for block in blocks("yaml") if declared(block, tmp_path) is not None]) > 10


def test_a_field_that_is_mistaken_would_be_found(tmp_path: Path) -> None:
    with pytest.raises(IndexSpecError, match="treshold"):
        declared(Block("page.md", 1, "yaml", "search:\n  treshold: 0.2"), tmp_path)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_can_be_read(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", [*blocks("toml"), *blocks("csv")], ids=str)
def test_toml_and_csv_can_be_read(block: Block) -> None:
    if block.language == "toml":
        assert tomllib.loads(block.text)
    else:
        head, *rows = csv.reader(block.text.splitlines())
        assert {len(row) for row in rows} == {len(head)}


def _python() -> Iterator[Block]:
    """Blocks, and what here-documents give to Python."""
    yield from blocks("python")
    for block in blocks():
        for line in typed(block) if block.language in SHELLS else ():
            head, _, held = line.partition("\n")
            if held and "python" in head:
                yield Block(block.page, block.line, "python", held.rpartition("\n")[0])


@pytest.mark.parametrize("block", list(_python()), ids=str)
def test_python_compiles_and_imports_what_is_there(block: Block) -> None:
    tree = ast.parse(block.text)

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@dataclass(frozen=True)
class Request:
    """What curl is told to send."""

    method: str
    path: str
    query: frozenset[str]
    body: Any


def requests(block: Block) -> Iterator[Request]:
    """Those to our service."""
    for line in typed(block):
        for words in commands(line):
            for call in calls(words, {"curl"}):
                yield from _requests(call[1:])


def _requests(arguments: list[str]) -> Iterator[Request]:
    given = iter(arguments)
    method, body, url = "", None, ""
    for word in given:
        if word in _OPTIONS_WITH_VALUE:
            value = next(given)
            method = value if word == "-X" else method
            body = json.loads(value) if word in {"-d", "--data"} else body
        elif not word.startswith("-"):
            url = word
    if _SERVICE.match(url):
        parts = urlsplit(url)
        yield Request(method or ("GET" if body is None else "POST"), parts.path, frozenset(parse_qs(parts.query)), body)


def wrong_with(request: Request) -> str | None:
    api = http_api.openapi_document()
    for path, methods in api["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path) and request.method.lower() in methods:
            return _wrong_with(request, methods[request.method.lower()], api)
    return f"no route {request.method} {request.path}"


def _wrong_with(request: Request, operation: dict[str, Any], api: dict[str, Any]) -> str | None:
    unknown = request.query - {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    if unknown:
        return f"no parameter {sorted(unknown)}"
    if request.body is None:
        return None
    if "requestBody" not in operation:
        return "takes no body"
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    errors = Draft202012Validator({**schema, "components": api["components"]}).iter_errors(request.body)
    return next((error.message for error in errors), None)


def test_requests_by_curl_are_ones_that_the_api_takes() -> None:
    found = [(block, request) for block in blocks() if block.language in SHELLS for request in requests(block)]

    assert len(found) > 4
    assert [f"{block}: {problem}" for block, request in found if (problem := wrong_with(request))] == []


@pytest.mark.parametrize(
    "mistaken",
    [
        "curl http://127.0.0.1:5000/v1/search",
        "curl http://127.0.0.1:5000/v1/serch -d '{}'",
        """curl http://127.0.0.1:5000/v1/search -d '{"query": "x", "treshold": 0.2}'""",
        """curl http://127.0.0.1:5000/v1/search -d '{"limit": 1}'""",
        "curl -X POST 'http://127.0.0.1:5000/documents/sync-embeddings?weight=3'",
    ],
)
def test_a_request_that_is_mistaken_would_be_found(mistaken: str) -> None:
    [request] = requests(Block("page.md", 1, "bash", mistaken))

    assert wrong_with(request) is not None
