"""The OpenAPI document is complete, and the service keeps it whatever is sent: schemathesis on a live server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.embedded.ports import choose_port
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.conftest import fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.serving.serving import LiveServer, contract_spec, live_server
from vector_pipeline_tests.workbench import Workbench

# There is no Dagster here, and what needs it says so. A filter or a field that this index hasn't got, or a row that has
# nothing in quarantine, no schema can tell from one that it has.
CONFIGURATION = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422"]

[[operations]]
include-operation-id = [
  "sync_embeddings", "sync_index", "reindex", "list_runs", "read_run", "create_index", "delete_index"
]
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "422", "503"]
"""


@pytest.fixture(scope="module")
def server(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[LiveServer]:
    """A server over the index `faq`, ten rows, without Dagster."""
    serving = ServingSettings(contract_index="faq", dagster_url=f"http://127.0.0.1:{choose_port()}")
    with fresh_mysql_database(mariadb) as source, fresh_pg_database(pg_template) as target:
        bench = Workbench(source, target)
        bench.create_faq(rows=10)
        bench.sync(contract_spec())
        with live_server(bench, [contract_spec()], serving) as live:
            yield live


def operations(server: LiveServer) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in server.client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def tried(server: LiveServer, folder: Path, *options: str) -> None:
    """Lets schemathesis try everything.

    Raises:
        AssertionError: with what it says, if it finds something.
    """
    configuration = folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    program = Path(sys.executable).with_name("schemathesis")
    run = subprocess.run(
        [program, "--config-file", configuration, "--no-color", "run", f"{server.url}/openapi.json", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_operation_is_named_tagged_and_described_and_declares_its_errors(server: LiveServer) -> None:
    ids = []
    for way, operation in operations(server):
        ids.append(operation["operationId"])
        assert operation["tags"], way
        assert operation["summary"], way
        assert operation["description"], way
        if invalid := operation["responses"].get("422"):
            assert invalid["content"]["application/json"]["schema"]["$ref"].endswith("/InvalidRequest"), way
        if way != "GET /healthcheck":
            assert {"401", "403", "429", "503", "504"} <= set(operation["responses"]), way
    assert len(ids) == len(set(ids))


def test_no_schema_is_named_after_a_module(server: LiveServer) -> None:
    # FastAPI does so where two classes share a name, and generated clients would too.
    names = server.client.get("/openapi.json").json()["components"]["schemas"]
    assert [name for name in names if "__" in name] == []


def test_every_body_and_answer_has_an_example_that_is_one(server: LiveServer) -> None:
    document = server.client.get("/openapi.json").json()
    for way, operation in operations(server):
        bodies = {"what it takes": operation["requestBody"]} if "requestBody" in operation else {}
        for which, body in (bodies | operation["responses"]).items():
            for media in body["content"].values():
                found = examples(document, media)
                assert found, f"{way}: {which} has no example"
                for example in found:
                    jsonschema.validate(example, {**media["schema"], "components": document["components"]})


def examples(document: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    """Those of a body, or else of what its schema names."""
    if "example" in media:
        return [media["example"]]
    schema = media["schema"]
    if schema.get("type") == "array":
        return [[one] for one in examples(document, {"schema": schema["items"]})]
    shown: list[Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]].get("examples", [])
    return shown


def test_every_parameter_has_an_example_or_is_known_by_its_default(server: LiveServer) -> None:
    for way, operation in operations(server):
        for parameter in operation.get("parameters", []):
            schema = parameter["schema"]
            assert "default" in schema or parameter.get("examples") or schema.get("examples"), (way, parameter["name"])


def test_the_service_keeps_to_its_document(server: LiveServer, tmp_path: Path) -> None:
    tried(server, tmp_path, "--phases", "fuzzing", "-n", "2", "--no-shrink", "--seed", "6")


@pytest.mark.long
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_the_service_keeps_to_its_document_whatever_is_tried(server: LiveServer, tmp_path: Path, seed: str) -> None:
    tried(server, tmp_path, "-n", "60", "--continue-on-failure", "--seed", seed)
