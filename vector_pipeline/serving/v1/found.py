"""Answers of the core in the words of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vector_pipeline.core import search as core
from vector_pipeline.core.search.answer import SearchAnswer
from vector_pipeline.core.search.many import ManyAnswer
from vector_pipeline.core.search.request import SearchRequest
from vector_pipeline.serving.notes import told_note, told_note_of_one
from vector_pipeline.serving.v1 import search_models as models


def of_one(answer: SearchAnswer, statements: Mapping[str, Sequence[str]] | None = None) -> models.SearchAnswer:
    """What one index has answered."""
    return models.SearchAnswer(
        query=answer.query,
        index=answer.index,
        indexes=[answer.index],
        hits=[_hit(answer.index, hit.score, hit) for hit in answer.hits],
        total=len(answer.hits),
        mode=answer.mode,
        limit=answer.limit,
        threshold=answer.threshold,
        generation=answer.generation,
        complete=answer.complete,
        reranked=answer.reranked,
        filtered=answer.filtered,
        merged_by=None,
        notes=[told_note(note) for note in answer.notes],
        failures=[],
        seconds=answer.seconds,
        timings=[_timings(answer)],
        explanation=_explanation(statements),
    )


def of_many(
    answer: ManyAnswer,
    request: SearchRequest,
    answers: Sequence[SearchAnswer],
    statements: Mapping[str, Sequence[str]] | None = None,
) -> models.SearchAnswer:
    """What several indexes have answered.

    Args:
        answers: of each of them.
    """
    return models.SearchAnswer(
        query=answer.query,
        index=None,
        indexes=list(answer.answered),
        hits=[_hit(found.index, found.merged_score, found.hit) for found in answer.hits],
        total=len(answer.hits),
        mode=None,
        limit=request.limit,
        threshold=request.threshold,
        generation=None,
        complete=answer.complete,
        reranked=any(one.reranked for one in answers),
        filtered=answer.filtered,
        merged_by=answer.merged_by,
        notes=[told_note_of_one(note) for note in answer.notes],
        failures=[models.Failure.model_validate(failure) for failure in answer.failures],
        seconds=answer.seconds,
        timings=[_timings(one) for one in answers],
        explanation=_explanation(statements),
    )


def _timings(answer: SearchAnswer) -> models.Timings:
    embedding, reranking = answer.seconds_embedding, answer.seconds_reranking
    return models.Timings(
        index=answer.index,
        seconds=answer.seconds,
        embedding=embedding,
        reranking=reranking,
        database=max(0.0, answer.seconds - embedding - reranking),
    )


def _hit(index: str, merged_score: float, hit: core.Hit) -> models.Hit:
    return models.Hit(
        key=hit.key,
        index=index,
        score=hit.score,
        merged_score=merged_score,
        vector_score=hit.vector_score,
        vector_rank=hit.vector_rank,
        text_score=hit.text_score,
        text_rank=hit.text_rank,
        field=hit.field,
        field_scores=hit.field_scores,
        texts=hit.texts,
        metadata=hit.metadata,
        snippet=None if hit.snippet is None else models.Snippet.model_validate(hit.snippet),
        passage=None if hit.passage is None else models.Passage.model_validate(hit.passage),
        vector_behind=hit.vector_behind,
        without_vector=hit.without_vector,
    )


def _explanation(statements: Mapping[str, Sequence[str]] | None) -> list[models.RunStatements] | None:
    if statements is None:
        return None
    return [models.RunStatements(index=index, statements=list(run)) for index, run in statements.items()]
