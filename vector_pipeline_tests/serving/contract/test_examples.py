"""What docs/ has for clients: Postman's collection, and the nodes of a flow in Dify."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.serving.serving import LiveServer

COLLECTION = json.loads((PROJECT / "docs" / "postman_collection.json").read_text())
HOW_TO = (PROJECT / "docs" / "dify.md").read_text()


@dataclass(frozen=True)
class Example:
    """A request of the collection, with the values of its variables."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None


def examples(items: list[dict[str, Any]], folder: str = "") -> Iterator[Example]:
    for item in items:
        if "item" in item:
            yield from examples(item["item"], f"{item['name']}: ")
        else:
            request = item["request"]
            body = request.get("body")
            yield Example(
                folder + item["name"],
                request["method"],
                "/" + "/".join(request["url"]["path"]),
                {one["key"]: one["value"] for one in request["url"].get("query", [])},
                None if body is None else json.loads(body["raw"]),
            )


EXAMPLES = list(examples(COLLECTION["item"]))


def template_of(path: str) -> str:
    """In the words of the OpenAPI document."""
    return re.sub(r"\{\{(\w+)\}\}", r"{\1}", path)


def test_postman_takes_the_collection_for_one_of_version_2_1() -> None:
    named = {variable["key"] for variable in COLLECTION["variable"]}

    assert COLLECTION["info"]["schema"].endswith("/v2.1.0/collection.json")
    assert set(re.findall(r"\{\{(\w+)\}\}", json.dumps(COLLECTION["item"] + [COLLECTION["auth"]]))) == named
    assert len({example.name for example in EXAMPLES}) == len(EXAMPLES) > 20


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_request_of_the_collection_is_one_that_the_api_describes(served: LiveServer, example: Example) -> None:
    document = served.client.get("/openapi.json").json()
    operation = document["paths"][template_of(example.path)][example.method.lower()]
    described = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
    assert example.query.keys() <= described

    assert (example.body is None) == ("requestBody" not in operation)
    if example.body is not None:
        [content] = operation["requestBody"]["content"].values()
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert set(schema.get("required", [])) <= example.body.keys() <= schema["properties"].keys()


@pytest.mark.parametrize(
    "example",
    [one for one in EXAMPLES if one.name.startswith("Search: ") or "earch" in one.path],
    ids=lambda one: one.name,
)
def test_a_search_of_the_collection_is_answered(served: LiveServer, example: Example) -> None:
    def filled(text: str) -> str:
        return text.replace("{{index}}", "faq").replace("{{key}}", "7")

    body = json.loads(filled(json.dumps(example.body)))
    if not example.path.startswith("/v1/"):
        body["index"] = "faq"

    answer = served.client.request(example.method, filled(example.path), json=body)

    assert answer.status_code == 200, answer.text


def nodes_of_the_flow() -> list[Any]:
    """The functions of the code nodes, in their order."""
    functions = []
    for code in re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL):
        names: dict[str, Any] = {}
        exec(code, names)
        functions.append(names["main"])
    return functions


@pytest.mark.parametrize(
    ("question", "sources"),
    [
        ("question number 7?", "- https://example.org/7"),
        ('"nothing" is\nlike this \\', ""),
    ],
)
def test_the_flow_in_dify_gets_context_and_sources_for_any_question(
    served: LiveServer, question: str, sources: str
) -> None:
    ask, read = nodes_of_the_flow()

    body = json.loads(ask(query=question)["body"]) | {"index": "faq", "limit": 1, "similarity_threshold": 0.9}
    answer = served.client.post("/search-simple", content=json.dumps(body))
    found = read(body=answer.text, status_code=answer.status_code)

    assert found["sources"] == sources
    assert found["context"] == answer.json()["context"]
    with pytest.raises(ValueError, match="503"):
        read(body="{}", status_code=503)
