"""The nearest documents by one field or several: each by its best one, or by the weighted mean of those that it has.

The mean is exact for every document that is among the nearest by one of the fields; these are looked for deeper until
no other document can have a better mean, or so deep that hardly one has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from psycopg import sql

from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.search.nearest import Aim, FieldSearch, Neighbours
from vector_pipeline.core.search.statement import distance
from vector_pipeline.core.search.time_limit import OutOfTimeError
from vector_pipeline.core.store.registry import RegisteredIndex

_FEWEST_CANDIDATES = 50
_CANDIDATES_FOR_EACH = 4
_DEEPER = 4
_DEEPEST = 800


def by_best_field(search: FieldSearch, aims: Sequence[Aim]) -> Neighbours:
    """The best documents, as many as each aim wants at most, best first."""
    found = [search.by_field(aim) for aim in aims]
    if len(found) == 1:
        return replace(found[0], hits=found[0].hits[: aims[0].limit])
    best = _best_hits(hit for neighbours in found for hit in neighbours.hits)
    hits = sorted(best.values(), key=lambda hit: -hit.score)
    return _ranked(hits[: aims[0].limit], complete=all(neighbours.complete for neighbours in found))


def by_weighted_mean(
    search: FieldSearch, index: RegisteredIndex, aims: Sequence[Aim], weights: Mapping[str, float]
) -> Neighbours:
    """The documents with the best weighted means of their fields' scores, above the threshold, best first.

    A field that a document hasn't got doesn't count for it, nor against it. A hit is shown by its best field.
    """
    limit, threshold = aims[0].limit, aims[0].threshold
    depth = max(_FEWEST_CANDIDATES, _CANDIDATES_FOR_EACH * limit)
    scores: dict[str, dict[str, float]] = {}
    hits: list[Hit] = []
    try:
        while True:
            # A mean is above the threshold only if the score by one of the fields is.
            found = {aim.field: search.by_field(replace(aim, limit=depth)) for aim in aims}
            shown = _best_hits(hit for neighbours in found.values() for hit in neighbours.hits)
            _add_scores(search, index, aims, [key for key in shown if key not in scores], scores)
            means = {key: _mean(scores[key], weights) for key in shown if key in scores}
            hits = [
                replace(shown[key], score=mean, vector_score=mean, field_scores=scores[key])
                for key, mean in sorted(means.items(), key=lambda item: -item[1])
                if mean > threshold
            ]
            complete = all(neighbours.complete for neighbours in found.values())
            deeper = [aim.field for aim in aims if len(found[aim.field].hits) >= depth]
            frontier = {
                field: neighbours.hits[-1].score if field in deeper else threshold
                for field, neighbours in found.items()
            }
            # A document that has but one of the fields has the score by that as its mean.
            enough = len(hits) >= limit and (depth >= _DEEPEST or hits[limit - 1].score >= max(frontier.values()))
            if enough or not deeper or not complete:
                return _ranked(hits[:limit], complete=complete)
            depth *= _DEEPER
    except OutOfTimeError:
        return _ranked(hits[:limit], complete=False)


def _ranked(hits: Sequence[Hit], *, complete: bool) -> Neighbours:
    return Neighbours(tuple(replace(hit, vector_rank=rank) for rank, hit in enumerate(hits, start=1)), complete)


def _best_hits(hits: Iterable[Hit]) -> dict[str, Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        if hit.key not in best or hit.score > best[hit.key].score:
            best[hit.key] = hit
    return best


def _mean(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights[field] * score for field, score in scores.items()) / sum(weights[field] for field in scores)


def _add_scores(
    search: FieldSearch,
    index: RegisteredIndex,
    aims: Sequence[Aim],
    keys: Sequence[str],
    scores: dict[str, dict[str, float]],
) -> None:
    """Adds the exact score of each of these documents by each field that it has."""
    if not keys:
        return
    for aim in aims:
        rows = search.read(
            sql.SQL(_SCORES).format(
                distance=distance(index),
                passages=sql.Identifier(index.schema, index.passages),
                vectors=sql.Identifier(index.schema, index.vectors),
            ),
            {"vector": aim.vector, "keys": list(keys), "field": aim.field},
            None,
            len(keys),
        )
        for key, nearest in rows:
            scores.setdefault(key, {})[aim.field] = 1.0 - nearest


_SCORES = """
    SELECT p.key, min({distance})
    FROM {passages} p
    JOIN {vectors} v ON v.content_hash = p.served_hash AND v.field = p.field
    WHERE p.key = ANY(%(keys)s) AND p.field = %(field)s
    GROUP BY p.key
"""
