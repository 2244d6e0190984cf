"""A column of the source that becomes something else stops its index, by name, until somebody accepts it."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import DeclarationProblem, IndexSpecError
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all


def _synced(workbench: Workbench) -> Workbench:
    workbench.create_faq(30)
    workbench.mysql("UPDATE faq SET answer = id, link = id")
    workbench.sync()
    return workbench


@pytest.fixture
def synced(workbench: Workbench) -> Workbench:
    return _synced(workbench)


@pytest.fixture
def synced_anywhere(any_workbench: Workbench) -> Workbench:
    """The same, once on each of the two kinds of server: their catalogues write types differently."""
    return _synced(any_workbench)


def problems(workbench: Workbench, spec: IndexSpec | None = None) -> list[DeclarationProblem]:
    with workbench.index(spec) as index:
        return index.check_declaration()


def assert_it_goes_on(workbench: Workbench) -> None:
    """Changes arrive, and nothing differs."""
    assert problems(workbench) == []
    workbench.mysql("UPDATE faq SET question = 'what is new?' WHERE id = 5")
    assert workbench.sync().updated == 1
    with workbench.index() as index:
        assert index.verify().equal


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ("MODIFY answer INT", "document.text.answer", "column 'answer' was mediumtext when .* and is int.* now"),
        ("MODIFY answer MEDIUMBLOB", "document.text.answer", "'answer' was mediumtext .* is mediumblob now"),
        ("MODIFY asked VARCHAR(30)", "document.metadata.asked", r"'asked' was datetime .* is varchar\(30\) now"),
        ("MODIFY link DECIMAL(9, 2)", "document.metadata.link", r"'link' was varchar\(500\) .* decimal\(9,2\) now"),
    ],
)
def test_a_retyped_column_is_named_with_both_types_and_the_remedy(
    synced_anywhere: Workbench, change: str, field: str, said: str
) -> None:
    synced_anywhere.mysql(f"ALTER TABLE faq {change}")
    with pytest.raises(IndexSpecError, match=said) as refused:
        synced_anywhere.sync()
    [problem] = refused.value.problems
    assert problem.field == field
    assert problem.remedy == "change it back, or accept it: `vector-pipeline accept-schema faq`"
    assert problems(synced_anywhere) == [problem]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("DATETIME", "DATETIME(3)"),
        ("DATETIME(6)", "DATETIME(3)"),
        ("TIMESTAMP NULL", "TIMESTAMP(2) NULL"),
        ("TIME", "TIME(1)"),
        ("DECIMAL(10, 2)", "DECIMAL(10, 4)"),
        ("DECIMAL(10, 2)", "DECIMAL(10)"),
        ("DOUBLE", "DOUBLE(10, 4)"),
        ("BINARY(30)", "BINARY(31)"),
        ("VARBINARY(30)", "BINARY(30)"),
    ],
)
def test_a_column_whose_values_are_written_with_other_digits_is_named(
    any_workbench: Workbench, before: str, after: str
) -> None:
    any_workbench.create_faq(30)
    any_workbench.mysql(f"ALTER TABLE faq MODIFY asked {before}", relaxed=True)
    any_workbench.sync()
    any_workbench.mysql(f"ALTER TABLE faq MODIFY asked {after}", relaxed=True)
    assert [problem.field for problem in problems(any_workbench)] == ["document.metadata.asked"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("DECIMAL(10, 2)", "DECIMAL(20, 2) UNSIGNED"),
        ("BIT(4)", "BIT(40)"),
        ("FLOAT", "FLOAT(20, 4)"),
        ("BINARY(30)", "VARBINARY(40)"),
        ("CHAR(30)", "CHAR(40)"),
    ],
)
def test_a_column_whose_values_are_written_as_before_is_fine(any_workbench: Workbench, before: str, after: str) -> None:
    any_workbench.create_faq(30)
    any_workbench.mysql("ALTER TABLE faq DROP asked")
    any_workbench.mysql(f"ALTER TABLE faq ADD asked {before}")
    any_workbench.mysql("UPDATE faq SET asked = 7")
    any_workbench.sync()
    any_workbench.mysql(f"ALTER TABLE faq MODIFY asked {after}")
    with any_workbench.index() as index:
        assert index.verify().equal
    assert_it_goes_on(any_workbench)


def test_what_is_changed_back_is_no_problem_any_more(synced: Workbench) -> None:
    synced.mysql("ALTER TABLE faq MODIFY answer INT")
    assert len(problems(synced)) == 1
    synced.mysql("ALTER TABLE faq MODIFY answer MEDIUMTEXT")
    assert_it_goes_on(synced)


@pytest.mark.parametrize("change", ["DROP COLUMN link", "RENAME COLUMN link TO address"])
def test_a_dropped_or_renamed_column_is_named(synced: Workbench, change: str) -> None:
    synced.mysql(f"ALTER TABLE faq {change}")
    with pytest.raises(IndexSpecError, match=r"document\.metadata\.link: .*\.faq has no column 'link'"):
        synced.sync()


@pytest.mark.parametrize(
    "change",
    [
        "MODIFY link VARCHAR(600)",
        "MODIFY link TEXT",
        "MODIFY answer LONGTEXT",
        "MODIFY id BIGINT UNSIGNED",
        "MODIFY question TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "ADD COLUMN more INT FIRST",
    ],
)
def test_a_column_that_is_wider_and_one_that_nobody_reads_are_fine(synced: Workbench, change: str) -> None:
    synced.mysql(f"ALTER TABLE faq {change}")
    assert_it_goes_on(synced)


def test_an_accepted_change_brings_over_the_rows_that_read_differently(synced_anywhere: Workbench) -> None:
    synced_anywhere.mysql("ALTER TABLE faq MODIFY asked VARCHAR(30), MODIFY link DECIMAL(9, 2)")
    with synced_anywhere.index() as index:
        accepted = index.accept_schema()
    assert [change.column for change in accepted] == ["link", "asked"]
    assert synced_anywhere.sync().updated == 30
    assert synced_anywhere.postgres("SELECT link, asked FROM faq WHERE id = 7") == [("7.00", "2026-01-02 03:04:05")]
    assert_it_goes_on(synced_anywhere)


def test_where_nothing_has_changed_there_is_nothing_to_accept(synced: Workbench) -> None:
    with synced.index() as index:
        assert index.accept_schema() == []


@pytest.fixture
def keyed_by_text(any_workbench: Workbench) -> Workbench:
    any_workbench.mysql(
        "CREATE TABLE faq (id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci PRIMARY KEY, question TEXT,"
        " answer MEDIUMTEXT, link VARCHAR(500), asked DATETIME) CHARACTER SET utf8mb4"
    )
    any_workbench.mysql("INSERT INTO faq (id, question) VALUES ('a', 'one'), ('B', 'two'), ('c', 'three')")
    any_workbench.sync()
    return any_workbench


@pytest.mark.parametrize(
    ("change", "now"),
    [
        ("MODIFY id VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", r"varchar\(20\) collated utf8mb4_bin"),
        ("MODIFY id VARBINARY(20)", r"varbinary\(20\)"),
    ],
)
def test_a_key_that_orders_its_values_otherwise_can_not_be_accepted(
    keyed_by_text: Workbench, change: str, now: str
) -> None:
    keyed_by_text.mysql(f"ALTER TABLE faq {change}")
    said = rf"source\.primary_key: column 'id' was varchar\(20\) collated utf8mb4_unicode_ci .* is {now} now.*drop faq"
    with pytest.raises(IndexSpecError, match=said):
        keyed_by_text.sync()
    with keyed_by_text.index() as index, pytest.raises(IndexSpecError, match=said):
        index.accept_schema()
    assert len(problems(keyed_by_text)) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [("DATETIME", "DATETIME(3)"), ("DECIMAL(10, 2)", "DECIMAL(12, 4)"), ("BINARY(4)", "BINARY(8)")],
)
def test_a_key_that_is_written_otherwise_can_not_be_accepted(any_workbench: Workbench, before: str, after: str) -> None:
    any_workbench.mysql(
        f"CREATE TABLE faq (id {before} PRIMARY KEY, question TEXT, answer TEXT, link TEXT, asked DATETIME)"
    )
    any_workbench.mysql("INSERT INTO faq (id, question) VALUES (20260102, 'one')", relaxed=True)
    any_workbench.sync()
    any_workbench.mysql(f"ALTER TABLE faq MODIFY id {after}")
    with any_workbench.index() as index, pytest.raises(IndexSpecError, match=r"source\.primary_key: column 'id' was"):
        index.accept_schema()


def test_a_key_whose_collation_the_server_calls_by_its_newer_name_is_the_same(keyed_by_text: Workbench) -> None:
    keyed_by_text.mysql("ALTER TABLE faq MODIFY id VARCHAR(20) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci")
    keyed_by_text.sync(faq_spec("older"))
    keyed_by_text.postgres(
        "UPDATE vector_pipeline.embedding_indexes"
        " SET source_columns = replace(source_columns::text, 'utf8mb3', 'utf8')::jsonb"
    )
    assert problems(keyed_by_text, faq_spec("older")) == []


def test_a_longer_text_key_is_fine(keyed_by_text: Workbench) -> None:
    keyed_by_text.mysql(
        "ALTER TABLE faq MODIFY id VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL"
    )
    assert problems(keyed_by_text) == []
    keyed_by_text.mysql("INSERT INTO faq (id, question) VALUES ('a key of more than twenty characters', 'four')")
    assert keyed_by_text.sync().inserted == 1


def test_columns_that_the_declaration_adds_or_leaves_out_are_no_change_of_the_source(synced: Workbench) -> None:
    texts = {"question": "question", "answer": "answer"}
    without = faq_spec(document={"text": texts, "metadata": {"link": "link"}})
    synced.sync(without)
    synced.mysql("ALTER TABLE faq MODIFY asked VARCHAR(30)")
    assert problems(synced, without) == []
    # Nobody read it when its type changed: it comes back as a new column.
    assert problems(synced) == []
    synced.sync()
    synced.mysql("ALTER TABLE faq MODIFY asked DATETIME")
    assert [problem.field for problem in problems(synced)] == ["document.metadata.asked"]


def test_an_index_from_before_columns_were_kept_takes_them_as_they_are(synced: Workbench) -> None:
    synced.postgres("UPDATE vector_pipeline.embedding_indexes SET source_columns = NULL")
    synced.mysql("ALTER TABLE faq MODIFY asked VARCHAR(30)")
    synced.sync()
    synced.mysql("ALTER TABLE faq MODIFY asked DATETIME")
    assert [problem.field for problem in problems(synced)] == ["document.metadata.asked"]


def test_other_indexes_and_search_go_on(synced: Workbench) -> None:
    others = faq_spec("others", document={"text": {"question": "question"}, "metadata": {}})
    synced.sync(others)
    synced.mysql("ALTER TABLE faq MODIFY answer INT")
    synced.mysql("UPDATE faq SET question = 'what is new?' WHERE id = 5")
    with pytest.raises(IndexSpecError):
        synced.sync()
    assert synced.sync(others).updated == 1
    with synced.index() as index:
        assert len(index.search("question number 7?").hits) == 5
    with synced.index() as index:
        index.accept_schema()
        assert sync_all(index).updated == 1
