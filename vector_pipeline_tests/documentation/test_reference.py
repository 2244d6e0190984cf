"""What the reference is made of: schemas as tables, files of variables as sections."""

from __future__ import annotations

from documentation import metrics
from documentation.environment import read
from documentation.markdown import prose, table
from documentation.repository_files import linked_files, place_of, with_links_to
from documentation.schema import Definitions, default_of, fields, type_of
from vector_pipeline.serving.observing.indexes import described_families

NOTHING = Definitions({})


def test_what_html_and_tables_are_written_with_is_text_in_a_cell() -> None:
    assert (
        table(("a",), [["x < y | z, `p | q < r`\nnext"]]).splitlines()[-1] == "| x &lt; y \\| z, `p | q < r`<br>next |"
    )


def test_a_table_without_rows_is_left_out() -> None:
    assert table(("a",), []) == ""


def test_lines_of_a_docstring_are_joined_to_paragraphs() -> None:
    assert prose("First line\n    goes on.\n\n    Second <one>.") == "First line goes on.\n\nSecond &lt;one>."


def test_a_type_tells_what_is_demanded_of_a_value() -> None:
    assert type_of({"type": "integer", "minimum": 1.0, "maximum": 2048}, NOTHING) == "whole number (≥ 1, ≤ 2048)"
    assert type_of({"enum": ["auto", "float"]}, NOTHING) == "`auto` or `float`"
    assert type_of({"type": "array", "items": {"type": "string"}, "maxItems": 3}, NOTHING) == "list of text, at most 3"
    assert type_of({"type": "object", "additionalProperties": {"type": "number"}}, NOTHING) == "name → number"


def test_an_object_in_a_field_is_linked_and_explained_by_its_own_words() -> None:
    inner = {"type": "object", "properties": {"tokens": {"type": "integer"}}, "description": "How texts are split."}
    outer = {"properties": {"split": {"anyOf": [{"$ref": "#/$defs/Split"}, {"type": "null"}], "default": None}}}

    [*_, row] = fields(outer, Definitions({"Split": inner}, link=lambda name: f"[{name}](#split)")).splitlines()

    assert row == "| `split` | [Split](#split) |  | How texts are split. |"


def test_null_is_told_where_it_has_to_be_given() -> None:
    nullable = {"anyOf": [{"type": "string"}, {"type": "null"}]}

    assert "text or null" in fields({"properties": {"a": {**nullable, "default": "x"}}}, NOTHING)
    assert "null" not in fields({"properties": {"a": {**nullable, "default": None}}}, NOTHING)


def test_a_default_is_told_unless_it_says_nothing() -> None:
    assert default_of({"default": 5}, required=False) == "`5`"
    assert default_of({"default": ""}, required=False) == ""
    assert default_of({}, required=True) == "required"


def test_variables_are_read_with_the_comment_above_them() -> None:
    [source, rest] = read(
        "# Copy to .env.\n\n# --- Source: MySQL.\n#\n# Host name.\n#HOST=\n# Two files,\n# PEM.\n#CERT=\n#KEY=\n"
        "# --- The rest.\n# Level.\n#LEVEL=INFO\n"
    )

    assert (source.title, source.introduction) == ("Source", "MySQL.")
    assert [(one.meaning, one.names) for one in source.variables] == [
        ("Host name.", ["HOST"]),
        ("Two files, PEM.", ["CERT", "KEY"]),
    ]
    assert (rest.title, [one.names for one in rest.variables]) == ("The rest", [["LEVEL"]])


def test_each_metric_is_described() -> None:
    described = metrics.describe()

    assert "`vector_pipeline_searches_total` | counter | index, mode, outcome" in described
    assert [family.name for family in described_families() if f"`{family.name}`" not in described] == []


def test_a_link_to_a_file_of_the_repository_leads_to_a_copy_of_it() -> None:
    page = "[variables](../../.env.example), [a page](../ann.md), [nothing](../../nowhere.md)"

    files = linked_files("reference/environment.md", page)

    assert [str(file) for file in files.values()] == [".env.example"]
    assert with_links_to("reference/environment.md", page, files) == page.replace(
        "../../.env.example", f"../{place_of(files['../../.env.example'])}"
    )
