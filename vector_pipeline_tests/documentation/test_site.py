"""The site is built whole: each page has a place, each link and anchor leads somewhere, nothing is loaded from afar."""

from __future__ import annotations

import logging
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mkdocs.commands.build import build
from mkdocs.config import load_config

from documentation import http_api
from documentation.command_line import commands
from vector_pipeline.cli import main
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.orchestration.alerts import runbooks
from vector_pipeline.serving.mcp.tools import TOOLS
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.documentation.blocks import DOCS

_NAMED_PAGE = re.compile(r"(docs/[a-z/-]+\.md)(?:#([a-z0-9-]+))?")
_ELSEWHERE = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]*""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; `strict` makes an error of whatever mkdocs warns of."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(PROJECT / "mkdocs.yml"), site_dir=str(folder))
    told = _Warnings()
    logging.getLogger("mkdocs").addHandler(told)
    try:
        build(config)
    except SystemExit:
        pytest.fail("\n".join(told.lines))
    finally:
        logging.getLogger("mkdocs").removeHandler(told)
    return folder


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def text_of(site: Path, page: str) -> str:
    """What a page says, without its tags."""
    return re.sub(r"<[^>]*>", "", (site / page).read_text(encoding="utf-8"))


def missing(names: Sequence[str], text: str) -> list[str]:
    return [name for name in names if name not in text]


def test_what_an_alert_says_to_do_is_there(site: Path) -> None:
    rules = (PROJECT / "docker" / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    named_by_rules = re.findall(r"runbook: docs/(\S+)", rules)
    assert named_by_rules
    for runbook in {*runbooks.CHECKS.values(), *runbooks.ERRORS.values(), runbooks.FAILING_RUNS, *named_by_rules}:
        page, _, anchor = runbook.partition("#")
        built = (site / page.replace(".md", ".html")).read_text(encoding="utf-8")
        assert not anchor or f'id="{anchor}"' in built, runbook


def test_pages_that_code_and_configuration_name_are_there(site: Path) -> None:
    """Messages, comments and files of settings send people to pages, some to a place in one."""
    files = [
        file for folder in ("docker", "kubernetes", "scripts", "sql", "vector_pipeline") for file in _texts(folder)
    ]
    found = {
        (name, anchor)
        for file in [*files, PROJECT / "Makefile", PROJECT / ".env.example"]
        for name, anchor in _NAMED_PAGE.findall(file.read_text(encoding="utf-8"))
    }
    assert len(found) > 15
    missing = []
    for name, anchor in found:
        page = site / Path(name).relative_to("docs").with_suffix(".html")
        if not page.exists() or (anchor and f'id="{anchor}"' not in page.read_text(encoding="utf-8")):
            missing.append(f"{name}#{anchor}")
    assert missing == []


def _texts(folder: str) -> list[Path]:
    named = {".py", ".sql", ".sh", ".yaml", ".yml", ".toml", ".example", ""}
    return [file for file in (PROJECT / folder).rglob("*") if file.is_file() and file.suffix in named]


def test_pages_and_what_they_link_to_are_there(site: Path) -> None:
    assert (site / "index.html").exists()
    assert "EMBEDDING_MODEL_HOST" in (site / "repository" / "env.example.txt").read_text()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {found[0] for page in site.rglob("*.html") for found in _ELSEWHERE.finditer(page.read_text())}
    styles = {
        url for sheet in site.rglob("*.css") for url in re.findall(r"url\(\s*[\"']?(https?:[^)]*)", sheet.read_text())
    }

    assert loaded == set()
    assert styles == set()


def test_nothing_that_is_to_be_generated_is_left_out(site: Path) -> None:
    left = [page.name for page in site.rglob("*.html") if "generated: " in page.read_text(encoding="utf-8")]

    assert left == []


def test_lists_begin_after_an_empty_line() -> None:
    """Without one they are a list elsewhere, and a part of the paragraph on the site."""
    glued = []
    for page in DOCS.rglob("*.md"):
        text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        glued += [
            f"{page.name}: {found[0]}"
            for found in re.finditer(r"^(?![ #-]|\d+\. ).+\n(?:-|1\.) .*", text, re.MULTILINE)
        ]

    assert glued == []


def test_each_field_of_a_declaration_is_described(site: Path) -> None:
    definitions = IndexSpec.model_json_schema()["$defs"]
    names = [name for one in definitions.values() for name in one.get("properties", {})]

    assert missing([*IndexSpec.model_fields, *names], text_of(site, "reference/declaration.html")) == []


def test_each_route_with_its_scope_and_each_body_is_described(site: Path) -> None:
    api = http_api.openapi_document()
    routes = [f"{method.upper()} {path}" for path, methods in api["paths"].items() for method in methods]
    fields = [name for one in api["components"]["schemas"].values() for name in one.get("properties", {})]
    text = text_of(site, "reference/http-api.html")

    assert missing([*routes, *fields], text) == []
    assert {"search", "sync", "admin", "metrics"} <= set(re.findall(r"Scope: (\w+)", text))


def test_each_tool_is_described(site: Path) -> None:
    text = text_of(site, "reference/mcp-tools.html")

    assert missing(list(TOOLS), text) == []


def test_each_command_is_described(site: Path) -> None:
    called = [" ".join(path) for path, _ in commands(main, ("vector-pipeline",))]

    assert missing(called, text_of(site, "reference/command-line.html")) == []


def test_each_variable_is_described(site: Path) -> None:
    named = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE)

    assert len(named) > 50
    assert missing(named, text_of(site, "reference/environment.html")) == []


def test_each_page_has_one_place_in_the_navigation() -> None:
    pages = re.findall(r"(\S+\.md)$", (PROJECT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)

    assert len(pages) > 40
    assert sorted(pages) == sorted(set(pages))


def test_each_extra_of_the_package_is_described(site: Path) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].keys() - {"dev", "docs", "release"}

    built = (site / "installing.html").read_text(encoding="utf-8")
    assert [extra for extra in extras if f"<code>{extra}</code>" not in built] == []


def test_what_readme_links_to_is_there() -> None:
    links = []
    for token in MarkdownIt().enable("table").parse((PROJECT / "README.md").read_text(encoding="utf-8")):
        for child in token.children or ():
            links.append(child.attrGet("href") if child.type == "link_open" else child.attrGet("src"))
    inside = [str(link).partition("#")[0] for link in links if link and not str(link).startswith("http")]

    assert len(inside) > 20
    assert [link for link in inside if not (PROJECT / link).exists()] == []
