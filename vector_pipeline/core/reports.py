"""What the steps of the pipeline tell of their work: plain numbers for people, plots and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class RangeDocuments:
    """What syncing the documents of one key range did. `digest` is that of exactly the rows read."""

    partition: str
    rows_read: int
    inserted: int
    updated: int
    deleted: int
    passages_written: int
    digest: str
    seconds: float

    @property
    def unchanged(self) -> bool:
        return not (self.inserted or self.updated or self.deleted or self.passages_written)


@dataclass(frozen=True)
class RangeEmbeddings:
    """How one key range stands after embedding: `missing` texts still have neither vector nor quarantine entry."""

    partition: str
    needed: int
    missing: int
    quarantined: int


@dataclass(frozen=True)
class EmbeddingReport:
    """What embedding a set of ranges did. `texts_needed` = reused + embedded + quarantined (distinct texts), and those
    that wait if it was `paused`: then this says why.

    `tokens_estimated` are those of `tokens` that the provider didn't count; `cost` is in USD, None where the price is
    unknown.
    """

    ranges: tuple[RangeEmbeddings, ...]
    texts_needed: int
    texts_reused: int
    texts_embedded: int
    texts_quarantined: int
    requests: int
    tokens: int
    seconds: float
    paused: str | None = None
    tokens_estimated: int = 0
    cost: float | None = None

    @property
    def texts_waiting(self) -> int:
        """Texts that were needed and not got, at least: nothing is read any more once the budget is spent."""
        return self.texts_needed - self.texts_reused - self.texts_embedded - self.texts_quarantined

    @property
    def texts_per_second(self) -> float:
        return self.texts_embedded / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class FieldIndex:
    """How one field is searched: `method` is `exact`, `hnsw vector`, `hnsw halfvec` or `hnsw bit + rerank`."""

    field: str
    vectors: int
    method: str
    index_bytes: int


@dataclass(frozen=True)
class SearchIndexReport:
    """What refreshing the search index did. `vectors_retired` left the search and are kept for a while;
    `vectors_removed` were kept for long enough; `filters` are the metadata that have an index for filters; `warning` is
    about pgvector, with its remedy."""

    fields: tuple[FieldIndex, ...]
    documents: int
    vectors_retired: int
    vectors_removed: int
    view: str
    seconds: float
    warning: str | None = None
    filters: tuple[str, ...] = ()


@dataclass(frozen=True)
class ErasureReport:
    """What an erasure did. `absent` are keys that the index had no row of. `vectors` are all whose text no row has any
    more, those of the rows and others."""

    index: str
    erased: tuple[str, ...]
    absent: tuple[str, ...]
    passages: int
    vectors: int
    quarantined: int
    seconds: float


@dataclass(frozen=True)
class RangeState:
    """One key range as the target knows it. Digests read `rows:hex`, None where there is none yet."""

    range_id: int
    partition: str
    lower: str | None
    upper: str | None
    rows: int
    source_rows: int | None
    source_digest: str | None
    source_checked_at: datetime | None
    synced_digest: str | None
    vectors_complete: bool
    reported_digest: str | None
    attempts: int
    next_attempt_at: datetime | None
    synced_at: datetime | None
    dirty_since: datetime | None

    @property
    def built(self) -> bool:
        """Whether all rows that the target has read of it have their texts and vectors."""
        return self.synced_digest is not None and self.vectors_complete

    @property
    def documents_differ(self) -> bool:
        """Whether there are other rows in the source than the documents were made of."""
        return self.synced_digest is None or (
            self.source_digest is not None and self.source_digest != self.synced_digest
        )

    @property
    def dirty(self) -> bool:
        return self.documents_differ or not self.vectors_complete


@dataclass(frozen=True)
class Lag:
    """How far an index is behind its table: dirty ranges, rows at least, and for how long the oldest has been dirty."""

    ranges: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Detection:
    """What one look at the source found.

    `ranges` are all, as they stand now, in key order; `suspects` tells how many of them each detector but the scrub
    has named; `problems`, by detector, what one may have missed and the scrub has still to catch up with.
    """

    ranges: tuple[RangeState, ...]
    ranges_added: int
    ranges_checked: int
    suspects: Mapping[str, int]
    problems: Mapping[str, str]
    round_complete: bool

    @property
    def ranges_total(self) -> int:
        return len(self.ranges)

    @property
    def ranges_dirty(self) -> int:
        return sum(state.dirty for state in self.ranges)


@dataclass(frozen=True)
class Preview:
    """A few rows for people to look at."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class GuardedDeletions:
    """How the guard against mass deletion stands. `deletions` are those lately made and those that are due, without
    the approved ones; `documents` the index's size before them; `approved` how many more somebody lets go."""

    index: str
    documents: int
    deletions: int
    approved: int
    held_since: datetime | None
    rejected_at: datetime | None
    share: float
    rows: int

    @property
    def held(self) -> bool:
        return self.held_since is not None


@dataclass(frozen=True)
class RangeDifference:
    """Where one key range differs: keys missing in the target, stale in it, or orphaned (no longer in the source).

    `passages` are keys whose texts are not those that the row gives; `vectors` are keys with a text that has
    neither a vector nor a quarantine entry; `dishonest` keys with a stored vector that is not an honest one.
    """

    partition: str
    source_rows: int
    target_rows: int
    missing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    passages: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    dishonest: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        groups = (self.missing, self.stale, self.orphaned, self.passages, self.vectors, self.dishonest)
        return len({key for group in groups for key in group})


@dataclass(frozen=True)
class ParityReport:
    """The proof of parity, or what breaks it."""

    index: str
    ranges: int
    source_rows: int
    target_rows: int
    passages: int
    vectors: int
    quarantined: int
    differences: tuple[RangeDifference, ...]
    seconds: float

    @property
    def equal(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class QuarantineEntry:
    """A text that the provider refused, or gave no honest vector for.

    Attributes:
        next_attempt_at: not before then is it tried again; None while it is ignored.
        ignored_at: since when somebody wants it to be left alone; None if nobody does.
    """

    key: str
    field: str
    reason: str
    message: str
    attempts: int
    first_failed_at: datetime
    last_failed_at: datetime
    next_attempt_at: datetime | None
    ignored_at: datetime | None = None


@dataclass(frozen=True)
class Spent:
    """What embedding has cost. `tokens_estimated` are those of `tokens` that no provider counted, `tokens_unpriced`
    those whose price wasn't known: they are not in `cost` (USD). Queries are not counted."""

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    tokens_estimated: int = 0
    tokens_unpriced: int = 0
    cost: float = 0.0


@dataclass(frozen=True)
class GenerationReport:
    """One generation of an index. `standing` is `served`, `being built`, `kept` or `rolled back`.

    Passages that are neither served nor quarantined still wait for their vector. `lag` is how far the generation is
    behind the source; one that is kept doesn't follow it.
    """

    number: int
    standing: str
    model: str
    dimensions: int
    strategy: str
    passages: int
    passages_served: int
    quarantined: int
    ranges: int
    ranges_done: int
    lag: Lag
    created_at: datetime
    completed_at: datetime | None
    activated_at: datetime | None
    retired_at: datetime | None
    spent: Spent = Spent()

    @property
    def coverage(self) -> float:
        """Share of the generation that is built, 0 to 1: of its ranges, and of their passages."""
        ranges = self.ranges_done / self.ranges if self.ranges else 1.0
        return min(ranges, self.passages_served / self.passages) if self.passages else ranges


@dataclass(frozen=True)
class GenerationsReport:
    """The generations of an index. `asked_for` is what the declaration asks for that isn't served, None where it is;
    `rolled_back` says that somebody took that out of service, so that it isn't built again by itself. `obstacles` are
    why the one that is being built isn't served yet; where one is and there are none, the next sync serves it."""

    index: str
    generations: tuple[GenerationReport, ...]
    asked_for: str | None
    rolled_back: bool
    obstacles: tuple[str, ...] = ()

    @property
    def served(self) -> GenerationReport:
        return next(generation for generation in self.generations if generation.standing == "served")

    @property
    def building(self) -> GenerationReport | None:
        return next((one for one in self.generations if one.standing == "being built"), None)


@dataclass(frozen=True)
class BuiltGeneration:
    """What building the next generation did. `obstacles` are why it isn't served yet; none where it is, or where no
    generation is asked for (`generation` None)."""

    generation: int | None
    switched: bool = False
    obstacles: tuple[str, ...] = ()
    texts_embedded: int = 0
    texts_reused: int = 0
    texts_quarantined: int = 0
    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0
    tokens_estimated: int = 0
    cost: float | None = None


@dataclass(frozen=True)
class DailyBudget:
    """How today's budget stands, in USD; `limit` is None where none is declared.

    `in_flight` is what requests under way may cost. While it `pauses`, `texts_waiting` have no vector yet, None where
    they weren't counted; `next` is what the request may cost that it does not cover.
    """

    index: str
    limit: float | None
    paid: float
    in_flight: float
    pauses: bool
    texts_waiting: int | None
    next: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What it would take to embed what an index lacks.

    `about` says which generation. `texts` are distinct ones without a vector. `sampled` tells that only one row in so
    many was read and the rest inferred, 1 that all were. `tokens_counted` tells whether tokens are counted as the model
    counts them; otherwise they are somewhat too many. None is what nobody knows: the price (USD per million tokens),
    and how many texts a second the index's earlier runs made.
    """

    index: str
    about: str
    model: str
    rows: int
    texts: int
    tokens: int
    sampled: int
    tokens_counted: bool
    price: float | None
    texts_per_second: float | None
    budget_per_day: float | None

    @property
    def cost(self) -> float | None:
        """USD."""
        return None if self.price is None else self.tokens * self.price / 1_000_000

    @property
    def seconds(self) -> float | None:
        """At the pace of earlier runs, without waiting for a budget."""
        return self.texts / self.texts_per_second if self.texts_per_second else None

    @property
    def days(self) -> int | None:
        """Days that the budget spreads it over, None where there is none."""
        if self.budget_per_day is None or self.cost is None:
            return None
        return max(1, math.ceil(self.cost / self.budget_per_day))


@dataclass(frozen=True)
class ModelDrift:
    """How the canary texts of the served vector space stand. `similarity` is the least cosine of the last comparison,
    None before the first one; `taken_at` None means that there are none yet."""

    index: str
    provider: str
    model: str
    threshold: float
    similarity: float | None
    taken_at: datetime | None
    compared_at: datetime | None
    alike_at: datetime | None
    drifted_since: datetime | None

    @property
    def drifted(self) -> bool:
        return self.drifted_since is not None


@dataclass(frozen=True)
class IndexStatus:
    """How an index stands. `budget` is None where none is declared, or nothing was synced yet."""

    index: str
    ranges: int
    ranges_dirty: int
    documents: int
    passages: int
    passages_served: int
    quarantined: int
    lag: Lag
    last_round_at: datetime | None
    oldest_check_at: datetime | None
    last_synced_at: datetime | None
    model: str | None
    dimensions: int | None
    native_dimensions: int | None
    spent_today: Spent = Spent()
    spent: Spent = Spent()
    texts_awaited: int = 0
    budget: DailyBudget | None = None

    @classmethod
    def unknown(cls, index: str) -> IndexStatus:
        """Of an index that nothing is known of: all zeros."""
        return cls(index, 0, 0, 0, 0, 0, 0, Lag(0, 0, 0.0), None, None, None, None, None, None)

    @property
    def coverage(self) -> float:
        """Share of passages that can be found by their current vector, 0 to 1; 1 for an empty index."""
        return self.passages_served / self.passages if self.passages else 1.0


@dataclass(frozen=True)
class BatchReport:
    """An offline batch. `standing` is `submitting`, `under way` or `ended`, `status` the provider's word for it.

    `completed` are the texts that the provider says to be done with. `given_back` are those that it ended without;
    `message` says why. `cost` is in USD, None where the price is unknown.
    """

    number: int
    generation: int
    standing: str
    status: str | None
    batch_id: str | None
    texts: int
    completed: int
    embedded: int
    quarantined: int
    given_back: int
    tokens: int
    cost: float | None
    message: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class SubmittedBatches:
    """What was submitted to the provider's offline Batch API: `tokens` and `cost` (USD, None where the price is
    unknown) are estimates. `paused` says why texts were left over, None if none were."""

    generation: int
    batches: int
    texts: int
    tokens: int
    cost: float | None
    paused: str | None


@dataclass(frozen=True)
class SyncReport:
    """One sync from detection to search index.

    `switched_to` is the generation that is served since, None where the one before still is; `building` the one that is
    declared and not served, and `obstacles` why it isn't.
    """

    index: str
    ranges_synced: int
    rows_read: int
    inserted: int
    updated: int
    deleted: int
    texts_needed: int
    texts_reused: int
    texts_embedded: int
    texts_quarantined: int
    requests: int
    tokens: int
    seconds: float
    ranges: tuple[str, ...] = field(default=(), repr=False)
    cost: float | None = None
    paused: str | None = None
    switched_to: int | None = None
    building: int | None = None
    obstacles: tuple[str, ...] = ()


@dataclass(frozen=True)
class FilterColumn:
    """A metadata column: what its values are, in words, and the operators that filters compare it by."""

    name: str
    kind: str
    operators: tuple[str, ...]


@dataclass(frozen=True)
class IndexDescription:
    """What is served of an index. `texts` are what hits show, `fields` what is searched by; `methods` tells of each
    field how: `exact` or the kind of its ANN index. `view` is the one that SQL users know."""

    index: str
    generation: int
    texts: tuple[str, ...]
    fields: tuple[str, ...]
    metadata: tuple[FilterColumn, ...]
    strategy: str
    provider: str
    model: str
    dimensions: int
    native_dimensions: int
    storage: str
    methods: Mapping[str, str]
    view: str


@dataclass(frozen=True)
class StoredDocument:
    """A document as it is stored. Of its `passages` so many are found by the vector of an earlier text (`behind`), or
    have none (`without_vector`); `quarantined` are those of both that the provider has refused."""

    key: str
    texts: Mapping[str, str | None]
    metadata: Mapping[str, str | int | float | bool | None]
    updated_at: datetime
    passages: int
    behind: int
    without_vector: int
    quarantined: int
