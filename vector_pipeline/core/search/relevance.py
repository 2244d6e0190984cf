"""How good a ranking is, given which documents are relevant: pure functions over keys, and their means over queries.

A ranking is the keys that were found, best first; the grades say how relevant each judged key is, and a key without a
grade counts as irrelevant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean

Grades = Mapping[str, float]
"""By key; above zero is relevant, and more is better."""

DEPTH = 10
"""So many found documents of a query are looked at."""


def recall_at(found: Sequence[str], grades: Grades, depth: int) -> float:
    """The share of the relevant documents that are among the first `depth` (Manning, Raghavan, Schütze: Introduction to
    Information Retrieval, 2008, 8.4). With one relevant document it is 1 or 0; with three, recall@1 is 1/3 at best."""
    relevant = _relevant(grades)
    return len(relevant & set(found[:depth])) / len(relevant)


def reciprocal_rank(found: Sequence[str], grades: Grades, depth: int = DEPTH) -> float:
    """1 / rank of the first relevant document, 0 if none is among the first `depth`; its mean is the MRR (Voorhees: The
    TREC-8 Question Answering Track Report, 1999)."""
    relevant = _relevant(grades)
    return next((1 / rank for rank, key in enumerate(found[:depth], start=1) if key in relevant), 0.0)


def ndcg_at(found: Sequence[str], grades: Grades, depth: int = DEPTH) -> float:
    """Discounted cumulative gain over the best possible one: each grade ÷ log2(1 + rank), summed up (Järvelin,
    Kekäläinen: Cumulated gain-based evaluation of IR techniques, 2002; with grades as gains and this discount, as
    trec_eval's `ndcg_cut` has it)."""
    gained = _discounted([max(0.0, grades.get(key, 0.0)) for key in found[:depth]])
    possible = _discounted(sorted((max(0.0, grade) for grade in grades.values()), reverse=True)[:depth])
    return gained / possible


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(1 + rank) for rank, gain in enumerate(gains, start=1))


def _relevant(grades: Grades) -> set[str]:
    return {key for key, grade in grades.items() if grade > 0}


@dataclass(frozen=True)
class Relevance:
    """The measures of one ranking, or their means over several; each from 0 to 1."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    ndcg_at_10: float

    def items(self) -> list[tuple[str, float]]:
        """Each measure by its name."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


def judge(found: Sequence[str], grades: Grades) -> Relevance:
    """Judges one ranking; at least one of the grades must be above zero."""
    return Relevance(
        recall_at_1=recall_at(found, grades, 1),
        recall_at_5=recall_at(found, grades, 5),
        recall_at_10=recall_at(found, grades, 10),
        mrr=reciprocal_rank(found, grades),
        ndcg_at_10=ndcg_at(found, grades),
    )


def mean(judged: Sequence[Relevance]) -> Relevance:
    """The mean of each measure, every query counting the same."""
    return Relevance(**{field.name: fmean(getattr(one, field.name) for one in judged) for field in fields(Relevance)})
