"""The table of docs/operations.md that tells what the API's statuses mean, against what the API answers."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from vector_pipeline_tests.operations.following import Reader
from vector_pipeline_tests.operations.runbooks import OPERATIONS, not_seen
from vector_pipeline_tests.operations.site import INDEX, Site
from vector_pipeline_tests.serving.serving_process import serving_process

pytestmark = pytest.mark.long

_ROW = re.compile(r"^\| (\d{3}) \| (.*?) \|", re.MULTILINE)
# What the runbooks of the servers that are down look for, and what nobody can cause.
_ELSEWHERE = {"MySQL service unavailable", "Database search error", "Embedding service unavailable"}
_BUGS = {"Service unavailable", "Internal Server Error"}


def test_the_api_answers_what_the_table_says(site: Site, tmp_path: Path) -> None:
    answers = [
        *_by_key(site, tmp_path),
        *_without_a_key(site, tmp_path, {"Host": "search.example.org"}, {"Origin": "https://elsewhere.example.org"}),
        *_too_slow_and_too_many(site, tmp_path),
    ]
    given = {(answer.status_code, answer.json()["detail"]) for answer in answers}
    for status, details in _told():
        for detail in details:
            assert any(code == status and not not_seen([detail], said) for code, said in given), (status, detail, given)
    assert {status for status, _ in given} == {status for status, _ in _told()} - {500}
    Reader(site, "the-api-answers").sees_that_it_is_over()


def _told() -> list[tuple[int, list[str]]]:
    """Each status with the words of its `detail`, where the table has them."""
    told = [(int(status), re.findall("`(.*?)`", details)) for status, details in _ROW.findall(OPERATIONS.read_text())]
    assert len(told) > 10
    return [(status, details) for status, details in told if not {*details} & (_ELSEWHERE | _BUGS)]


def _search(client: httpx.Client, index: str = INDEX, key: str = "", **headers: str) -> httpx.Response:
    given = {"Authorization": f"Bearer {key}"} if key else {}
    return client.post("/v1/search", json={"index": index, "query": "anybody?"}, headers=given | headers, timeout=30.0)


def _by_key(site: Site, folder: Path) -> list[httpx.Response]:
    reader = _new_key(site, "reader --scope search")
    elsewhere = _new_key(site, "elsewhere --scope search --index catalog")
    syncing = {"Authorization": f"Bearer {_new_key(site, 'syncing --scope sync')}"}
    with serving_process(site.bench, folder, more={"VECTOR_PIPELINE_DAGSTER_URL": "http://127.0.0.1:9"}) as served:
        return [
            _search(served.client),
            _search(served.client, key="vp_unknown"),
            _search(served.client, key=elsewhere),
            _search(served.client, "catalog", reader),
            served.client.post(f"/v1/indexes/{INDEX}/sync", headers={"Authorization": f"Bearer {reader}"}),
            served.client.post(f"/v1/indexes/{INDEX}/sync", headers=syncing),
        ]


def _without_a_key(site: Site, folder: Path, *headers: dict[str, str]) -> list[httpx.Response]:
    with serving_process(site.bench, folder, more=_trusting()) as served:
        return [_search(served.client, **given) for given in headers]


def _too_slow_and_too_many(site: Site, folder: Path) -> list[httpx.Response]:
    limits = {"VECTOR_PIPELINE_REQUESTS_PER_MINUTE": "1", "VECTOR_PIPELINE_MOST_SECONDS": "2"}
    with serving_process(site.bench, folder, more=_trusting(**limits)) as served:
        site.provider.delay_seconds = 5.0
        try:
            return [_search(served.client), _search(served.client)]
        finally:
            site.provider.delay_seconds = 0.0


def _trusting(**more: str) -> dict[str, str]:
    return {"VECTOR_PIPELINE_TRUSTED_NETWORKS": "127.0.0.1/32=admin", **more}


def _new_key(site: Site, described: str) -> str:
    [key] = re.findall(r"^vp_\S+$", site.type(f"vector-pipeline keys create {described}"), re.MULTILINE)
    return str(key)
