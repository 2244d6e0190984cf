"""Which range a key falls into, also a key that the table hasn't got.

Only MySQL compares texts, since no other server knows its collations: by halves over the ranges' lower bounds, where
each statement asks of many keys at once on which side of their bound they are. Whole numbers order alike everywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from vector_pipeline.core.source.connection import Connection
from vector_pipeline.core.source.key_ranges import KeyRange, are_at_or_above
from vector_pipeline.core.source.keys import KeyKind, sort_key
from vector_pipeline.core.source.plan import ReadingPlan


def locate_keys(
    connection: Connection, plan: ReadingPlan, keys: Sequence[str], ranges: Sequence[KeyRange]
) -> dict[str, int]:
    """The id of the range of each key in canonical text. Reads no table.

    What is no key of this table is left out.

    Args:
        ranges: in key order, one after the other; what is below the first counts as in it, and so at the end.
    """
    if all(column.kind is KeyKind.INTEGER for column in plan.key_columns):
        return _locate_numbers(plan, keys, ranges)
    # Of the ranges from first to last, the key is in one.
    within = {key: (0, len(ranges) - 1) for key in keys}
    while asked := {key: (first + last + 1) // 2 for key, (first, last) in within.items() if first < last}:
        pairs = [(key, bound) for key, middle in asked.items() if (bound := ranges[middle].lower) is not None]
        answers = are_at_or_above(connection, plan, pairs)
        for key, middle in asked.items():
            if key not in answers:
                del within[key]
            else:
                first, last = within[key]
                within[key] = (middle, last) if answers[key] else (first, middle - 1)
    return {key: ranges[first].range_id for key, (first, _) in within.items()}


def _locate_numbers(plan: ReadingPlan, keys: Sequence[str], ranges: Sequence[KeyRange]) -> dict[str, int]:
    bounds = [sort_key(plan.key_columns, key_range.lower or "", ()) for key_range in ranges[1:]]
    return {key: ranges[bisect_right(bounds, sort_key(plan.key_columns, key, ()))].range_id for key in keys}
