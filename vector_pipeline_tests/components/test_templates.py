"""Templates in declarations: any value may come from the environment, and both readers agree on it."""

from __future__ import annotations

import dagster as dg
import pytest

from vector_pipeline.components import VectorIndexComponent
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.declarations import UnknownIndexError, find_declaration
from vector_pipeline_tests.components.declared import Location, faq_attributes, location, written

OF_EVERY_KIND = faq_attributes(
    "{{ env('FAQ_NAME', 'faq') }}",
    source={"table": "{{ env('FAQ_TABLE', 'faq') }}_{{ env.FAQ_SUFFIX }}", "primary_key": "id"},
    range_size="{{ env('FAQ_RANGE', 500) }}",
    search={"threshold": "{{ env('FAQ_THRESHOLD', '0.7') }}", "limit": "{{ env('FAQ_LIMIT', '9') }}"},
    automation={"paused": "{{ env('FAQ_PAUSED', 'no') }}", "scrub_seconds": "{{ env('FAQ_SECONDS', '2.5') }}"},
    embedding={
        "provider": {"type": "openai", "timeout_seconds": "{{ env('FAQ_TIMEOUT', '8') }}"},
        "strategy": "{{ env('FAQ_STRATEGY', 'concat') }}",
        "model": "{{ env.FAQ_MODEL }}",
    },
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FAQ_SUFFIX": "2024", "FAQ_THRESHOLD": "0.35", "FAQ_RANGE": "20"}.items():
        monkeypatch.setenv(name, value)


def spec_in(loaded: Location) -> IndexSpec:
    """The declaration that the command line reads; what Dagster made of the same file has the same table."""
    declaration = find_declaration("faq", loaded.folder)
    assert not declaration.problems
    table = loaded.spec(dg.AssetKey(["faq", "rows"])).metadata["dagster/table_name"]
    assert table == declaration.spec.source.table
    return declaration.spec


def test_strings_numbers_truth_values_and_choices_may_be_templates() -> None:
    with location(a=written(OF_EVERY_KIND)) as loaded:
        spec = spec_in(loaded)
    assert spec.source.table == "faq_2024"
    assert (spec.search.threshold, spec.search.limit, spec.range_size) == (0.35, 9, 20)
    assert (spec.automation.paused, spec.automation.scrub_seconds) == (False, 2.5)
    assert spec.embedding.strategy == "concat"
    assert spec.embedding.model is None
    assert spec.embedding.provider is not None
    assert spec.embedding.provider.model_dump()["timeout_seconds"] == 8


@pytest.mark.parametrize(
    ("written_key", "columns"),
    [
        ("id", ("id",)),
        (["tenant", "id"], ("tenant", "id")),
        ("{{ env('FAQ_KEY', 'id') }}", ("id",)),
        (["{{ env('FAQ_TENANT', 'tenant') }}", "id"], ("tenant", "id")),
    ],
    ids=["a column", "a list", "a template", "a list with a template"],
)
def test_a_key_is_a_column_or_a_list_of_columns(written_key: object, columns: tuple[str, ...]) -> None:
    with location(a=written(faq_attributes(source={"table": "faq", "primary_key": written_key}))) as loaded:
        assert spec_in(loaded).source.key_columns == columns
        schema = loaded.spec(dg.AssetKey(["faq", "rows"])).metadata["dagster/column_schema"]
    assert tuple(column.name for column in schema.columns)[: len(columns)] == columns


@pytest.mark.parametrize("table", ["2024", "1, 2", "'quoted'", "None", "[x]"])
def test_a_string_without_a_template_stays_what_it_is(table: str) -> None:
    with location(a=written(faq_attributes(source={"table": table, "primary_key": "id"}))) as loaded:
        assert spec_in(loaded).source.table == table


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"range_size": "{{ env('NOT_SET') }}"}, "range_size", "environment variable NOT_SET is not set"),
        ({"range_size": "{{ env('FAQ_THRESHOLD') }}"}, "range_size", "valid integer"),
        ({"search": {"threshold": "{{ env('X', '7') }}"}}, "search.threshold", "less than or equal to 1"),
        ({"source": {"table": "{{ env.NOT_SET }}", "primary_key": "id"}}, "source.table", "valid string"),
        (
            {"source": {"table": "faq", "primary_key": ["id", "{{ env('NOT_SET') }}"]}},
            "source.primary_key",
            "environment variable NOT_SET is not set",
        ),
        ({"description": "{{ nonsense('x') }}"}, "description", "nonsense"),
        ({"description": "{{ env('x' }}"}, "description", "unexpected end of template"),
    ],
)
def test_a_template_that_yields_nothing_usable_is_a_problem_of_its_index_alone(
    changes: dict[str, object], field: str, why: str
) -> None:
    files = {"a": written(faq_attributes()), "b": written(faq_attributes("second", **changes))}
    with location(**files) as loaded:
        assert loaded.groups == {"faq", "second"}
        described = loaded.spec(dg.AssetKey(["second", "rows"])).description or ""
        right, wrong = loaded.declarations
    assert f"**{field}**" in described
    assert not right.problems
    (problem,) = wrong.problems
    assert problem.field == field
    assert why in problem.problem


def test_the_schema_describes_every_field_and_admits_templates() -> None:
    schema = VectorIndexComponent.get_model_cls().model_json_schema()
    sections = {"IndexSpec": schema, **schema["$defs"]}
    for section, described in sections.items():
        for name, field in described["properties"].items():
            told = field.get("description") or "$ref" in field or "const" in field
            assert told, f"{section}.{name} has no description"
    threshold = sections["SearchSpec"]["properties"]["threshold"]
    assert any(choice.get("pattern") for choice in threshold["anyOf"])
    assert any(choice.get("maximum") == 1 for choice in threshold["anyOf"][0].get("anyOf", threshold["anyOf"]))


def test_one_unreadable_file_keeps_nobody_from_finding_another_index() -> None:
    with location(a=written(faq_attributes())) as loaded:
        broken = loaded.folder / "b" / "defs.yaml"
        broken.parent.mkdir()
        broken.write_text("type: [")
        assert find_declaration("faq", loaded.folder).spec.name == "faq"
        with pytest.raises(UnknownIndexError, match=r"there are: faq; .*b/defs.yaml can't be read"):
            find_declaration("second", loaded.folder)


def test_the_template_of_texts_is_left_as_it_is_written() -> None:
    template = "{{ question }} of {{ env }}"
    with location(a=written(faq_attributes("faq", embedding={"template": template}))) as loaded:
        declaration = find_declaration("faq", loaded.folder)
        shown = loaded.spec(dg.AssetKey(["faq", "rows"])).metadata["dagster/table_name"]
    assert declaration.spec.embedding.template == template
    assert [problem.field for problem in declaration.problems] == ["embedding.template"]
    assert shown == "faq"
