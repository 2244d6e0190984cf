"""From the declaration of texts to what the provider is sent, what is stored, and what is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from vector_pipeline.core.errors import SourceValueError
from vector_pipeline.core.search.answer import FoundPassage
from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only, sync_all

LONG = " ".join(f"Sentence {number} of a long answer is about matter {number}." for number in range(80))


def _embedding(**settings: Any) -> IndexSpec:
    return faq_spec(embedding=settings)


def _create(workbench: Workbench, *rows: tuple[int, str | None, str | None]) -> None:
    workbench.create_faq(0)
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (%s, %s, %s)", rows)


def _assert_equal(workbench: Workbench, spec: IndexSpec) -> None:
    with workbench.index(spec) as index:
        report = index.verify()
        assert report.equal, report.differences


# Templates


def test_a_template_makes_one_text_of_a_row(workbench: Workbench, provider: MisbehavingProvider) -> None:
    spec = _embedding(template="Q: {{ question }}{% if answer %}\nA: {{ answer }}{% endif %}")
    _create(workbench, (1, "one", "two"), (2, "three", None))
    workbench.sync(spec)
    assert provider.times_sent("Q: one\nA: two") == provider.times_sent("Q: three") == 1
    with workbench.index(spec) as index:
        assert [(hit.key, hit.field) for hit in index.search("Q: three", limit=1).hits] == [("2", "text")]
    _assert_equal(workbench, spec)


def test_a_row_for_which_a_template_writes_nothing_has_no_vector(workbench: Workbench) -> None:
    spec = _embedding(template="{% if answer %}{{ answer }}{% endif %}\n")
    _create(workbench, (1, "one", "two"), (2, "three", None))
    workbench.sync(spec)
    assert workbench.postgres("SELECT key FROM faq.passages_1") == [("1",)]
    _assert_equal(workbench, spec)


def test_a_row_on_which_a_template_fails_is_named_and_fails_its_range_alone(workbench: Workbench) -> None:
    spec = faq_spec(embedding={"template": "{{ question }}\n{{ answer.split('|')[1] }}"}, range_size=2)
    _create(workbench, (1, "a", "1|2"), (2, "b", "none"), (3, "c", "3|4"), (4, "d", "5|6"))
    with workbench.index(spec) as index:
        index.detect()
        with pytest.raises(SourceValueError, match=r"key '2': embedding\.template, line 2: list object has no element"):
            list(index.sync_documents([state.partition for state in index.due_ranges()]))
        assert workbench.postgres("SELECT key FROM faq.documents ORDER BY key") == [("3",), ("4",)]
        workbench.mysql("UPDATE faq SET answer = '7|8' WHERE id = 2")
        sync_all(index)
    _assert_equal(workbench, spec)


# Means


def _mean(*texts: str) -> npt.NDArray[np.float64]:
    mean = vectors_of(texts, 8).astype(np.float64).mean(axis=0)
    unit: npt.NDArray[np.float64] = mean / np.linalg.norm(mean)
    return unit


AVERAGE = _embedding(strategy="average")


def test_a_document_is_found_by_the_mean_of_its_texts_that_are_there(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _create(workbench, (1, "one", "two"), (2, "three", None), (3, " ", None), (4, "twin", "twin"), (5, "two", "one"))
    workbench.sync(AVERAGE)
    query = vectors_of(["a query"], 8)[0].astype(np.float64)
    expected = {
        "1": _mean("one", "two") @ query,
        "2": _mean("three") @ query,
        "4": _mean("twin") @ query,
        "5": _mean("two", "one") @ query,
    }
    with workbench.index(AVERAGE) as index:
        hits = index.search("a query", limit=9).hits
    assert {hit.key: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6)
    assert {(hit.field, hit.passage) for hit in hits} == {("text", None)}
    assert [provider.times_sent(text) for text in ("one", "two", "three", "twin")] == [1, 1, 1, 1]
    assert workbench.postgres("SELECT count(text_embedding) FROM faq") == [(4,)]
    _assert_equal(workbench, AVERAGE)


def test_parts_are_shared_with_searched_fields_and_kept_as_long_as_they_are_needed(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _create(workbench, (1, "one", "two"), (2, "three", "four"))
    workbench.sync()
    provider.reset()
    with workbench.index(AVERAGE) as index:
        sync_all(index)
        assert index.build_next_generation().switched
        index.refresh_search_index()
        workbench.mysql("UPDATE faq SET answer = 'five' WHERE id = 1")
        sync_all(index)
        index.refresh_search_index()
        workbench.mysql("UPDATE faq SET answer = 'two' WHERE id = 1")
        sync_all(index)
        [hit] = index.search("a query", limit=9, threshold=-1).hits[:1]
    assert hit.score <= 1
    assert (provider.stats()["texts"] - provider.times_sent("a query"), provider.times_sent("five")) == (1, 1)
    _assert_equal(workbench, AVERAGE)


def test_a_zero_padded_mean_is_honest(workbench: Workbench) -> None:
    padded = workbench.padded_to(16)
    _create(padded, (1, "one", "two"))
    padded.sync(AVERAGE)
    _assert_equal(padded, AVERAGE)
    with padded.index(AVERAGE) as index:
        assert index.search("one").hits[0].score == pytest.approx(_mean("one", "two") @ vectors_of(["one"], 8)[0])


def test_a_quarantined_part_keeps_the_mean_of_before_and_names_its_column(workbench: Workbench) -> None:
    _create(workbench, (1, "one", "two"), (2, "three", "four"))
    workbench.sync(AVERAGE)
    workbench.mysql("UPDATE faq SET answer = 'poison' WHERE id = 1")
    workbench.sync(AVERAGE)
    with workbench.index(AVERAGE) as index:
        [entry] = index.quarantine()
        assert (entry.key, entry.field) == ("1", "answer")
        assert not any(state.dirty for state in index.ranges())
        hit = next(hit for hit in index.search("a query").hits if hit.key == "1")
        assert hit.vector_behind
        assert hit.score == pytest.approx(_mean("one", "two") @ vectors_of(["a query"], 8)[0], abs=1e-6)
        _assert_equal(workbench, AVERAGE)
        workbench.mysql("UPDATE faq SET answer = 'cured' WHERE id = 1")
        sync_all(index)
        assert index.quarantine() == []
        hit = next(hit for hit in index.search("a query").hits if hit.key == "1")
    assert not hit.vector_behind
    assert hit.score == pytest.approx(_mean("one", "cured") @ vectors_of(["a query"], 8)[0], abs=1e-6)
    _assert_equal(workbench, AVERAGE)


def test_a_mean_without_a_direction_is_quarantined(workbench: Workbench) -> None:
    _create(workbench, (1, "one", None), (2, "two", None))
    workbench.sync(AVERAGE)
    opposite = ", ".join(str(-number) for number in vectors_of(["one"], 8)[0])
    workbench.postgres("UPDATE faq.vectors_1 SET embedding = %s WHERE content_hash = sha256('two')", [f"[{opposite}]"])
    workbench.mysql("INSERT INTO faq (id, question, answer) VALUES (3, 'two', 'one')")
    with workbench.index(AVERAGE) as index:
        sync_all(index)
        [entry] = index.quarantine()
        assert (entry.key, entry.field, entry.attempts) == ("3", "text", 1)
        assert "cancel each other out" in entry.message
        assert not any(state.dirty for state in index.ranges())
        assert {hit.key for hit in index.search("one").hits} == {"1", "2"}
        index.retry_quarantine()
        sync_all(index)
        [entry] = index.quarantine()
        assert entry.attempts == 2
        assert index.due_ranges() == []
    _assert_equal(workbench, AVERAGE)


def test_a_part_that_is_too_long_counts_by_each_of_its_pieces(workbench: Workbench) -> None:
    spec = _embedding(strategy="average", longest_tokens=700)
    _create(workbench, (1, "short", LONG))
    workbench.sync(spec)
    pieces = [LONG[start:end] for _, start, end in _passages(workbench, "1", "%answer")]
    assert len(pieces) == 3
    with workbench.index(spec) as index:
        [hit] = index.search("short").hits
    assert hit.score == pytest.approx(_mean("short", *pieces) @ vectors_of(["short"], 8)[0], abs=1e-6)
    _assert_equal(workbench, spec)


DAMAGED_MEANS = {
    "a part is deleted": ("DELETE FROM faq.passages_1 WHERE key = '1' AND field = '%%question'", "passages"),
    "a part's vector is deleted": ("DELETE FROM faq.vectors_1 WHERE content_hash = sha256('one')", "vectors"),
    "the mean is deleted": ("DELETE FROM faq.vectors_1 WHERE field = 'text'", "vectors"),
    "the mean is zeroed": (
        "UPDATE faq.vectors_1 SET embedding = '[0,0,0,0,0,0,0,0]' WHERE field = 'text'",
        "dishonest",
    ),
}


@pytest.mark.parametrize(("damage", "kind"), DAMAGED_MEANS.values(), ids=DAMAGED_MEANS.keys())
def test_damage_to_means_is_named_and_mended(workbench: Workbench, damage: str, kind: str) -> None:
    _create(workbench, (1, "one", "two"))
    workbench.sync(AVERAGE)
    workbench.postgres(damage + " AND %s", [True])
    with workbench.index(AVERAGE) as index:
        [difference] = index.verify(mark_dirty=True).differences
        assert getattr(difference, kind) == ("1",)
    workbench.sync(AVERAGE)
    _assert_equal(workbench, AVERAGE)


# Prefixes


def test_prefixes_are_sent_and_are_no_part_of_a_text(workbench: Workbench, provider: MisbehavingProvider) -> None:
    spec = question_only(embedding={"query_prefix": "query: ", "document_prefix": "passage: "})
    _create(workbench, (1, "one", None), (2, "two", None))
    workbench.sync(spec)
    assert provider.times_sent("passage: one") == provider.times_sent("passage: two") == 1
    with workbench.index(spec) as index:
        index.search("passage: one")
        assert provider.times_sent("query: passage: one") == 1
        [hit] = index.search("anything", limit=1).hits
    assert hit.texts["question"] in {"one", "two"}
    assert workbench.postgres("SELECT count(*) FROM faq.passages_1 WHERE content_hash = sha256('one')") == [(1,)]
    _assert_equal(workbench, spec)


def test_a_query_gets_the_prefix_of_the_vectors_that_it_searches(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _create(workbench, (1, "one", None))
    workbench.sync(question_only(embedding={"query_prefix": "query: "}))
    with workbench.index(question_only(embedding={"query_prefix": "another: "})) as index:
        index.search("one")
    assert provider.times_sent("query: one") == 1


# Rules


def test_rules_make_the_text_that_is_embedded_and_hits_show_the_original(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = question_only(embedding={"normalise": ["collapse_whitespace", "strip_html", "nfc"]})
    original = "<p>Where is the  cafe&#x301;?</p>"
    _create(workbench, (1, original, None), (2, "<br>", None))
    workbench.sync(spec)
    assert provider.times_sent("Where is the café?") == 1
    assert workbench.postgres("SELECT key FROM faq.passages_1") == [("1",)]
    with workbench.index(spec) as index:
        [hit] = index.search("Where is the café?", limit=1).hits
    assert hit.score == pytest.approx(1)
    assert hit.texts["question"] == original
    _assert_equal(workbench, spec)


# Long texts


def _passages(workbench: Workbench, key: str, field: str) -> list[tuple[int, int | None, int | None]]:
    return workbench.postgres(
        "SELECT ordinal, char_start, char_end FROM faq.passages_1 WHERE key = %s AND field = %s ORDER BY ordinal",
        [key, field],
    )


def test_a_long_text_is_split_into_passages_that_know_their_place(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = _embedding(split={"tokens": 60, "overlap": 15})
    _create(workbench, (1, "short", LONG))
    workbench.sync(spec)
    assert _passages(workbench, "1", "question") == [(0, None, None)]
    passages = _passages(workbench, "1", "answer")
    assert len(passages) > 10
    for _, start, end in passages:
        assert provider.times_sent(LONG[start:end]) == 1
    _assert_equal(workbench, spec)


def test_only_the_passages_that_a_change_touches_are_paid_for(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    spec = _embedding(split={"tokens": 60})
    _create(workbench, (1, "short", f"A first paragraph.\n\n{LONG}"))
    workbench.sync(spec)
    provider.reset()
    workbench.mysql("UPDATE faq SET answer = %s", [(f"Another paragraph is the first one now.\n\n{LONG}",)])
    workbench.sync(spec)
    assert 1 <= provider.stats()["texts"] <= 3
    _assert_equal(workbench, spec)


@pytest.mark.parametrize("damage", ["char_start = char_start + 1", "char_end = NULL, char_start = NULL"])
def test_a_passage_with_another_place_is_a_difference_and_mended(workbench: Workbench, damage: str) -> None:
    spec = _embedding(split={"tokens": 60})
    _create(workbench, (1, "short", LONG), (2, "short", LONG))
    workbench.sync(spec)
    before = _passages(workbench, "2", "answer")
    workbench.postgres(f"UPDATE faq.passages_1 SET {damage} WHERE key = '2' AND field = 'answer' AND ordinal = 3")
    with workbench.index(spec) as index:
        [difference] = index.verify(mark_dirty=True).differences
    assert difference.passages == ("2",)
    workbench.sync(spec)
    assert _passages(workbench, "2", "answer") == before
    _assert_equal(workbench, spec)


@pytest.mark.parametrize(("too_long", "passages"), [("split", 3), ("cut", 1)])
def test_a_text_that_is_longer_than_the_model_takes_is_split_or_cut_as_declared(
    workbench: Workbench, provider: MisbehavingProvider, too_long: str, passages: int
) -> None:
    spec = _embedding(longest_tokens=700, too_long=too_long)
    _create(workbench, (1, "short", LONG))
    workbench.sync(spec)
    found = _passages(workbench, "1", "answer")
    assert len(found) == passages
    for _, start, end in found:
        assert provider.times_sent(LONG[start:end]) == 1
    _assert_equal(workbench, spec)


@pytest.mark.parametrize("limit", ["tokens_per_text", "tokens_per_request"])
def test_a_text_that_is_longer_than_the_provider_is_declared_to_take_is_split(
    workbench: Workbench, provider: MisbehavingProvider, limit: str
) -> None:
    spec = _embedding(provider={"type": "openai", limit: 700})
    _create(workbench, (1, "short", LONG))
    workbench.sync(spec)
    assert len(_passages(workbench, "1", "answer")) == 3
    assert provider.times_sent(LONG) == 0
    _assert_equal(workbench, spec)


def test_a_long_document_is_found_by_a_passage_in_its_middle(workbench: Workbench) -> None:
    spec = _embedding(split={"tokens": 60, "overlap": 15})
    _create(workbench, (1, "short", LONG), (2, "another", "an answer"))
    workbench.sync(spec)
    _, start, end = _passages(workbench, "1", "answer")[5]
    with workbench.index(spec) as index:
        [hit] = index.search(LONG[start:end], limit=1).hits
        [whole] = index.search("an answer", limit=1).hits
    assert (hit.key, hit.field, hit.score) == ("1", "answer", pytest.approx(1))
    assert hit.passage == FoundPassage(LONG[start:end], start, end, len(LONG))
    assert hit.texts["answer"] == LONG
    assert whole.passage == FoundPassage("an answer", 0, 9, 9)


REPEATED = "The same paragraph stands here again and again, each time with these very words and no others. " * 2


@pytest.mark.parametrize("dimensions", [8, 2048, 4096])
@pytest.mark.parametrize("ann_from_vectors", [1, 100_000], ids=["along the ANN index", "exactly"])
def test_a_document_with_many_passages_leaves_its_place_to_others(
    mysql_database: SourceSettings, pg_database: TargetSettings, dimensions: int, ann_from_vectors: int
) -> None:
    spec = question_only(
        embedding={"split": {"tokens": 60}}, search={"threshold": -1.0, "ann_from_vectors": ann_from_vectors}
    )
    with MisbehavingProvider(dimensions=dimensions) as provider:
        workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        many = "\n\n".join([REPEATED.strip()] * 90)
        _create(workbench, (1, many, None), *((i, f"question number {i}?", None) for i in range(2, 40)))
        workbench.sync(spec)
        with workbench.index(spec) as index:
            index.refresh_search_index()
            assert len(_passages(workbench, "1", "question")) == 90
            hits = index.search(REPEATED.strip(), limit=10).hits
            assert len(index.search(REPEATED.strip(), limit=100).hits) == 39
    assert hits[0].key == "1"
    assert hits[0].score == pytest.approx(1)
    assert len({hit.key for hit in hits}) == 10
    by_function = workbench.postgres(
        "SELECT id, score FROM faq.nearest((SELECT question_embedding FROM faq WHERE id = 1), 10, 'question')"
    )
    assert [key for key, _ in by_function] == [hit.key for hit in hits]
    assert [score for _, score in by_function] == pytest.approx([hit.score for hit in hits], abs=1e-6)


@pytest.mark.long
def test_a_document_with_more_passages_than_one_scan_walks_leaves_its_place_to_others(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    spec = question_only(search={"threshold": -1.0, "ann_from_vectors": 1})
    with MisbehavingProvider(dimensions=8) as provider:
        workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        _create(workbench, *((i, f"question number {i}?", None) for i in range(1, 31)))
        workbench.sync(spec)
        workbench.postgres(
            """
            WITH another AS (
                SELECT i, decode(lpad(to_hex(i), 64, '0'), 'hex') AS content_hash
                FROM generate_series(1, 25000) i),
            passage AS (
                INSERT INTO faq.passages_1 (key, field, ordinal, content_hash, served_hash, char_start, char_end)
                SELECT '1', 'question', i, content_hash, content_hash, 0, 1 FROM another)
            INSERT INTO faq.vectors_1 (content_hash, field, embedding)
            SELECT a.content_hash, 'question',
                   v.embedding + ARRAY(SELECT 0.02 * sin(a.i * (j + 1)) FROM generate_series(1, 8) j)::real[]::vector
            FROM another a
            JOIN faq.passages_1 p ON p.key = '1' AND p.field = 'question' AND p.ordinal = 0
            JOIN faq.vectors_1 v ON v.content_hash = p.content_hash
            RETURNING 1
            """
        )
        with workbench.index(spec) as index:
            index.refresh_search_index()
            hits = index.search("question number 1?", limit=10).hits
    assert len({hit.key for hit in hits}) == 10
    by_function = workbench.postgres(
        "SELECT id FROM faq.nearest((SELECT question_embedding FROM faq WHERE id = 1), 10, 'question')"
    )
    assert [key for (key,) in by_function] == [hit.key for hit in hits]


def test_a_passage_of_an_earlier_text_is_not_told(workbench: Workbench) -> None:
    spec = question_only()
    _create(workbench, (1, "one", None))
    workbench.sync(spec)
    workbench.mysql("UPDATE faq SET question = 'poison'")
    workbench.sync(spec)
    with workbench.index(spec) as index:
        [hit] = index.search("one").hits
    assert (hit.vector_behind, hit.passage) == (True, None)


# Fingerprints


def test_an_index_that_was_built_before_there_were_such_settings_stays_what_it_is(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    _create(workbench, (1, "one", "x" * 20_000))
    workbench.sync()
    fingerprint, rendering = workbench.postgres("SELECT fingerprint, rendering FROM vector_pipeline.generations")[0]
    assert fingerprint == (
        '{"model": "numbers", "dimensions": null, "padded to": null, "primary_key": "id", "strategy": "separate", '
        '"texts": [["question", "question"], ["answer", "answer"]]}'
    )
    assert {name: rendering[name] for name in ("strategy", "names")} == {
        "strategy": "separate",
        "names": ["question", "answer"],
    }
    workbench.postgres("""UPDATE vector_pipeline.generations SET rendering = rendering - 'splitting'""")
    workbench.postgres("DELETE FROM faq.documents")
    with workbench.index() as index:
        index.verify(mark_dirty=True)
    workbench.sync()
    assert _passages(workbench, "1", "answer") == [(0, None, None)]
    assert provider.times_sent("x" * 20_000) == 1
    _assert_equal(workbench, faq_spec())


@pytest.mark.parametrize(
    ("embedding", "fact"),
    [
        ({"template": "{{ question }}"}, "template"),
        ({"normalise": ["nfc"]}, "normalise"),
        ({"query_prefix": "query: "}, "query prefix"),
        ({"document_prefix": "passage: "}, "document prefix"),
        ({"split": {"tokens": 60}}, "split"),
        ({"too_long": "cut"}, "too long"),
        ({"longest_tokens": 100}, "longest tokens"),
        ({"provider": {"type": "openai", "tokens_per_text": 100}}, "provider's longest tokens"),
    ],
)
def test_a_setting_that_makes_other_texts_or_vectors_makes_another_generation(
    workbench: Workbench, embedding: dict[str, Any], fact: str
) -> None:
    _create(workbench, (1, "one", "two"))
    workbench.sync()
    with workbench.index(_embedding(**embedding)) as index:
        sync_all(index)
        assert index.build_next_generation().switched
        assert index.verify().equal
    fingerprints = workbench.postgres(
        "SELECT fingerprint::jsonb ? %s FROM vector_pipeline.generations ORDER BY generation", [fact]
    )
    assert fingerprints == [(False,), (True,)]
