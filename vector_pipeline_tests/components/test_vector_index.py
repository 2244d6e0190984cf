"""An index that is declared wrongly says so at itself, and takes no other index down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from vector_pipeline.core.errors import IndexSpecError
from vector_pipeline_tests.components.declared import Location, faq_attributes, location, written
from vector_pipeline_tests.dagster_instances import FreshStorage, new_home
from vector_pipeline_tests.workbench import Workbench

RIGHT = written(faq_attributes())
WRONG = {
    "bad name": (faq_attributes("no-name"), "name", "use letters, digits and _"),
    "name of another schema": (faq_attributes("public"), "name", "choose another name"),
    "reserved served name": (
        faq_attributes("second", document={"text": {"key": "question"}}),
        "document.text.key",
        "serve it under another name",
    ),
    "bad owner": (faq_attributes("second", owners=["nobody"]), "owners", "give an e-mail address"),
    "name taken": (faq_attributes("faq"), "name", "choose another name"),
    "no texts": (faq_attributes("second", document={"text": {}}), "document.text", "name at least one"),
}
WRONG_WITHOUT_TABLE = {
    "no such table": (
        faq_attributes("second", source={"table": "nowhere", "primary_key": "id"}),
        "source.table",
        "correct source.table",
    ),
    "no such column": (
        faq_attributes("second", document={"text": {"question": "frage"}}),
        "document.text.question",
        "name one of its columns",
    ),
}


@pytest.fixture(scope="module")
def instance(
    request: pytest.FixtureRequest, fresh_dagster_storage: FreshStorage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path_factory.mktemp("homes") / "home"
    with fresh_dagster_storage(request) as storage, new_home(folder, storage).instance() as instance:
        yield instance


def check(loaded: Location, group: str, instance: dg.DagsterInstance) -> dg.AssetCheckEvaluation:
    """The result of the declaration check of a group."""
    job: Any = loaded.definitions.resolve_job_def(f"{group}_verify")
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    return next(e for e in result.get_asset_check_evaluations() if e.check_name == "declaration")


def failure(loaded: Location, group: str, instance: dg.DagsterInstance) -> str:
    """What a run of the index's search index says when it fails."""
    job: Any = loaded.definitions.resolve_implicit_global_asset_job_def()
    key = dg.AssetKey([group, "search_index"])
    result = job.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False)
    assert not result.success
    (failed,) = [e for e in result.get_step_failure_events() if e.step_key == f"{group}__search_index"]
    error = failed.step_failure_data.error
    assert error is not None
    cause = error.cause
    assert cause is not None
    assert cause.cls_name == "IndexSpecError"
    return cause.message


@pytest.mark.parametrize("wrong", WRONG)
def test_the_assets_of_a_wrong_declaration_describe_the_problem_and_the_others_are_untouched(wrong: str) -> None:
    attributes, field, remedy = WRONG[wrong]
    with location(a_right=RIGHT, b_wrong=written(attributes)) as loaded:
        described = loaded.spec(dg.AssetKey([loaded.wrong_group, "documents"])).description or ""
        untouched = loaded.spec(dg.AssetKey(["faq", "documents"])).description or ""
    assert "b_wrong/defs.yaml is wrong" in described
    assert f"**{field}**" in described
    assert remedy in described
    assert "wrong" not in untouched


@pytest.mark.parametrize("wrong", ["bad name", "name taken", "bad owner"])
def test_a_run_of_a_wrong_declaration_fails_naming_file_field_and_remedy(
    wrong: str, workbench: Workbench, instance: dg.DagsterInstance
) -> None:
    workbench.create_faq(3)
    attributes, field, remedy = WRONG[wrong]
    with location(a_right=RIGHT, b_wrong=written(attributes)) as loaded:
        message = failure(loaded, loaded.wrong_group, instance)
        checked = check(loaded, loaded.wrong_group, instance)
        untouched = check(loaded, "faq", instance)
    for said in (message, checked.description or ""):
        assert f"b_wrong/defs.yaml, {field}: " in said
        assert remedy in said
    assert not checked.passed
    assert untouched.passed, untouched.description


@pytest.mark.parametrize("wrong", WRONG_WITHOUT_TABLE)
def test_what_only_the_table_shows_to_be_wrong_is_told_by_run_and_check(
    wrong: str, workbench: Workbench, instance: dg.DagsterInstance
) -> None:
    workbench.create_faq(3)
    attributes, field, remedy = WRONG_WITHOUT_TABLE[wrong]
    with location(a_right=RIGHT, b_wrong=written(attributes)) as loaded:
        message = failure(loaded, "second", instance)
        checked = check(loaded, "second", instance)
        untouched = check(loaded, "faq", instance)
    for said in (message, checked.description or ""):
        assert f"b_wrong/defs.yaml, {field}: " in said
        assert remedy in said
    assert not checked.passed
    assert untouched.passed, untouched.description


def test_two_wrong_names_that_read_alike_both_show() -> None:
    with location(a=written(faq_attributes("a-b"), faq_attributes("a b"), faq_attributes("a_b"))) as loaded:
        assert len(loaded.groups) == 3
        assert "a_b" in loaded.groups


def test_two_declarations_in_one_file_may_not_share_a_name() -> None:
    with location(a=written(faq_attributes(), faq_attributes())) as loaded:
        described = loaded.spec(dg.AssetKey([loaded.wrong_group, "rows"])).description or ""
        assert "(document 2) is wrong" in described
        assert "is declared in" in described
        assert [bool(declaration.problems) for declaration in loaded.declarations] == [False, True]


def test_a_column_may_be_served_twice() -> None:
    attributes = faq_attributes(document={"text": {"question": "question"}, "metadata": {"title": "question"}})
    with location(a=written(attributes)) as loaded:
        assert loaded.groups == {"faq"}


@pytest.mark.parametrize("owner", ["team:search", "team:search and find", "ops@example.com", "a,b@x.y", "@", "team:"])
def test_no_owner_keeps_the_location_from_loading(owner: str) -> None:
    with location(a=RIGHT, b=written(faq_attributes("second", owners=[owner]))) as loaded:
        assert loaded.groups == {"faq", "second"}


def test_both_readers_make_the_same_of_a_file() -> None:
    attributes = faq_attributes(
        "both", range_size=7, search={"threshold": 0.25, "limit": 3}, automation={"paused": True}, description="1, 2"
    )
    with location(a=written(attributes)) as loaded:
        (declaration,) = loaded.declarations
        described = loaded.spec(dg.AssetKey(["both", "search_index"])).description or ""
    assert declaration.spec.name == "both"
    assert declaration.spec.search.threshold == 0.25
    assert described.startswith("1, 2\n")


def test_the_error_of_a_wrong_declaration_is_one_for_the_command_line_too() -> None:
    with location(a=RIGHT, b=written(faq_attributes("no-name"))) as loaded:
        wrong = next(d for d in loaded.declarations if d.problems)
        with pytest.raises(IndexSpecError, match=r"b/defs.yaml, name: 'no-name' can't name an index; use letters"):
            wrong.refuse_if_wrong()
