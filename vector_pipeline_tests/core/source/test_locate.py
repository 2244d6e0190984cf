"""A key is located where the server itself puts its row, whatever its type and collation, and without its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.digest import digest_range
from vector_pipeline.core.source.key_ranges import KeyRange, are_at_or_above, cut
from vector_pipeline.core.source.locate import locate_keys
from vector_pipeline.core.source.rows import read_row_hashes, read_rows
from vector_pipeline_tests.core.source.keys_of_all_kinds import (
    KeyedRows,
    administrator,
    keyed_rows,
    keys_of,
    ranges_between,
)

WHOLE = KeyRange(0, "0", None, None)


@pytest.fixture(
    params=[
        pytest.param(
            (server, columns),
            id=f"{server}-{' and '.join(columns)}",
            # The embedded server's keys of several columns are compared as its keys of one are.
            marks=[pytest.mark.long] if server == "mariadb" and len(columns) > 1 else [],
        )
        for server in ("mariadb", "oracle")
        for columns in keys_of(server)
    ]
)
def keyed(request: pytest.FixtureRequest) -> Iterator[KeyedRows]:
    """Some 150 rows with a key of each kind that each server has."""
    server, columns = request.param
    database = request.getfixturevalue({"mariadb": "mysql_database", "oracle": "oracle_mysql_database"}[server])
    with keyed_rows(database, columns) as rows:
        rows.add(150, seed=1)
        yield rows


def _range_of_each_row(keyed: KeyedRows, ranges: Sequence[KeyRange]) -> dict[str, int]:
    """Reads all ranges; each row must be in one of them alone, and each digest count the rows that were read."""
    found: dict[str, int] = {}
    for key_range in ranges:
        rows = dict(read_row_hashes(keyed.source, keyed.plan, key_range))
        assert not rows.keys() & found.keys()
        assert digest_range(keyed.source, keyed.plan, key_range).rows == len(rows)
        found |= dict.fromkeys(rows, key_range.range_id)
    return found


def test_each_row_is_in_one_range_and_its_key_is_located_there(keyed: KeyedRows) -> None:
    ranges = ranges_between(list(cut(keyed.source, keyed.plan, WHOLE, 7)))
    assert len(ranges) == -(-len(keyed.keys()) // 7)
    found = _range_of_each_row(keyed, ranges)
    assert sorted(found) == sorted(keyed.keys())
    assert locate_keys(keyed.source, keyed.plan, keyed.keys(), ranges) == found
    keyed.add(150, seed=2)
    found = _range_of_each_row(keyed, ranges)
    assert sorted(found) == sorted(keyed.keys())
    keys = keyed.keys()
    assert locate_keys(keyed.source, keyed.plan, keys, ranges) == found
    bound = ranges[len(ranges) // 2]
    assert bound.lower is not None
    answers = are_at_or_above(keyed.source, keyed.plan, [(key, bound.lower) for key in keys])
    above = [key for key, is_above in answers.items() if is_above]
    assert set(above) == {key for key, range_id in found.items() if range_id >= bound.range_id}
    with administrator(keyed.settings) as cursor:
        cursor.execute("DELETE FROM keyed")
    assert locate_keys(keyed.source, keyed.plan, keys, ranges) == found


@pytest.mark.long
def test_the_sort_key_orders_as_the_server_does(keyed: KeyedRows) -> None:
    rows = sorted(read_rows(keyed.source, keyed.plan, WHOLE), key=lambda row: row.sort_key)
    assert [row.key for row in rows] == keyed.keys()


def test_what_is_no_key_is_located_nowhere(any_mysql_database: SourceSettings) -> None:
    with keyed_rows(any_mysql_database, ("bigint", "decimal")) as keyed:
        ranges = ranges_between(["1|5.00", "2|5.00"])
        strange = ["1", "a|1.00", "1|b", "1|1.00|1", "", "1|1.00\\"]
        assert locate_keys(keyed.source, keyed.plan, [*strange, "1|7.00"], ranges) == {"1|7.00": 1}


def test_more_keys_than_go_into_one_statement_are_located(mysql_database: SourceSettings) -> None:
    with keyed_rows(mysql_database, ("bigint",)) as keyed:
        ranges = ranges_between([str(bound) for bound in range(0, 1200, 100)])
        keys = [str(key) for key in range(-10, 1200)]
        located = locate_keys(keyed.source, keyed.plan, keys, ranges)
        assert located == {key: max(0, int(key) // 100 + 1) for key in keys}
