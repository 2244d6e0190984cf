"""What mkdocs calls while it builds the site: parts of pages that are generated, and files that pages link to."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mkdocs loads this file by its path

from documentation import command_line, declaration, environment, http_api, mcp_tools, metrics
from documentation.repository_files import ROOT, changelog, linked_files, place_of, with_links_to

_GENERATED = re.compile(r"^<!-- generated: (?P<what>[a-z-]+) -->$", re.MULTILINE)
_DESCRIBED = {
    "command-line": command_line.describe,
    "declaration": declaration.describe,
    "environment": environment.describe,
    "http-api": http_api.describe,
    "mcp-tools": mcp_tools.describe,
    "metrics": metrics.describe,
}
_CHANGELOG = "changelog.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the changelog, and copies of files outside of docs/ that pages link to."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, _CHANGELOG, content=changelog(text)))
    for page in files.documentation_pages():
        for linked in linked_files(page.src_uri, page.content_string).values():
            if files.get_file_from_path(place_of(linked)) is None:
                files.append(File.generated(config, place_of(linked), abs_src_path=str(ROOT / linked)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fills in what is generated."""
    uri = page.file.src_uri
    linked = with_links_to(uri, markdown, linked_files(uri, markdown))
    return _GENERATED.sub(lambda marker: _DESCRIBED[marker["what"]](), linked)
