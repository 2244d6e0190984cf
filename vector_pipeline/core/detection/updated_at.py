"""Changes found by a column that each change of a row moves on, such as one with ON UPDATE CURRENT_TIMESTAMP.

Rows commit in another order than their timestamps have, so the last stretch, `overlap`, is looked at again and again.
So that a quiet table isn't named again and again with it, each slice of that stretch is digested over timestamps and
keys, and named only when its digest is another one. A slice is ten seconds: all timestamps whose text agrees but for
the last digit of the seconds.

Left to the scrub: a deletion, a change that doesn't touch the column, one that sets it back or to NULL, and a
transaction that was open for longer than the overlap (so are, where the column is in a local time with summer time, the
changes of the hour that comes twice).

The column may be in any time zone, so the clock tells nothing but this: a value of more than a day ahead of the
server's clock is in none of them the present. Rows with such a value are passed over and left to the scrub, so that one
of them doesn't hide all others until its day has come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from vector_pipeline.core.detection.detector import Finding, State, View
from vector_pipeline.core.source.connection import identifier
from vector_pipeline.core.source.key_ranges import KeyRange, key_order
from vector_pipeline.core.source.keys import column_operands, comparison, literal_operands
from vector_pipeline.core.source.locate import locate_keys

_KEYS_PER_FINDING = 1000
# Of one statement that digests slices, so that catching up after a long pause is done in many short ones.
_ROWS_PER_STATEMENT = 20_000
_SLICE_CHARACTERS = len("2026-01-02 03:04:0")
_FIRST_SLICE = "0000-00-00 00:00:0"
_NOT_IN_THE_FUTURE = "UTC_TIMESTAMP(6) + INTERVAL 1 DAY"


@dataclass(frozen=True)
class _Bound:
    """From where on timestamps are looked at."""

    operator: Literal[">=", ">"]
    moment: str


@dataclass(frozen=True)
class _Slice:
    """`name` is what the text of its timestamps begins with, `latest` the greatest of them."""

    name: str
    digest: str
    latest: str


@dataclass(frozen=True)
class _Place:
    """In the midst of a slice: its digest as naming it began, and timestamp and key of the row that was named last."""

    name: str
    digest: str
    moment: str
    key: str


@dataclass(frozen=True)
class _Progress:
    """What has been named. Moments are MySQL's own text.

    `latest` is the greatest timestamp named; `slices` are the digests with which those of the overlap have been named.
    """

    latest: str | None = None
    slices: dict[str, str] = field(default_factory=dict)
    within: _Place | None = None

    @classmethod
    def of(cls, state: State) -> _Progress:
        within = state.get("within")
        return cls(state["latest"], dict(state["slices"]), _Place(*within) if within else None)

    @property
    def state(self) -> State:
        state: State = {"latest": self.latest, "slices": self.slices}
        return state if self.within is None else state | {"within": list(astuple(self.within))}

    def first_slice(self, overlap_seconds: int) -> str:
        """The earliest slice that is looked at again."""
        return _FIRST_SLICE if self.latest is None else _slice_of(_earlier(self.latest, overlap_seconds))

    def having_named(self, done: _Slice, overlap_seconds: int) -> _Progress:
        later = _Progress(max(self.latest or "", done.latest), self.slices | {done.name: done.digest})
        first = later.first_slice(overlap_seconds)
        return replace(later, slices={name: digest for name, digest in later.slices.items() if name >= first})


class UpdatedAt:
    """Names the ranges of rows whose timestamp has come, or come back, since the last look."""

    name = "updated_at"

    def __init__(self, column: str, overlap_seconds: int) -> None:
        """Args:
        column: an indexed DATETIME or TIMESTAMP column of a table.
        overlap_seconds: how much earlier than the greatest timestamp seen one may still come in.
        """
        self._column = identifier(column)
        self._overlap = overlap_seconds

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:
        if state is None:
            yield Finding(self._present(view).state)
            return
        progress = _Progress.of(state)
        keys: list[str] = []
        for some, named in self._changes(view, progress):
            progress = named
            keys += some
            late = view.deadline is not None and time.monotonic() >= view.deadline
            if len(keys) >= _KEYS_PER_FINDING or late:
                yield Finding(progress.state, _ranges_of(view, keys, ranges))
                keys = []
            if late:
                return
        if keys or progress.state != state:
            yield Finding(progress.state, _ranges_of(view, keys, ranges))

    def _present(self, view: View) -> _Progress:
        progress = _Progress(self._greatest(view))
        if progress.latest is not None:
            for each in self._slices(view, _from(progress.first_slice(self._overlap)), None):
                progress = progress.having_named(each, self._overlap)
        return progress

    def _changes(self, view: View, state: _Progress) -> Iterator[tuple[list[str], _Progress]]:
        """Keys to name, some at a time, each with the progress once they are named."""
        progress = state
        lower = _from(progress.first_slice(self._overlap))
        while True:
            last = self._slice_some_rows_on(view, lower)
            for each in self._slices(view, lower, last):
                if progress.slices.get(each.name) != each.digest:
                    for keys, named in self._name(view, each, progress):
                        progress = named
                        yield keys, named
            yield [], progress
            if last is None:
                return
            lower = _after(last)

    def _name(self, view: View, each: _Slice, progress: _Progress) -> Iterator[tuple[list[str], _Progress]]:
        place = progress.within if progress.within and progress.within.name == each.name else None
        # What has come in since, before the place where naming goes on, must make the slice another one next time.
        digest = place.digest if place else each.digest
        done = progress.having_named(replace(each, digest=digest), self._overlap)
        for rows, more in self._rows(view, each, place):
            named = replace(progress, within=_Place(each.name, digest, *rows[-1])) if more else done
            yield [key for _, key in rows], named

    def _slices(self, view: View, lower: _Bound, last: str | None) -> Iterator[_Slice]:
        """The slices from `lower` to `last`, which is included; None: to the present."""
        text = f"CAST({self._column} AS CHAR)"
        row_hash = f"CONV(LEFT(SHA2(CONCAT_WS('|', {text}, {view.plan.key.expression}), 256), 16), 16, 10)"
        until = "" if last is None else f" AND {self._column} <= CAST(%s AS DATETIME(6))"
        with view.source.cursor() as cursor:
            cursor.execute(
                f"SELECT LEFT({text}, {_SLICE_CHARACTERS:d}) AS slice, COUNT(*),"
                f" BIT_XOR(CAST({row_hash} AS UNSIGNED)), MAX({text})"
                f" FROM {_table(view)}"
                f" WHERE {self._column} {lower.operator} CAST(%s AS DATETIME(6))"
                f" AND {self._column} <= {_NOT_IN_THE_FUTURE}{until}"
                " GROUP BY slice ORDER BY slice",
                (lower.moment,) if last is None else (lower.moment, _end(last)),
            )
            found = cursor.fetchall()
        for name, rows, xor, latest in found:
            yield _Slice(str(name), f"{rows}:{int(xor):016x}", str(latest))

    def _slice_some_rows_on(self, view: View, lower: _Bound) -> str | None:
        """The slice of the row that is _ROWS_PER_STATEMENT on; None where there are not so many."""
        with view.source.cursor() as cursor:
            cursor.execute(
                f"SELECT CAST({self._column} AS CHAR) FROM {_table(view)}"
                f" WHERE {self._column} {lower.operator} CAST(%s AS DATETIME(6))"
                f" AND {self._column} <= {_NOT_IN_THE_FUTURE}"
                f" ORDER BY {self._column} LIMIT 1 OFFSET {_ROWS_PER_STATEMENT:d}",
                (lower.moment,),
            )
            row = cursor.fetchone()
        return None if row is None else _slice_of(str(row[0]))

    def _rows(self, view: View, each: _Slice, place: _Place | None) -> Iterator[tuple[list[tuple[str, str]], bool]]:
        """Timestamp and key of the slice's rows in the order of the index, some at a time, and whether more come.

        Each time the row before is read once more, since many rows can have one timestamp.
        """
        start, bound = f"{each.name}0", ""
        parameters: tuple[Any, ...] = ()
        after = (place.moment, place.key) if place else None
        while True:
            if after is not None:
                start, (bound, parameters) = after[0], self._condition_from(view, *after)
            with view.source.cursor() as cursor:
                cursor.execute(
                    f"SELECT CAST({self._column} AS CHAR), {view.plan.key.expression} FROM {_table(view)}"
                    f" WHERE {self._column} >= CAST(%s AS DATETIME(6)) AND {self._column} <= CAST(%s AS DATETIME(6))"
                    f" AND {self._column} <= {_NOT_IN_THE_FUTURE} AND NOT ({view.plan.key.absent}){bound}"
                    f" ORDER BY {self._column}, {key_order(view.plan)} LIMIT {_KEYS_PER_FINDING + 1:d}",
                    (start, _end(each.name), *parameters),
                )
                rows = [(str(moment), str(key)) for moment, key in cursor.fetchall()]
            more = len(rows) > _KEYS_PER_FINDING
            yield rows, more
            if not more:
                return
            after = rows[-1]

    def _condition_from(self, view: View, moment: str, key: str) -> tuple[str, tuple[Any, ...]]:
        columns = view.plan.key_columns
        bound, parameters = comparison(column_operands(columns), ">=", literal_operands(columns, key))
        condition = f"{self._column} > CAST(%s AS DATETIME(6)) OR {self._column} = CAST(%s AS DATETIME(6)) AND {bound}"
        return f" AND ({condition})", (moment, moment, *parameters)

    def _greatest(self, view: View) -> str | None:
        with view.source.cursor() as cursor:
            cursor.execute(
                f"SELECT CAST(MAX({self._column}) AS CHAR) FROM {_table(view)}"
                f" WHERE {self._column} <= {_NOT_IN_THE_FUTURE}",
                (),
            )
            row = cursor.fetchone()
        return None if row is None or row[0] is None else str(row[0])


def _ranges_of(view: View, keys: Sequence[str], ranges: Sequence[KeyRange]) -> frozenset[int]:
    # The declaration's condition is left out on purpose: a row that no longer meets it has to leave the target.
    return frozenset(locate_keys(view.source, view.plan, list(dict.fromkeys(keys)), ranges).values())


def _table(view: View) -> str:
    return identifier(view.plan.database, view.plan.table)


def _slice_of(moment: str) -> str:
    return moment[:_SLICE_CHARACTERS]


def _end(name: str) -> str:
    return f"{name}9.999999"


def _from(name: str) -> _Bound:
    return _Bound(">=", f"{name}0")


def _after(name: str) -> _Bound:
    return _Bound(">", _end(name))


def _earlier(moment: str, seconds: int) -> str:
    """The moment itself where it is no date (0000-00-00), or where none is so early."""
    try:
        return str(datetime.fromisoformat(moment) - timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return moment
