"""Weighted reciprocal rank fusion: one ranking of several, by places alone, since their scores can't be compared.

Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
SIGIR 2009. Each ranking gives what it holds weight / (K + place) points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# The paper's 60 is for rankings of a thousand; with it the words' ranking took good places from the vectors' on real
# questions (docs/benchmarks.md). Ten lets the first places count.
K = 10


@dataclass(frozen=True)
class Ranking:
    """Keys, best first, and how much their places count."""

    keys: Sequence[str]
    weight: float


def fuse(rankings: Sequence[Ranking]) -> dict[str, float]:
    """The score of each key that is in any of the rankings, best first; of equal ones the first ranking's comes first.

    A score is the share of the points that the first in all rankings would have: above 0, at most 1.
    """
    points: dict[str, float] = {}
    for ranking in rankings:
        for place, key in enumerate(ranking.keys, start=1):
            points[key] = points.get(key, 0.0) + ranking.weight / (K + place)
    most = sum(ranking.weight for ranking in rankings) / (K + 1)
    return {key: points[key] / most for key in sorted(points, key=lambda key: -points[key])}
