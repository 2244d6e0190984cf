"""Changes found by a column that each change of a row moves on, such as one with ON UPDATE CURRENT_TIMESTAMP.

Rows commit in another order than their timestamps have, so the last stretch, `overlap`, is looked at again and again.
So that a quiet table isn't named again and again with it, each slice of that stretch is digested over timestamps and
keys, and named only when its digest is another one. A slice is ten seconds: all timestamps whose text agrees but for
the last digit of the seconds.

A pass goes from the beginning of the overlap to the present, over as many looks as it takes; each comes further by a
statement at least. The next pass begins the overlap before the greatest timestamp that there was as this one began,
since what commits while a pass is under way may do so behind it.

Left to the scrub: a deletion, a change that doesn't touch the column, one that sets it back or to NULL, and a
transaction that was open for longer than the overlap (so are, where the column is in a local time with summer time, the
changes of the hour that comes twice). So is, with a problem that says so, a slice that is too full to be digested.

The column may be in any time zone, so the clock tells nothing but this: a value of more than a day ahead of the
server's clock is in none of them the present. Rows with such a value are passed over and left to the scrub, so that one
of them doesn't hide all others until its day has come.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vector_pipeline.core.detection.detector import Finding, State, View
from vector_pipeline.core.detection.updated_at_progress import (
    SLICE_CHARACTERS,
    Bound,
    Place,
    Progress,
    after_slice,
    before_slice,
    end_of,
    from_slice,
    slice_of,
    until_slice,
)
from vector_pipeline.core.source.connection import identifier
from vector_pipeline.core.source.key_ranges import KeyRange, key_order
from vector_pipeline.core.source.keys import column_operands, comparison, literal_operands
from vector_pipeline.core.source.locate import locate_keys
from vector_pipeline.core.source.time_limit import StatementTookTooLong, naming_the_limit

_KEYS_PER_FINDING = 1000
# Of one statement that digests slices, so that catching up after a long pause is done in many short ones.
_ROWS_PER_STATEMENT = 20_000
# Such a slice is still digested in about a second. It is digested again at each pass while it is in the overlap.
_MOST_ROWS_OF_A_SLICE = 500_000
_NOT_IN_THE_FUTURE = "UTC_TIMESTAMP(6) + INTERVAL 1 DAY"
_TOO_SLOW = "MySQL took too long to read them"
_PASSED_OVER = "passed over"
"""In the place of a slice's digest: it can't be digested, which is not to be tried at each pass."""


@dataclass(frozen=True)
class _Slice:
    """`name` is what the text of its timestamps begins with."""

    name: str
    digest: str


@dataclass(frozen=True)
class _Step:
    """Some slices further.

    `then` is where the pass goes on, None at the present; `passed_over` a slice that can't be digested, and `problem`
    tells what may have been missed by this step.
    """

    slices: Sequence[_Slice]
    then: Bound | None
    passed_over: str | None = None
    problem: str | None = None


class UpdatedAt:
    """Names the ranges of rows whose timestamp has come, or come back, since the last look."""

    name = "updated_at"

    def __init__(self, column: str, overlap_seconds: int) -> None:
        """Args:
        column: an indexed DATETIME or TIMESTAMP column of a table.
        overlap_seconds: how much earlier than the greatest timestamp seen one may still come in.
        """
        self._column_name = column.lower()
        self._column = identifier(column)
        self._overlap = overlap_seconds

    def look(self, view: View, ranges: Sequence[KeyRange], state: State | None) -> Iterator[Finding]:
        if state is None or state.get("column") != self._column_name:
            yield self._start(view, None if state is None else self._another_column(state.get("column")))
            return
        progress = Progress.of(state, self._overlap)
        if progress.under_way is None:
            progress = progress.beginning(self._greatest(view))
        noted, keys = state, list[str]()
        for some, reached, problem in self._changes(view, progress):
            progress = reached
            keys += some
            late = _is_late(view)
            if problem or len(keys) >= _KEYS_PER_FINDING or (late and progress.state != noted):
                noted = progress.state
                yield Finding(noted, _ranges_of(view, keys, ranges), problem)
                keys = []
            if late:
                return
        if keys or progress.state != noted:
            yield Finding(progress.state, _ranges_of(view, keys, ranges))

    def _start(self, view: View, problem: str | None) -> Finding:
        """Takes as known what there is, as far as the look has time. The next looks name the rest of the overlap."""
        greatest = self._greatest(view)
        progress = Progress(self._column_name, self._overlap, greatest).beginning(greatest)
        while progress.under_way is not None:
            step = self._step(view, progress.under_way.lower, progress.slices)
            for each in step.slices:
                progress = progress.having_done(each.name, each.digest)
            progress = _past(step, progress)
            if _is_late(view):
                break
        return Finding(progress.state, problem=problem)

    def _changes(self, view: View, progress: Progress) -> Iterator[tuple[list[str], Progress, str | None]]:
        """Keys to name, some at a time, each with the progress once they are named, and with what was passed over."""
        while progress.under_way is not None:
            place = progress.under_way.within
            if place is None:
                step = self._step(view, progress.under_way.lower, progress.slices)
            else:
                # By the digest with which its naming began: what has come in behind the place makes it another one.
                step = _Step((_Slice(place.name, place.digest),), after_slice(place.name))
            for each in step.slices:
                if progress.slices.get(each.name) == each.digest:
                    progress = progress.having_done(each.name, each.digest)
                    continue
                try:
                    for keys, named in self._name(view, each, progress):
                        progress = named
                        yield keys, progress, None
                except StatementTookTooLong:
                    progress = progress.having_done(each.name, _PASSED_OVER)
                    yield [], progress, self._left_to_the_scrub(f"from {each.name}0 to {each.name}9", _TOO_SLOW)
            progress = _past(step, progress)
            yield [], progress, step.problem

    def _name(self, view: View, each: _Slice, progress: Progress) -> Iterator[tuple[list[str], Progress]]:
        place = progress.under_way.within if progress.under_way else None
        for rows, more in self._rows(view, each, place):
            yield (
                [key for _, key in rows],
                progress.at(Place(each.name, each.digest, *rows[-1]))
                if more
                else progress.having_done(each.name, each.digest),
            )

    def _step(self, view: View, lower: Bound, known: dict[str, str]) -> _Step:
        """The next slices; one that may be too full is taken by itself."""
        full: str | None = None
        try:
            full = self._slice_rows_on(view, lower, _ROWS_PER_STATEMENT)
            slices = self._slices(view, lower, None if full is None else before_slice(full))
        except StatementTookTooLong:
            then = None if full is None else from_slice(full)
            return _Step((), then, problem=self._left_to_the_scrub(f"from {lower.moment} on", _TOO_SLOW))
        if full is None:
            return _Step(slices, None)
        return _Step(slices, from_slice(full)) if slices else self._full_step(view, full, known)

    def _full_step(self, view: View, name: str, known: dict[str, str]) -> _Step:
        then = after_slice(name)
        if known.get(name) == _PASSED_OVER:
            return _Step((), then)
        try:
            if self._slice_rows_on(view, from_slice(name), _MOST_ROWS_OF_A_SLICE) != name:
                return _Step(self._slices(view, from_slice(name), until_slice(name)), then)
            reason = f"there are more than {_MOST_ROWS_OF_A_SLICE:,d}"
        except StatementTookTooLong:
            reason = _TOO_SLOW
        return _Step((), then, name, self._left_to_the_scrub(f"from {name}0 to {name}9", reason))

    def _left_to_the_scrub(self, which: str, reason: str) -> str:
        return (
            f"Rows whose {self._column_name} is {which} are left to the scrub, since {reason}. Change fewer rows at a "
            "time, or declare source.binlog as well, which finds changes however many there are"
        )

    def _another_column(self, before: str | None) -> str:
        return (
            f"source.updated_at is {self._column_name} now and was {before} before: changes between the last look at "
            "that column and the first one at this are left to the scrub"
        )

    def _slices(self, view: View, lower: Bound, upper: Bound | None) -> list[_Slice]:
        """The slices between the bounds; without an upper one, to the present."""
        text = f"CAST({self._column} AS CHAR)"
        row_hash = f"CONV(LEFT(SHA2(CONCAT_WS('|', {text}, {view.plan.key.expression}), 256), 16), 16, 10)"
        below = "" if upper is None else f" AND {self._column} {upper.operator} CAST(%s AS DATETIME(6))"
        found = _read(
            view,
            f"SELECT LEFT({text}, {SLICE_CHARACTERS:d}) AS slice, COUNT(*), BIT_XOR(CAST({row_hash} AS UNSIGNED))"
            f" FROM {view.plan.relation}"
            f" WHERE {self._column} {lower.operator} CAST(%s AS DATETIME(6))"
            f" AND {self._column} <= {_NOT_IN_THE_FUTURE}{below}"
            " GROUP BY slice ORDER BY slice",
            (lower.moment,) if upper is None else (lower.moment, upper.moment),
        )
        return [_Slice(str(name), f"{rows}:{int(xor):016x}") for name, rows, xor in found]

    def _slice_rows_on(self, view: View, lower: Bound, rows: int) -> str | None:
        """The slice of the row that is so many on; None where there are not so many."""
        found = _read(
            view,
            f"SELECT CAST({self._column} AS CHAR) FROM {view.plan.relation}"
            f" WHERE {self._column} {lower.operator} CAST(%s AS DATETIME(6))"
            f" AND {self._column} <= {_NOT_IN_THE_FUTURE}"
            f" ORDER BY {self._column} LIMIT 1 OFFSET {rows:d}",
            (lower.moment,),
        )
        return slice_of(str(found[0][0])) if found else None

    def _rows(self, view: View, each: _Slice, place: Place | None) -> Iterator[tuple[list[tuple[str, str]], bool]]:
        """Timestamp and key of the slice's rows in the order of the index, some at a time, and whether more come.

        Each time the row before is read once more, since many rows can have one timestamp.
        """
        start, bound = f"{each.name}0", ""
        parameters: tuple[Any, ...] = ()
        after = (place.moment, place.key) if place else None
        while True:
            if after is not None:
                start, (bound, parameters) = after[0], self._condition_from(view, *after)
            found = _read(
                view,
                f"SELECT CAST({self._column} AS CHAR), {view.plan.key.expression} FROM {view.plan.relation}"
                f" WHERE {self._column} >= CAST(%s AS DATETIME(6)) AND {self._column} <= CAST(%s AS DATETIME(6))"
                f" AND {self._column} <= {_NOT_IN_THE_FUTURE} AND NOT ({view.plan.key.absent}){bound}"
                f" ORDER BY {self._column}, {key_order(view.plan)} LIMIT {_KEYS_PER_FINDING + 1:d}",
                (start, end_of(each.name), *parameters),
            )
            rows = [(str(moment), str(key)) for moment, key in found]
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
        [(greatest,)] = _read(
            view,
            f"SELECT CAST(MAX({self._column}) AS CHAR) FROM {view.plan.relation}"
            f" WHERE {self._column} <= {_NOT_IN_THE_FUTURE}",
            (),
        )
        return None if greatest is None else str(greatest)


def _read(view: View, statement: str, parameters: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
    """Raises:
    StatementTookTooLong: it reached the limit that a look has for its statements.
    """
    with naming_the_limit(), view.source.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _past(step: _Step, progress: Progress) -> Progress:
    if step.passed_over is not None:
        progress = progress.having_done(step.passed_over, _PASSED_OVER)
    return progress.going_on(step.then)


def _is_late(view: View) -> bool:
    return view.deadline is not None and time.monotonic() >= view.deadline


def _ranges_of(view: View, keys: Sequence[str], ranges: Sequence[KeyRange]) -> frozenset[int]:
    # The declaration's condition is left out on purpose: a row that no longer meets it has to leave the target.
    return frozenset(locate_keys(view.source, view.plan, list(dict.fromkeys(keys)), ranges).values())
