"""The SQL and the Python of docs/sql-and-python.md, on the index that they are shown for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vector_pipeline.core.index import open_index
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.declarations import find_declaration
from vector_pipeline_tests.documentation.blocks import Block, blocks
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, sync_all

PAGE = "docs/sql-and-python.md"
ROWS = 50


def block(language: str) -> Block:
    """The page's one block in a language."""
    [found] = [one for one in blocks(language) if one.page == PAGE]
    return found


@pytest.fixture
def workbench(mysql_database: SourceSettings, pg_database: TargetSettings) -> Iterator[Workbench]:
    """The index genie_documents, synced."""
    with MisbehavingProvider(dimensions=8) as provider:
        bench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        bench.mysql(
            "CREATE TABLE tbl_genie_genie (id INT AUTO_INCREMENT PRIMARY KEY, genie_question TEXT, genie_answer TEXT,"
            " genie_questiondate DATETIME, genie_sourcelink VARCHAR(200), genie_uniqueid VARCHAR(200))"
        )
        questions = ["how to sort a list", *(f"question number {number}" for number in range(2, ROWS + 1))]
        bench.mysql(
            "INSERT INTO tbl_genie_genie (genie_question, genie_answer, genie_questiondate, genie_sourcelink)"
            " VALUES (%s, %s, '2026-01-02 03:04:05', %s)",
            [(question, f"the answer to {question}", f"https://example.org/{question}") for question in questions],
        )
        with open_index(find_declaration("genie_documents").spec, bench.settings) as index:
            sync_all(index)
            index.refresh_search_index()
        yield bench


def test_the_statement_gives_the_nearest_rows_of_the_view(workbench: Workbench) -> None:
    found = workbench.postgres(block("sql").text)

    assert len(found) == 5
    assert found[0][1:] == ("question number 42", "the answer to question number 42")


def test_the_program_prints_hits(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables_of(workbench.settings).items():
        monkeypatch.setenv(name, value)

    exec(compile(block("python").text, PAGE, "exec"), {})

    assert "how to sort a list https://example.org/how to sort a list" in capsys.readouterr().out.splitlines()[0]
