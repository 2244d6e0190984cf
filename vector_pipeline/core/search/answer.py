"""What a search answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vector_pipeline.core.spec import SearchMode

MetadataValue = str | int | float | bool | None


@dataclass(frozen=True)
class FoundPassage:
    """The text by whose vector a document was found, as it was embedded: without mark-up, say, or put together.

    It is the part of its field's text from `start` up to but without `end`, in characters; `length` is that of the
    whole.
    """

    text: str
    start: int
    end: int
    length: int

    @property
    def is_a_part(self) -> bool:
        return self.end - self.start < self.length


@dataclass(frozen=True)
class Snippet:
    """The part of a text in which most of the query's words are.

    Attributes:
        field: the served text.
        text: the part as it is; parts that lie apart are joined by an ellipsis.
        html: the same for a page: escaped, with the words in `<mark>` elements.
    """

    field: str
    text: str
    html: str


@dataclass(frozen=True)
class Hit:
    """One found document.

    Attributes:
        score: what the hits of the answer are ordered by. By vectors it is `vector_score`, by words `text_score`, by
            both the share of the points that the first in both would have; where a reranker has ordered them, its
            relevance.
        field: that of the best passage; the best text, where words alone have found the document.
        vector_behind: the vector is of an earlier text than the one shown, because the new one has no vector yet, or
            never had any.
        without_vector: one of its texts has no vector, not even of an earlier text; told of documents that words alone
            have found.
        passage: the best one; None where the vector is behind, is a mean of several, or has not found the document.
        vector_score: 1 − cosine distance of the best passage, None where the document was not found by its vectors. By
            weighted fields it is the weighted mean of `field_scores`.
        vector_rank: its place by that, from 1.
        text_score: the share of the query's words, rare ones counting more, that the document has, 0 to 1; None where
            it was not found by words.
        text_rank: its place by that, from 1.
        snippet: where the words are, None where words were not looked for, or none is there.
        field_scores: in a search by weighted fields, 1 − cosine distance by each of those that the document has.
    """

    key: str
    score: float
    field: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, MetadataValue]
    vector_behind: bool
    passage: FoundPassage | None = None
    vector_score: float | None = None
    vector_rank: int | None = None
    text_score: float | None = None
    text_rank: int | None = None
    snippet: Snippet | None = None
    field_scores: Mapping[str, float] | None = None
    without_vector: bool = False


@dataclass(frozen=True)
class SearchAnswer:
    """The hits of a query, best first.

    Attributes:
        threshold: what is found by vectors scores strictly above it.
        complete: false where the time was over before all of them were surely found.
        mode: by what was searched.
        reranked: a reranker has ordered the hits.
        filtered: only documents that pass a filter were looked for.
        notes: what whoever reads the answer should know of it, such as that the reranker was down.
        scale: scores by vectors can be compared between answers with the same scale.
        like: the key of the document that others like it were looked for, instead of a query.
        seconds_embedding, seconds_reranking: those of `seconds` that the query's vector and the reranker took.
        generation: the one that was searched.
    """

    index: str
    query: str
    hits: tuple[Hit, ...]
    limit: int
    threshold: float
    seconds: float
    complete: bool = True
    mode: SearchMode = "vector"
    reranked: bool = False
    notes: tuple[str, ...] = ()
    scale: str = ""
    like: str | None = None
    filtered: bool = False
    seconds_embedding: float = 0.0
    seconds_reranking: float = 0.0
    generation: int | None = None
