"""The files of the search page, as browsers are given them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import vector_pipeline.serving.page
from vector_pipeline_tests.serving.serving import LiveServer

STATIC = Path(vector_pipeline.serving.page.__file__).parent / "static"


def test_the_page_is_sent_once_and_then_only_when_it_has_changed(served: LiveServer) -> None:
    first = served.client.get("/")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert first.headers["cache-control"] == "no-cache"
    again = served.client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize("name", sorted(path.name for path in STATIC.iterdir()))
def test_each_file_has_its_type_and_an_etag(served: LiveServer, name: str) -> None:
    answer = served.client.get(f"/page/{name}")
    assert answer.status_code == 200
    kinds = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].partition(";")[0] == kinds[name.rpartition(".")[2]]
    assert answer.headers["etag"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_policy_lets_no_script_in_but_the_pages_own_and_no_text_become_html(served: LiveServer) -> None:
    policy = served.client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    class Found(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.wrong: list[str] = []
            self._in = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self._in = tag
            for name, value in attrs:
                if name == "style" or name.startswith("on") or (name in ("src", "href") and ":" in (value or "")):
                    self.wrong.append(f"{tag} {name}={value}")

        def handle_data(self, data: str) -> None:
            if self._in in ("script", "style") and data.strip():
                self.wrong.append(data)

    found = Found()
    found.feed((STATIC / "index.html").read_text())
    assert found.wrong == []
    for path in STATIC.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), path


def test_nothing_else_of_the_package_is_served(served: LiveServer) -> None:
    for path in ("/page/", "/page/../files.py", "/page/%2e%2e/files.py", "/page/nothing.js"):
        assert served.client.get(path).status_code == 404
