"""A wrong declaration is refused before anything is made, with the file, the field and the remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from vector_pipeline.core.errors import IndexSpecError, ProviderUnavailableError, UnreadableIndexError
from vector_pipeline.core.generations import GenerationWork
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

ORIGIN = "defs/faq/defs.yaml"


def _refusal(workbench: Workbench, spec: IndexSpec) -> IndexSpecError:
    """What `prepare` says of a declaration that is wrong, checked to be what `check_declaration` says."""
    with workbench.index(spec) as index:
        problems = index.check_declaration()
        with pytest.raises(IndexSpecError) as refused:
            index.prepare()
    assert refused.value.problems == tuple(problems)
    assert str(refused.value).startswith(f"{ORIGIN}, ")
    return refused.value


def _document(text: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    return {"document": {"text": dict(text), **rest}}


QUESTION = {"question": "question"}
WRONG: dict[str, tuple[IndexSpec, str, str, str]] = {
    "no such table": (
        faq_spec(source={"table": "fak", "primary_key": "id"}),
        "source.table",
        "there is no table or view test_",
        "correct source.table or source.database, or GRANT SELECT on it",
    ),
    "no such database": (
        faq_spec(source={"table": "faq", "primary_key": "id", "database": "nowhere"}),
        "source.table",
        "nowhere.faq",
        "GRANT SELECT",
    ),
    "no such text column": (
        faq_spec(**_document({"question": "frage"})),
        "document.text.question",
        "has no column 'frage'",
        "name one of its columns: id, question, answer, link, asked",
    ),
    "a sign that no statement takes": (
        faq_spec(
            **_document(QUESTION, metadata={"link": "link"}),
            search={"text": {"language_column": "link", "languages": {"100%": "english"}}},
        ),
        "search.text.languages.100%",
        "has a % or a NUL in it",
        "such as en",
    ),
    "no such metadata column": (
        faq_spec(**_document(QUESTION, metadata={"source": "quelle"})),
        "document.metadata.source",
        "has no column 'quelle'",
        "name one of its columns",
    ),
    "no such key": (
        faq_spec(source={"table": "faq", "primary_key": "nr"}),
        "source.primary_key",
        "has no column 'nr'",
        "name one of its columns",
    ),
    "a key of an unusable type": (
        faq_spec(source={"table": "faq", "primary_key": "question"}),
        "source.primary_key",
        "has type text, which can't be a key: it has no index over all of it",
        "or make it VARCHAR, or declare a view with CAST",
    ),
    "a key without an index": (
        faq_spec(source={"table": "faq", "primary_key": ["asked", "ID"]}),
        "source.primary_key",
        "begins with (asked, ID), in this order, so that each range would be cut by reading the whole table",
        "declare a unique key in the order of its index, [id], or create one: CREATE UNIQUE INDEX … ON faq (asked, ID)",
    ),
    "a key of no column": (
        faq_spec(source={"table": "faq", "primary_key": []}),
        "source.primary_key",
        "no column is named",
        "name the column that identifies a row",
    ),
    "a key that names a column twice": (
        faq_spec(source={"table": "faq", "primary_key": ["id", "link", "ID"]}),
        "source.primary_key",
        "'id' is named more than once",
        "name each column once",
    ),
    "a text that is optional and absent": (
        faq_spec(**_document({"question": "question", "title": {"column": "title", "optional": True}})),
        "document.text.title",
        "has no column 'title'",
        "only metadata can be optional",
    ),
    "no text": (faq_spec(**_document({})), "document.text", "no column to embed is named", "name at least one"),
    "unique_on of no text": (
        faq_spec(**_document(QUESTION, unique_on="link")),
        "document.unique_on",
        "'link' is not a served text",
        "name one of: question",
    ),
    "search by no field": (
        faq_spec(search={"field": "link"}),
        "search.field",
        "'link' is not a field that is embedded",
        "name one of: best, question, answer",
    ),
    "search by a part of what is embedded together": (
        faq_spec(embedding={"strategy": "concat"}, search={"field": "question"}),
        "search.field",
        "'question' is not a field that is embedded",
        "name one of: best, text",
    ),
    "an index for filters on a text": (
        faq_spec(search={"filters": ["link", "question"]}),
        "search.filters",
        "'question' is no served metadata",
        "name some of: link, asked",
    ),
    "a name that serves twice": (
        faq_spec(**_document(QUESTION, metadata={"question": "link"})),
        "document.metadata.question",
        "'question' is also a served text",
        "serve it under another name",
    ),
}
WRONG |= {
    f"the condition {where!r}": (
        faq_spec(source={"table": "faq", "primary_key": "id", "where": where}),
        "source.where",
        problem,
        remedy,
    )
    for where, problem, remedy in [
        ("statos = 1", "Unknown column 'statos'", "a condition over the table's columns"),
        ("id >", "error 1064", "a condition over the table's columns"),
        ("COUNT(*) > 1", "MySQL refuses the condition", "a condition over the table's columns"),
        ("id = 1) OR (id = 2", "its parentheses don't match", "close each one that is opened"),
        ("(id = 1", "its parentheses don't match", "close each one that is opened"),
        ("id = 1 -- for now", "there is a comment (--)", "leave it out"),
        ("id = 1 # for now", "there is a comment (#)", "leave it out"),
        ("id = 1 /* for now */", "there is a comment (/*)", "leave it out"),
        ("id = 1; DROP TABLE faq", "there is a ;", "without a ;"),
        ("question = 'open", "a ' is opened and never closed", "close it"),
    ]
}
WRONG |= {
    f"the served name {name[:20]!r}": (
        faq_spec(**_document(QUESTION, metadata={name: "link"})),
        f"document.metadata.{name}",
        problem,
        remedy,
    )
    for name, problem, remedy in [
        ("id", "is a name that every index has for itself", "another name"),
        ("key", "is a name that every index has for itself", "another name"),
        ("best", "is a name that every index has for itself", "another name"),
        ("metadata", "is a name that every index has for itself", "another name"),
        ("ctid", "is a name that every index has for itself", "another name"),
        ("question_embedding", "is a name that every index has for itself", "another name"),
        (" ", "the served name is empty", "1 to 53 bytes"),
        ("100%", "has a % in it", "without %"),
        ("ä" * 27, "too long", "1 to 53 bytes"),
    ]
}
WRONG |= {
    f"the throttle {throttle}": (
        faq_spec(source={"table": "faq", "primary_key": "id", "throttle": throttle}),
        "source.throttle.replicas",
        problem,
        remedy,
    )
    for throttle, problem, remedy in [
        ({"replicas": ["replica-1"]}, "not how far they may be behind", "longest_lag_seconds"),
        ({"replicas": ["replica:port"], "longest_lag_seconds": 5}, "'replica:port' is no address", "host:port"),
    ]
}
WRONG |= {
    f"the index name {name!r}": (faq_spec(name), "name", problem, remedy)
    for name, problem, remedy in [
        ("my index", "can't name an index", "use letters, digits and _"),
        ("1st", "can't name an index", "not beginning with a digit"),
        ("fäq", "can't name an index", "use letters, digits and _"),
        ("", "can't name an index", "use letters, digits and _"),
        ("Public", "is the name of another PostgreSQL schema", "choose another name"),
        ("pg_faq", "is the name of another PostgreSQL schema", "choose another name"),
        ("vector_pipeline", "is the name of another PostgreSQL schema", "choose another name"),
    ]
}


@pytest.mark.parametrize(("spec", "field", "problem", "remedy"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_named_with_file_field_and_remedy(
    workbench: Workbench, spec: IndexSpec, field: str, problem: str, remedy: str
) -> None:
    workbench.create_faq(1)
    [found] = _refusal(workbench, spec).problems
    assert found.field == field
    assert problem in found.problem
    assert remedy in found.remedy
    assert workbench.postgres("SELECT to_regclass('faq.documents')::text") == [(None,)]


@pytest.mark.parametrize(
    "where",
    [
        "question <> ')' AND answer <> '-- # /* ;'",
        'question <> "it\'s (" AND `id` > 0',
        "question <> 'it''s (' AND question <> 'it\\'s )' AND id - -1 > 0",
        "id / 2 > 0 AND\n(link LIKE '100%' OR id IN (1, 2))",
    ],
)
def test_a_condition_may_quote_what_it_may_not_hold(workbench: Workbench, where: str) -> None:
    workbench.create_faq(2)
    spec = faq_spec(source={"table": "faq", "primary_key": "id", "where": where})
    with workbench.index(spec) as index:
        assert index.check_declaration() == []
        assert sync_all(index).inserted == 2
        assert index.verify().equal


def test_all_that_is_wrong_is_named_at_once(workbench: Workbench) -> None:
    workbench.create_faq(1)
    spec = faq_spec(**_document({"question": "frage", "answer": "antwort"}, metadata={"link": "quelle"}))
    assert [problem.field for problem in _refusal(workbench, spec).problems] == [
        "document.text.question",
        "document.text.answer",
        "document.metadata.link",
    ]


def _make_view(workbench: Workbench, *keys: str) -> None:
    workbench.mysql("CREATE TABLE held (id INT, question TEXT, answer TEXT, link TEXT, asked DATETIME)")
    workbench.mysql("INSERT INTO held (id, question) VALUES " + ", ".join(f"({key}, 'q')" for key in keys))
    workbench.mysql("CREATE VIEW faq AS SELECT * FROM held")


def test_a_key_that_is_not_unique_is_refused(workbench: Workbench) -> None:
    _make_view(workbench, "1", "2", "2", "2", "3")
    [problem] = _refusal(workbench, faq_spec()).problems
    assert problem.field == "source.primary_key"
    assert "is not unique in" in problem.problem
    assert "(2 repeated values)" in problem.problem
    assert problem.remedy == "declare a unique key or a view with one"


def test_a_key_of_several_columns_that_is_not_unique_or_null_is_refused(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE held (shop VARCHAR(9), nr INT, question TEXT, answer TEXT)")
    workbench.mysql(
        "INSERT INTO held (shop, nr) VALUES ('a', 1), ('a', 2), ('A', 2), ('b', 1), ('b', NULL), (NULL, NULL)"
    )
    workbench.mysql("CREATE VIEW faq AS SELECT * FROM held")
    spec = faq_spec(source={"table": "faq", "primary_key": ["shop", "nr"]}, **_document(QUESTION))
    missing, repeated = _refusal(workbench, spec).problems
    assert "(shop, nr) is NULL in 2 rows of" in missing.problem
    assert "(shop, nr) is not unique in" in repeated.problem
    assert "(1 repeated values)" in repeated.problem
    workbench.mysql("DELETE FROM held WHERE nr IS NULL OR shop = BINARY 'A'")
    assert workbench.sync(spec).inserted == 3


def test_a_key_is_read_only_where_no_unique_index_vouches_for_it(any_workbench: Workbench) -> None:
    any_workbench.mysql(
        "CREATE TABLE faq (id INT PRIMARY KEY, shop INT NOT NULL, nr INT NULL, question TEXT, KEY (shop, id),"
        " KEY (shop, nr), UNIQUE (nr))"
    )
    any_workbench.mysql("INSERT INTO faq VALUES (1, 1, 1, 'q'), (2, 1, NULL, 'q')")
    with_id = faq_spec(source={"table": "faq", "primary_key": ["shop", "id"]}, **_document(QUESTION))
    with any_workbench.index(with_id) as index:
        assert index.check_declaration() == []
    [problem] = _refusal(
        any_workbench, faq_spec(source={"table": "faq", "primary_key": ["shop", "nr"]}, **_document(QUESTION))
    ).problems
    assert "(shop, nr) is NULL in 1 rows" in problem.problem


def test_a_table_without_any_key_gets_one_error(any_workbench: Workbench) -> None:
    any_workbench.mysql(
        "CREATE TABLE faq (nr INT, question TEXT, mood ENUM('good', 'bad'), KEY (mood), KEY (question(9)))"
    )
    for key in ("id", "nr", ["nr", "id"]):
        spec = faq_spec(source={"table": "faq", "primary_key": key}, **_document(QUESTION))
        [problem] = _refusal(any_workbench, spec).problems
        assert problem.field == "source.primary_key"
        assert problem.problem.endswith(".faq has no index over columns that can be a key")
        assert "ADD COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY" in problem.remedy


def test_a_key_in_another_order_than_its_index_is_refused(any_workbench: Workbench) -> None:
    any_workbench.mysql("CREATE TABLE faq (Shop INT, nr INT, question TEXT, PRIMARY KEY (nr, Shop))")
    spec = faq_spec(source={"table": "faq", "primary_key": ["shop", "nr"]}, **_document(QUESTION))
    [problem] = _refusal(any_workbench, spec).problems
    assert "begins with (shop, nr), in this order" in problem.problem
    assert problem.remedy.startswith("declare a unique key in the order of its index, [nr, Shop], or create one: ")


def test_a_text_that_mariadb_compares_otherwise_than_it_orders_it_is_refused(workbench: Workbench) -> None:
    workbench.mysql("CREATE TABLE faq (id CHAR(9) COLLATE utf8mb4_unicode_nopad_ci PRIMARY KEY, question TEXT)")
    [problem] = _refusal(workbench, faq_spec(**_document(QUESTION))).problems
    assert "is not ordered by its collation utf8mb4_unicode_nopad_ci" in problem.problem
    assert "make it VARCHAR" in problem.remedy


def test_a_key_that_is_null_is_refused(workbench: Workbench) -> None:
    _make_view(workbench, "1", "NULL", "NULL")
    [problem] = _refusal(workbench, faq_spec()).problems
    assert (problem.field, problem.remedy) == ("source.primary_key", "declare a unique key or a view with one")
    assert "is NULL in 2 rows" in problem.problem


def test_a_key_that_becomes_null_later_fails_the_sync_in_words(workbench: Workbench) -> None:
    _make_view(workbench, "1", "2")
    workbench.sync()
    workbench.mysql("INSERT INTO held (question) VALUES ('without a key')")
    with pytest.raises(Exception, match=r"source\.primary_key: .*NULL"):
        workbench.sync()


def test_a_view_with_a_unique_key_is_fine(workbench: Workbench) -> None:
    _make_view(workbench, "1", "2", "3")
    assert workbench.sync().inserted == 3
    with workbench.index() as index:
        assert index.verify().equal
        assert index.check_declaration() == []


def test_repeated_keys_that_the_condition_leaves_out_do_not_matter(workbench: Workbench) -> None:
    _make_view(workbench, "1", "2", "2")
    spec = faq_spec(source={"table": "faq", "primary_key": "id", "where": "id <> 2 OR id LIKE '%x%'"})
    assert workbench.sync(spec).inserted == 1


def test_a_dimension_that_the_model_does_not_have_is_refused(workbench: Workbench) -> None:
    workbench.create_faq(1)
    provider = {"type": "openai", "attempts": 1}
    spec = faq_spec(embedding={"dimensions": 4, "provider": provider})
    assert workbench.sync(spec).inserted == 1  # this model can be asked for fewer
    with workbench.index(spec) as index:
        assert index.status().dimensions == 4


def test_a_model_that_ignores_the_declared_dimension_is_refused(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(1)
    provider.behave("wrong length")
    [problem] = _refusal(workbench, faq_spec(embedding={"dimensions": 6})).problems
    assert problem.field == "embedding.dimensions"
    assert problem.problem == "6 are declared, but openai:numbers returns vectors of 3 numbers"
    assert problem.remedy == "declare 3, leave it out, or choose a model that has 6"


def test_a_dimension_that_the_provider_refuses_is_refused(workbench: Workbench) -> None:
    workbench.create_faq(1)
    [problem] = _refusal(workbench, faq_spec(embedding={"dimensions": 1000})).problems
    assert problem.field == "embedding.dimensions"
    assert "dimensions is above 8" in problem.problem
    assert "leave it out" in problem.remedy


def test_an_expected_dimension_below_the_models_is_refused(workbench: Workbench) -> None:
    workbench.create_faq(1)
    [problem] = _refusal(workbench.padded_to(7), faq_spec()).problems
    assert problem.field == "embedding.dimensions"
    assert problem.problem == "EMBEDDING_EXPECTED_DIM is 7, but openai:numbers returns vectors of 8 numbers"
    assert problem.remedy == "set EMBEDDING_EXPECTED_DIM to 8 or more, or unset it"


def test_an_index_is_not_filled_by_two_keys(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("ALTER TABLE faq ADD COLUMN id2 BIGINT NOT NULL UNIQUE AUTO_INCREMENT")
    workbench.sync()
    [problem] = _refusal(workbench, faq_spec(source={"table": "faq", "primary_key": "id2"})).problems
    assert problem.field == "source.primary_key"
    assert "was built by the key id" in problem.problem
    assert "put it back" in problem.remedy
    assert "vector-pipeline drop faq" in problem.remedy


def test_expecting_the_length_that_the_model_has_anyway_changes_nothing(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.padded_to(8).sync()
    with workbench.index() as without, workbench.padded_to(8).index() as expecting:
        assert without.next_generation_work() is GenerationWork.NONE
        assert expecting.next_generation_work() is GenerationWork.NONE
    with workbench.padded_to(16).index() as padding:
        assert padding.generations().asked_for == "padded to: none → 16"


@pytest.mark.parametrize("fingerprint", ['["numbers", null]', "{}", "not JSON"])
def test_an_index_that_another_version_made_is_told_with_the_remedy(workbench: Workbench, fingerprint: str) -> None:
    workbench.create_faq(3)
    workbench.sync()
    workbench.postgres("UPDATE vector_pipeline.generations SET fingerprint = %s", [fingerprint])
    with workbench.index() as index:
        with pytest.raises(UnreadableIndexError, match="vector-pipeline drop faq"):
            index.prepare()
        with pytest.raises(UnreadableIndexError, match="another version"):
            index.check_declaration()
        index.drop()
        assert sync_all(index).inserted == 3


def test_metadata_and_search_may_change_at_any_time(workbench: Workbench, provider: MisbehavingProvider) -> None:
    workbench.create_faq(10)
    workbench.sync()
    requests = provider.stats()["requests"]
    spec = faq_spec(
        document={"text": {"question": "question", "answer": "answer"}, "metadata": {"asked_at": "asked"}},
        search={"limit": 7},
    )
    assert workbench.sync(spec).updated == 10
    assert provider.stats()["requests"] == requests
    with workbench.index(spec) as index:
        assert index.verify().equal
    assert workbench.postgres("SELECT asked_at FROM faq WHERE id = 3") == [("2026-01-02 03:04:05",)]


def test_an_optional_column_may_be_absent_and_is_served_once_the_table_gains_it(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = faq_spec(
        document={
            "text": {"question": "question", "answer": "answer"},
            "metadata": {"link": "link", "uniqueid": {"column": "genie_uniqueid", "optional": True}},
        }
    )
    workbench.create_faq(10)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        assert index.check_declaration() == []
        assert "uniqueid" not in index.search("question number 3?").hits[0].metadata
    requests = provider.stats()["requests"]
    workbench.mysql("ALTER TABLE faq ADD COLUMN genie_uniqueid VARCHAR(36)")
    workbench.mysql("UPDATE faq SET genie_uniqueid = CONCAT('u', id) WHERE id <= 5")
    synced = workbench.sync(spec)
    assert synced.updated == 10  # a row without a value is served with the column too, as null
    assert provider.stats()["requests"] == requests
    assert workbench.postgres("SELECT uniqueid FROM faq WHERE id = 3") == [("u3",)]
    with workbench.index(spec) as index:
        assert index.verify().equal
        assert index.search("question number 3?").hits[0].metadata["uniqueid"] == "u3"


@pytest.mark.parametrize(
    ("stranger", "remedy"),
    [
        ("CREATE TABLE public.faq (id int)", 'ALTER TABLE public."faq" RENAME TO "faq_old"'),
        ("CREATE SCHEMA faq", 'ALTER SCHEMA "faq" RENAME TO "faq_old"'),
    ],
    ids=["table", "schema"],
)
def test_a_name_that_somebody_else_has_in_postgresql_is_a_problem_of_the_name(
    workbench: Workbench, stranger: str, remedy: str
) -> None:
    workbench.create_faq(1)
    workbench.postgres(stranger)
    with workbench.index() as index:
        [problem] = index.check_declaration()
    assert problem.field == "name"
    assert "which vector-pipeline did not make" in problem.problem
    assert remedy in problem.remedy


@pytest.mark.parametrize(("status", "said"), [(401, "EMBEDDING_API_KEY"), (404, "HTTP 404"), (400, "HTTP 400")])
def test_a_provider_that_rejects_us_is_a_problem_of_the_embedding(
    workbench: Workbench, provider: MisbehavingProvider, status: int, said: str
) -> None:
    workbench.create_faq(1)
    provider.behave("status", status=status)
    with workbench.index() as index:
        [problem] = index.check_declaration()
    assert problem.field == "embedding"
    assert said in problem.problem


def test_a_provider_that_is_merely_down_says_nothing_of_the_declaration(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(1)
    provider.behave("status", status=503, retry_after_ms="1")
    with workbench.index() as index, pytest.raises(ProviderUnavailableError, match="HTTP 503"):
        index.check_declaration()


def test_a_wrong_index_takes_no_other_down_with_it(workbench: Workbench) -> None:
    workbench.create_faq(3)
    _refusal(workbench, faq_spec("wrong", source={"table": "nothing", "primary_key": "id"}))
    with workbench.index(faq_spec("right")) as index:
        assert sync_all(index).inserted == 3
        assert index.verify().equal
