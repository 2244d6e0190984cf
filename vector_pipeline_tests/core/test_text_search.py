"""Documents found by their words, and by words and vectors together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import sql

from vector_pipeline.core.errors import IndexSpecError, ProviderUnavailableError
from vector_pipeline.core.search import text
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.statement import Restriction
from vector_pipeline.core.search.time_limit import TimeLimit
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import locks, text_index
from vector_pipeline.core.store.locks import Lock
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, sync_all

ROWS = [
    (1, "How do I renew a passport?", "Bring the old one to the Immigration office.", "en"),
    (2, "Where can I buy fish?", "At the <b>market</b> & the harbour.", "en"),
    (3, "How do I renew a driving licence?", "Passports are not needed, a photo is.", "en"),
    (4, "Bagaimana membeli ikan?", "Pembelian ikan di pasar.", "ms"),
    (5, "What does it do?", "It runs; renewing helps.", "en"),
    (6, "How do I get there?", None, None),
]


def text_spec(mode: str = "text", declared: dict[str, Any] | None = None, **changes: Any) -> IndexSpec:
    search = {"threshold": -1.0, "mode": mode, "text": declared or {}}
    return faq_spec(**({"search": search} | changes))


@pytest.fixture
def library(workbench: Workbench) -> Workbench:
    """The table with some rows in two languages; `link` has the language."""
    workbench.create_faq()
    workbench.mysql("INSERT INTO faq (id, question, answer, link) VALUES (%s, %s, %s, %s)", ROWS)
    return workbench


def keys(workbench: Workbench, spec: IndexSpec, query: str, **options: Any) -> list[str]:
    with workbench.index(spec) as index:
        return [hit.key for hit in index.search(query, **options).hits]


ENGLISH = {"language": "english"}
WORDS_INDEXES = "SELECT relname, relfilenode FROM pg_class WHERE starts_with(relname, 'documents_words_')"
HYBRID_IN_HALF_A_SECOND = {"threshold": -1.0, "mode": "hybrid", "text": ENGLISH, "seconds": 0.5}


def test_documents_are_found_by_their_words_the_rarest_counting_most(library: Workbench) -> None:
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    found = keys(library, spec, "renewed fishes")
    assert (found[0], set(found[1:])) == ("2", {"1", "3", "5"})
    assert set(keys(library, spec, "Is a passport renewed?", limit=2)) == {"1", "3"}
    assert keys(library, spec, "nothing of this kind") == []


def test_the_index_over_words_finds_what_reading_every_document_finds(library: Workbench) -> None:
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    queries = ["renew passport", "fish at the market", "licence -photo", '"old one"']
    with library.index(spec) as index:
        before = [index.search(query).hits for query in queries]
        index.refresh_search_index()
        assert [[hit.key for hit in index.search(query).hits] for query in queries] == [
            [hit.key for hit in hits] for hits in before
        ]
    assert library.postgres(
        "SELECT indisvalid FROM pg_index WHERE indexrelid::regclass::text LIKE '%documents_words%'"
    ) == [(True,)]


def test_text_mode_asks_no_provider_and_finds_rows_that_it_refused(
    library: Workbench, provider: MisbehavingProvider
) -> None:
    spec = text_spec()
    library.mysql("UPDATE faq SET question = 'poison in the fish' WHERE id = 2")
    library.sync(spec)
    provider.behave("status", status=503)
    asked = provider.requests
    with library.index(spec) as index:
        [hit] = index.search("poison").hits
    assert (hit.key, hit.field, hit.vector_score, hit.vector_behind) == ("2", "question", None, True)
    assert hit.without_vector
    assert provider.requests == asked


def test_scores_and_ranks_of_both_are_in_a_hybrid_hit(library: Workbench) -> None:
    spec = text_spec("hybrid", ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        hits = index.search("renew a passport", limit=6).hits
        by_words = index.search("renew a passport", mode="text").hits
        by_vectors = index.search("renew a passport", mode="vector", limit=6).hits
    assert {hit.key: hit.text_rank for hit in hits if hit.text_rank} == {hit.key: hit.text_rank for hit in by_words}
    assert {hit.key: (hit.vector_rank, hit.vector_score) for hit in hits} == {
        hit.key: (hit.vector_rank, hit.score) for hit in by_vectors
    }
    points = {
        hit.key: (5 / (10 + hit.vector_rank) + (1 / (10 + hit.text_rank) if hit.text_rank else 0)) / (6 / 11)
        for hit in hits
        if hit.vector_rank
    }
    assert [hit.score for hit in hits] == pytest.approx(sorted(points.values(), reverse=True))


def test_in_hybrid_the_threshold_holds_for_vectors_and_words_need_none(library: Workbench) -> None:
    spec = text_spec("hybrid", ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        hits = index.search("fish", threshold=1.0).hits
    assert [(hit.key, hit.vector_rank, hit.text_rank) for hit in hits] == [("2", None, 1)]


def test_while_the_provider_is_down_hybrid_answers_by_words_and_says_so(
    library: Workbench, provider: MisbehavingProvider
) -> None:
    spec = text_spec(search=HYBRID_IN_HALF_A_SECOND)
    library.sync(spec)
    provider.stop()
    with library.index(spec) as index:
        answer = index.search("fish")
        with pytest.raises(ProviderUnavailableError):
            index.search("fish", mode="vector")
    assert [hit.key for hit in answer.hits] == ["2"]
    assert not answer.complete
    assert "found by words alone" in answer.notes[0]


def test_what_the_provider_takes_is_no_time_of_the_search_by_words(
    library: Workbench, provider: MisbehavingProvider
) -> None:
    spec = text_spec(search=HYBRID_IN_HALF_A_SECOND)
    library.sync(spec)
    provider.delay_seconds = 0.6
    with library.index(spec) as index:
        answer = index.search("fish")
    assert [hit.key for hit in answer.hits if hit.text_rank == 1] == ["2"]
    assert answer.complete


def test_a_query_that_postgresql_could_not_take_is_refused(library: Workbench) -> None:
    spec = text_spec()
    library.sync(spec)
    complaints = {
        " ".join(f"word{place}" for place in range(2000)): "at most 10000 are searched for",
        " ".join(f"-word{place}" for place in range(51)) + " fish": "more than 50 phrases in quotes",
        "fish \ud800": "half of a character is missing",
    }
    with library.index(spec) as index:
        for query, complaint in complaints.items():
            with pytest.raises(SearchRequestError, match=complaint):
                index.search(query)


def test_snippets_are_left_out_where_the_time_is_over(library: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = sql.SQL("(SELECT 'simple'::regconfig FROM pg_sleep(60))")
    monkeypatch.setattr(text_index, "language", lambda *_: slow)
    spec = text_spec(search={"threshold": -1.0, "mode": "text", "text": ENGLISH, "seconds": 0.3})
    library.sync(spec)
    with library.index(spec) as index:
        answer = index.search("fish")
    assert [(hit.key, hit.snippet) for hit in answer.hits] == [("2", None)]
    assert "no snippets" in answer.notes[0]


def test_a_snippet_marks_the_words_and_is_safe_on_a_page(library: Workbench) -> None:
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        [market] = index.search("market").hits
    assert market.snippet is not None
    assert market.field == market.snippet.field == "answer"
    assert "<mark>market</mark>" in market.snippet.html
    assert "&amp; the harbour" in market.snippet.html
    assert "<b>" not in market.snippet.html
    assert "& the harbour" in market.snippet.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('"renew a passport"', ["1"]),
        ("renew -driving", ["1", "5"]),
        ('renew -"driving licence" passport', ["1", "5"]),
        ("'); DROP TABLE faq; --", []),
        ("\"never closed fish : * & | ! \\ '", ["2"]),
        ("-fish", []),
    ],
)
def test_quotes_and_minus_are_taken_as_search_engines_take_them(
    library: Workbench, query: str, found: list[str]
) -> None:
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    assert sorted(keys(library, spec, query)) == found


def test_a_query_without_a_word_finds_nothing_and_says_why(library: Workbench) -> None:
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        answer = index.search("what is it?")
    assert answer.hits == ()
    assert "no word to search for" in answer.notes[0]


def test_each_row_is_read_in_the_language_that_its_column_says(library: Workbench) -> None:
    declared = {"language_column": "link", "languages": {"en": "english", "ms": "indonesian"}}
    spec = text_spec(declared=declared)
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
    assert keys(library, spec, "buying fishes") == ["2"]
    assert keys(library, spec, "pembeli") == ["4"]
    assert keys(library, text_spec(), "pembeli") == []


def test_a_field_is_searched_alone_and_texts_weigh_as_declared(library: Workbench) -> None:
    spec = text_spec(declared=ENGLISH | {"weights": {"question": 1, "answer": 4}})
    library.sync(spec)
    assert keys(library, spec, "passport") == ["3", "1"]
    assert keys(library, text_spec(declared=ENGLISH), "passport", field="question") == ["1"]
    assert keys(library, text_spec(declared=ENGLISH), "passport", field="answer") == ["3"]


def test_of_rows_with_the_same_text_one_is_found_by_words(library: Workbench) -> None:
    document = {"text": {"question": "question"}, "unique_on": "question"}
    spec = text_spec(document=document)
    library.mysql("UPDATE faq SET question = 'asked by many' WHERE id IN (2, 4, 6)")
    library.sync(spec)
    assert keys(library, spec, "many") == ["2"]


def test_an_unknown_language_is_told_with_those_that_there_are(library: Workbench) -> None:
    spec = text_spec(declared={"language": "klingon"})
    with library.index(spec) as index:
        [problem] = index.check_declaration()
        with pytest.raises(IndexSpecError, match="klingon"):
            index.prepare()
    assert problem.field == "search.text.language"
    assert "indonesian" in problem.remedy


def test_a_server_without_the_language_refuses_the_search_in_words(library: Workbench) -> None:
    library.sync(text_spec())
    with (
        library.index(text_spec(declared={"language": "klingon"})) as index,
        pytest.raises(SearchRequestError, match="klingon"),
    ):
        index.search("fish")


def test_a_text_of_any_length_is_taken_in(library: Workbench) -> None:
    spec = text_spec()
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
        many = " ".join(f"a{number}-b{number}" for number in range(400_000))
        library.postgres("UPDATE faq.documents SET answer = %s WHERE key = '2'", [many])
        assert [hit.key for hit in index.search("a77").hits] == ["2"]


def test_an_index_that_is_not_needed_any_more_is_removed(library: Workbench) -> None:
    for spec, expected in ((text_spec(), 1), (text_spec(declared=ENGLISH), 1), (faq_spec(), 0)):
        library.sync(spec)
        with library.index(spec) as index:
            index.refresh_search_index()
        count = library.postgres("SELECT count(*) FROM pg_class WHERE relname LIKE 'documents_words_%'")
        assert count == [(expected,)]


@pytest.mark.parametrize("mode", ["text", "hybrid"])
def test_a_filter_holds_for_what_is_found_by_words(library: Workbench, mode: str) -> None:
    spec = text_spec(mode, ENGLISH)
    library.mysql("UPDATE faq SET link = 'licences' WHERE id = 3")
    library.sync(spec)
    assert keys(library, spec, "renew a passport", filter={"link": "licences"}) == ["3"]


def _files_with(workbench: Workbench, word: str) -> int:
    """How many of the indexes over words have this one in their file."""
    workbench.postgres("CHECKPOINT")
    [(count,)] = workbench.postgres(
        """
        SELECT count(*) FROM pg_class
        WHERE starts_with(relname, 'documents_words_')
          AND position(convert_to(%s, 'UTF8') IN pg_read_binary_file(pg_relation_filepath(oid))) > 0
        """,
        [word],
    )
    return int(count)


def test_the_words_of_an_erased_row_leave_the_index(library: Workbench) -> None:
    spec = text_spec()
    library.mysql("UPDATE faq SET answer = 'about zebrafish' WHERE id = 2")
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
        assert _files_with(library, "zebrafish") == 1
        library.mysql("DELETE FROM faq WHERE id = 2")
        sync_all(index)
        index.erase(["2"])
        assert _files_with(library, "zebrafish") == 0
        assert [hit.key for hit in index.search("fish ikan").hits] == ["4"]


def test_the_index_is_built_anew_after_a_refresh_that_is_at_work(library: Workbench) -> None:
    spec = text_spec()
    library.sync(spec)
    with library.index(spec) as refreshing, library.index(spec) as erasing, ThreadPoolExecutor(1) as threads:
        refreshing.refresh_search_index()
        built = library.postgres(WORDS_INDEXES)
        pid = erasing._target.info.backend_pid
        with locks.held(refreshing._target, Lock.SEARCH_INDEX, erasing._registered.index_id):
            rebuilding = threads.submit(text_index.rebuild, erasing._target, erasing._registered)
            asks = "SELECT query LIKE '%%pg_try_advisory_lock%%' FROM pg_stat_activity WHERE pid = %s"
            while not rebuilding.done() and library.postgres(asks, [pid]) != [(True,)]:
                pass
            assert library.postgres(WORDS_INDEXES) == built
        rebuilding.result()
        assert library.postgres(WORDS_INDEXES) != built


def test_in_large_tables_a_word_that_nobody_has_hides_no_document_with_the_others(
    library: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_MANY_DOCUMENTS", 0)
    monkeypatch.setattr(text, "_MOST_RANKED", 1)
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
        everything = index.search("zebra renew")
        monkeypatch.setattr(text, "_MOST_OF_ALL", 2)
        capped = index.search("zebra renew")
    assert ({hit.key for hit in everything.hits}, everything.complete) == ({"1", "3", "5"}, True)
    assert (len(capped.hits), capped.complete) == (2, False)


def test_in_large_tables_an_answer_is_complete_where_common_words_alone_can_bring_no_better_document(
    library: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_MANY_DOCUMENTS", 0)
    monkeypatch.setattr(text, "_MOST_RANKED", 1)
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
        by_the_rarest = index.search("licence renew", limit=1)
        beside_better_ones = index.search("market renew passport", limit=1)
    assert ([hit.key for hit in by_the_rarest.hits], by_the_rarest.complete) == (["3"], True)
    assert ([hit.key for hit in beside_better_ones.hits], beside_better_ones.complete) == (["2"], False)


def test_what_was_found_by_the_rarer_words_stays_where_the_time_is_over_before_the_others(
    library: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_MANY_DOCUMENTS", 0)
    monkeypatch.setattr(text, "_MOST_RANKED", 1)
    spec = text_spec(declared=ENGLISH)
    library.sync(spec)
    with library.index(spec) as index:
        index.refresh_search_index()
        target, registered = index._target, index._registered
        declared = spec.search.by_words
        assert declared is not None
        slow = sql.SQL("CASE WHEN %(text_any)s::tsquery::text LIKE '%%renew%%' THEN pg_sleep(60) IS NULL ELSE true END")
        words = text.read_words(target, declared, "licence renew")
        matches = text.matching(
            target, registered, declared, words, ["question"], 5, None, Restriction(slow), TimeLimit.within(1)
        )
    assert ([match.key for match in matches.found], matches.complete) == (["3"], False)


def test_documents_that_cannot_be_read_in_time_are_left_out_and_this_is_said(library: Workbench) -> None:
    spec = text_spec(search={"threshold": -1.0, "mode": "text", "text": ENGLISH, "seconds": 0.2})
    library.sync(spec)
    with library.index(spec) as index, store_connection.connect(library.target) as other, other.transaction():
        other.execute("LOCK TABLE faq.passages_1 IN ACCESS EXCLUSIVE MODE")
        answer = index.search("fish")
    assert (answer.hits, answer.complete) == ((), False)
    assert "left out" in answer.notes[0]
