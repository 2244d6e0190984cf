"""Searching by words, or by words and vectors together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import psycopg

from vector_pipeline.core.errors import ProviderUnavailableError
from vector_pipeline.core.search import text
from vector_pipeline.core.search.answer import Hit
from vector_pipeline.core.search.fusion import Ranking, fuse
from vector_pipeline.core.search.nearest import Neighbours
from vector_pipeline.core.search.request import SearchRequestError
from vector_pipeline.core.search.reranking import rerank
from vector_pipeline.core.search.statement import EVERYTHING, Restriction
from vector_pipeline.core.search.text import Match, Matches, Words
from vector_pipeline.core.search.text_hits import load_hits, with_snippets
from vector_pipeline.core.search.time_limit import OutOfTimeError, TimeLimit
from vector_pipeline.core.spec import HybridSpec, RerankSpec, TextSearchSpec
from vector_pipeline.core.store.registry import RegisteredIndex

# So many of each ranking are fused: a document that is far behind in both is no hit anyway.
_FEWEST_CANDIDATES = 50
_CANDIDATES_FOR_EACH = 4

# What was found is worth this much more time where none is left: reading documents by their keys takes milliseconds.
_SECONDS_TO_LOAD = 0.5

NO_WORDS = "the query has no word to search for: those that it has are too common, or are to be left out"
WORDS_ALONE = "found by words alone"
"""Followed by the provider's error."""
NOT_MARKED = "no snippets: the time of the search was over before the words were marked in the texts"
NOT_LOADED = "documents that have the words are left out: the time of the search was over before they were read"


@dataclass(frozen=True)
class Found:
    """What was found, best first, and what is to be said of it."""

    hits: tuple[Hit, ...]
    complete: bool
    notes: tuple[str, ...] = ()
    reranked: bool = False


class WordSearch:
    """The words of one query, looked for in one index.

    Args:
        connection: in autocommit mode, outside of a transaction.
        fields: those whose texts have to have the words.
        unique_on: the column of a text; of documents with the same value only the one with the lowest key is served.
        seconds: the longest that looking for documents, and for the words in them, may take.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        index: RegisteredIndex,
        declared: TextSearchSpec,
        query: str,
        fields: Sequence[str],
        unique_on: str | None = None,
        restriction: Restriction = EVERYTHING,
        seconds: float = 10.0,
    ) -> None:
        self._connection = connection
        self._index = index
        self._declared = declared
        self._query = query
        self._fields = fields
        self._unique_on = unique_on
        self._restriction = restriction
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        """Has the time count from now: what a provider took before is no time of PostgreSQL's."""
        self._time_limit = TimeLimit.within(self._seconds)

    @cached_property
    def words(self) -> Words:
        """The query's words.

        Raises:
            SearchRequestError: the server hasn't got a declared configuration, or the query has more than is searched
                for.
        """
        try:
            return text.read_words(self._connection, self._declared, self._query)
        except psycopg.errors.UndefinedObject as error:
            raise SearchRequestError(
                f"index {self._index.name!r} can't be searched by words: {error.diag.message_primary}; correct "
                "search.text"
            ) from None

    def matches(self, limit: int) -> Matches:
        """The documents that have most of the words."""
        return text.matching(
            self._connection,
            self._index,
            self._declared,
            self.words,
            self._fields,
            limit,
            self._unique_on,
            self._restriction,
            self._time_limit,
        )

    def hits(self, matches: Sequence[Match]) -> tuple[list[Hit], tuple[str, ...]]:
        """These documents; none, with a note, where they can't be read in time."""
        if not matches:
            return [], ()
        time_limit = self._time_limit.at_least(_SECONDS_TO_LOAD)
        try:
            return load_hits(self._connection, self._index, matches, self._fields, time_limit), ()
        except OutOfTimeError:
            return [], (NOT_LOADED,)

    def marked(self, hits: Sequence[Hit]) -> tuple[Sequence[Hit], tuple[str, ...]]:
        """The hits with their snippets; as they were, with a note, where the time is over before."""
        columns = text.columns_of(self._index, self._fields)
        try:
            return with_snippets(
                self._connection, self._index, self._declared, self.words, hits, columns, self._time_limit
            ), ()
        except OutOfTimeError:
            return hits, (NOT_MARKED,)


def candidates_for(limit: int) -> int:
    """How many of each ranking to fuse for so many hits."""
    return max(_FEWEST_CANDIDATES, _CANDIDATES_FOR_EACH * limit)


def by_words(search: WordSearch, limit: int) -> Found:
    """The documents that have most of the words."""
    matches = search.matches(limit)
    loaded, unread = search.hits(matches.found)
    hits, unmarked = search.marked(loaded)
    return Found(tuple(hits), matches.complete and not unread, _without_words(search) + unread + unmarked)


def by_both(search: WordSearch, near: Callable[[], Neighbours], limit: int, weights: HybridSpec) -> Found:
    """The best by words and vectors; by words alone, with a note, where the provider is down.

    Args:
        near: finds `candidates_for(limit)` documents by vectors; lets the search by words begin once it has the query's
            vector.
    """
    notes = _without_words(search)
    try:
        neighbours = near()
    except ProviderUnavailableError as error:
        search.begin()
        neighbours = Neighbours((), complete=False)
        notes += (f"{WORDS_ALONE}: {error}",)
    matches = search.matches(candidates_for(limit))
    scores = fuse(
        [
            Ranking([hit.key for hit in neighbours.hits], weights.vector),
            Ranking([match.key for match in matches.found], weights.text),
        ]
    )
    best = dict(list(scores.items())[:limit])
    by_vectors = {hit.key: hit for hit in neighbours.hits}
    by_word = {match.key: match for match in matches.found}
    loaded, unread = search.hits(
        [match for match in matches.found if match.key in best and match.key not in by_vectors]
    )
    hits = {hit.key: hit for hit in loaded} | by_vectors
    merged = [_merged(hits[key], by_word.get(key), score) for key, score in best.items() if key in hits]
    marked, unmarked = search.marked(merged)
    complete = neighbours.complete and matches.complete and not unread
    return Found(tuple(marked), complete, notes + unread + unmarked)


def reranked(found: Found, declared: RerankSpec, query: str, limit: int) -> Found:
    """The best of what was found by the reranker's judgement; as they were, with a note, where it gave none."""
    judged = rerank(declared, query, found.hits)
    notes = found.notes if judged.note is None else (*found.notes, judged.note)
    return replace(found, hits=judged.hits[:limit], notes=notes, reranked=judged.note is None)


def _merged(hit: Hit, match: Match | None, score: float) -> Hit:
    if match is None:
        return replace(hit, score=score)
    return replace(hit, score=score, text_score=match.score, text_rank=match.rank)


def _without_words(search: WordSearch) -> tuple[str, ...]:
    return () if search.words.terms else (NO_WORDS,)
