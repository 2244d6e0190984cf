"""Documents like one that is there, by the vectors that it has."""

from __future__ import annotations

import numpy as np
import pytest

from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline_tests.misbehaving_answers import vectors_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.workbench import Workbench, faq_spec, question_only

SIGNS = {"text": {"question": "question"}}


def test_documents_like_another_are_those_nearest_to_its_own_vector(
    workbench: Workbench, provider: MisbehavingProvider
) -> None:
    workbench.create_faq(40)
    workbench.sync(question_only())
    vectors = vectors_of([f"question number {i}?" for i in range(1, 41)], 8).astype(np.float64)
    cosines = vectors @ vectors[6]
    order = [i for i in np.argsort(-cosines) if i != 6][:10]
    asked = provider.requests
    with workbench.index(question_only()) as index:
        answer = index.similar("7", limit=10)
    assert [hit.key for hit in answer.hits] == [str(i + 1) for i in order]
    assert [hit.score for hit in answer.hits] == pytest.approx(list(cosines[order]), abs=1e-6)
    assert [hit.vector_rank for hit in answer.hits] == list(range(1, 11))
    assert (answer.like, answer.query) == ("7", "")
    assert provider.requests == asked


def test_each_field_is_compared_with_the_others_of_its_kind(workbench: Workbench) -> None:
    workbench.create_faq(40)
    workbench.mysql("UPDATE faq SET answer = 'the answer to number 3' WHERE id = 9")
    workbench.mysql("UPDATE faq SET question = 'question number 3?' WHERE id = 12")
    workbench.sync()
    with workbench.index() as index:
        by_best = index.similar("3", limit=2).hits
        by_answer = index.similar("3", field="answer", limit=1).hits
        by_weights = index.similar("3", field={"question": 0.9, "answer": 0.1}, limit=1).hits
    assert {hit.key for hit in by_best} == {"9", "12"}
    assert [(hit.key, hit.score) for hit in by_answer] == [("9", pytest.approx(1))]
    assert [hit.key for hit in by_weights] == ["12"]


def test_a_document_with_the_same_texts_is_similar(workbench: Workbench) -> None:
    workbench.create_faq(20)
    workbench.mysql("UPDATE faq SET question = 'question number 3?' WHERE id = 17")
    workbench.sync(question_only())
    with workbench.index(question_only()) as index:
        [twin, *others] = index.similar("3", limit=19).hits
    assert (twin.key, twin.score) == ("17", pytest.approx(1))
    assert len(others) == 18


def test_a_document_of_several_passages_is_compared_by_their_mean(workbench: Workbench) -> None:
    spec = question_only(embedding={"split": {"tokens": 16}})
    workbench.create_faq(20)
    long = " ".join(f"Sentence number {i} of a long text about nothing." for i in range(30))
    workbench.mysql("UPDATE faq SET question = %s WHERE id IN (3, 5)", [[long]])
    workbench.sync(spec)
    assert workbench.postgres("SELECT count(*) > 5 FROM faq.passages_1 WHERE key = '3'") == [(True,)]
    with workbench.index(spec) as index:
        hits = index.similar("3", limit=18).hits
    [(nearest,)] = workbench.postgres(
        """
        SELECT 1 - min(v.embedding <=> (
            SELECT avg(l2_normalize(m.embedding)) FROM faq.passages_1 o
            JOIN faq.vectors_1 m ON m.content_hash = o.served_hash WHERE o.key = '3'))
        FROM faq.passages_1 p JOIN faq.vectors_1 v ON v.content_hash = p.served_hash WHERE p.key = '5'
        """
    )
    assert len(hits) == 18
    assert "3" not in {hit.key for hit in hits}
    assert {hit.key: hit.score for hit in hits}["5"] == pytest.approx(nearest)


def test_a_document_that_is_not_there_is_an_error_that_names_it(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.sync()
    with workbench.index() as index, pytest.raises(SearchRequestError, match="no document with the key '99'"):
        index.similar("99")


def test_a_document_without_a_vector_is_an_error_that_says_so(workbench: Workbench) -> None:
    workbench.create_faq(3)
    workbench.mysql("UPDATE faq SET answer = NULL WHERE id = 2")
    workbench.sync()
    with workbench.index() as index:
        with pytest.raises(SearchRequestError, match="document '2' of index 'faq' has no vector by answer"):
            index.similar("2", field="answer")
        assert len(index.similar("2").hits) == 2


@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_the_threshold_and_the_storage_hold_as_for_a_query(workbench: Workbench, storage: str) -> None:
    spec = faq_spec(document=SIGNS, embedding={"storage": storage})
    workbench.create_faq(20)
    workbench.sync(spec)
    with workbench.index(spec) as index:
        everything = index.similar("3", limit=100).hits
        above = index.similar("3", limit=100, threshold=everything[4].score).hits
    assert len(everything) == 19
    assert above == everything[:4]
