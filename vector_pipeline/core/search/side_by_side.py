"""Several answers to one query, side by side: which documents are in all of them, and which in one alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vector_pipeline.core.search.answer import Hit, SearchAnswer


@dataclass(frozen=True)
class Place:
    """Where an answer has a document: rank from 1, and score."""

    rank: int
    score: float


@dataclass(frozen=True)
class ComparedDocument:
    """A document and its place in each answer that has it, by the answer's name."""

    hit: Hit
    places: Mapping[str, Place]

    @property
    def best_rank(self) -> int:
        return min(place.rank for place in self.places.values())


@dataclass(frozen=True)
class SideBySide:
    """The documents of all answers, those with the best ranks first; `names` are those of the answers, in order."""

    names: tuple[str, ...]
    documents: tuple[ComparedDocument, ...]

    @property
    def in_all(self) -> int:
        return sum(len(document.places) == len(self.names) for document in self.documents)

    def only_in(self, name: str) -> int:
        return sum(set(document.places) == {name} for document in self.documents)

    def whereabouts(self, document: ComparedDocument) -> str:
        """In which answers it is, in words."""
        there = [name for name in self.names if name in document.places]
        if len(there) == len(self.names):
            return "all"
        return f"only {there[0]}" if len(there) == 1 else ", ".join(there)


def side_by_side(answers: Mapping[str, SearchAnswer]) -> SideBySide:
    """Puts answers to one query beside each other; a document is shown as the first answer that has it shows it."""
    hits: dict[str, Hit] = {}
    places: dict[str, dict[str, Place]] = {}
    for name, answer in answers.items():
        for rank, hit in enumerate(answer.hits, start=1):
            hits.setdefault(hit.key, hit)
            places.setdefault(hit.key, {})[name] = Place(rank, hit.score)
    documents = [ComparedDocument(hit, places[key]) for key, hit in hits.items()]
    documents.sort(key=lambda document: (document.best_rank, -len(document.places)))
    return SideBySide(tuple(answers), tuple(documents))
