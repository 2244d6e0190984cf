"""A golden set is read as written, and what is wrong with it is told with line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from vector_pipeline.core.search.golden_set import GoldenQuery, GoldenSetError, locate, read_golden_set


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "golden.csv"


def test_rows_of_one_query_are_its_relevant_documents(file: Path) -> None:
    file.write_text('\ufeffKind,Query,Key,Relevance\nen,"what, now?",1,\nen,other,2,0\n\nms,other,3,2.5\n', "utf-8")
    assert read_golden_set(file).queries == (
        GoldenQuery("what, now?", {"1": 1.0}),
        GoldenQuery("other", {"2": 0.0, "3": 2.5}),
    )
    assert read_golden_set(file).keys == {"1", "3"}


def test_without_relevance_every_row_counts_as_one(file: Path) -> None:
    file.write_text('query,key\n"two\nlines",a\n')
    assert read_golden_set(file).queries == (GoldenQuery("two\nlines", {"a": 1.0}),)


def test_a_changed_grade_is_another_set_and_a_note_is_not(file: Path) -> None:
    prints = []
    for row in ("q,1,1,", "q,1,1,a note", "q,1,2,"):
        file.write_text(f"query,key,relevance,note\n{row}\n")
        prints.append(read_golden_set(file).fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("query,id\na,1\n", "line 1, column key: it is missing"),
        ("query,query,key\na,b,1\n", "line 1, column query: it is there twice"),
        ("", "line 1, column query: it is missing"),
        ("query,key\n", "there is no query in it"),
        ('query,key\n"a\nb",1\n,2\n', "line 4, column query: it is empty"),
        ("query,key\na, \n", "line 2, column key: it is empty"),
        ("query,key\na,1\na,1\n", "line 3, column key: '1' was judged for this query already"),
        ("query,key,relevance\na,1,very\n", "line 2, column relevance: 'very' is no relevance"),
        ("query,key,relevance\na,1,-1\n", "line 2, column relevance: '-1' is no relevance"),
        ("query,key,relevance\na,1,nan\n", "line 2, column relevance: 'nan' is no relevance"),
        ("query,key,relevance\nb,1,1\na,1,0\na,2,0\n", "line 3, column relevance: no document is relevant"),
        ("query,key\nwhat, now?,1\n", "line 2: it has 3 columns, the first line 2"),
        ('query,key\na,1\n"b,2\n', "line 3: unexpected end of data"),
        ("query,key\nb\xe9,1\n", "line 2: this is not UTF-8"),
    ],
)
def test_a_broken_file_is_told_with_line_and_column(file: Path, content: str, told: str) -> None:
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(GoldenSetError) as caught:
        read_golden_set(file)
    assert str(caught.value).startswith(str(file))
    assert told in str(caught.value)


def test_it_is_looked_for_beside_the_declaration_and_then_in_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, folder = tmp_path / "project", tmp_path / "defs"
    for place in (project, folder):
        place.mkdir()
    monkeypatch.chdir(project)
    (project / "golden.csv").touch()
    assert locate("golden.csv", folder) == project / "golden.csv"
    (folder / "golden.csv").touch()
    assert locate("golden.csv", folder) == folder / "golden.csv"
    assert locate(str(folder / "golden.csv"), None) == folder / "golden.csv"
    with pytest.raises(GoldenSetError, match=r"no file lost\.csv in .*defs or .*project"):
        locate("lost.csv", folder)
