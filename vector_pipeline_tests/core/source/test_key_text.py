"""A key of several columns has one text, from which each of them comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vector_pipeline.core.settings import SourceSettings
from vector_pipeline.core.source.keys import split_key
from vector_pipeline_tests.core.source.keys_of_all_kinds import keyed_rows


def _joined(parts: list[str]) -> str:
    return "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


@given(st.lists(st.text(alphabet="|\\a\n", max_size=5), min_size=2, max_size=4))
def test_what_was_joined_comes_apart_again(parts: list[str]) -> None:
    assert split_key(_joined(parts), len(parts)) == tuple(parts)


@given(st.text(alphabet="|\\a"))
def test_a_key_of_one_column_is_its_text(key: str) -> None:
    assert split_key(key, 1) == (key,)


@pytest.mark.parametrize("key", ["", "a", "a|b|c", "a|b\\", "a\\|b"])
def test_what_is_no_key_of_two_columns_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        split_key(key, 2)


def test_the_server_joins_what_comes_apart_again(any_mysql_database: SourceSettings) -> None:
    parts = ["", "a", "a|b", "a\\", "\\|", "|\\|", "ä'%s%", "😀"]
    with keyed_rows(any_mysql_database, ("varchar utf8mb4_bin", "varchar utf8mb4_bin")) as keyed:
        drawn = [(first, second) for first in parts for second in parts]
        keyed.execute("INSERT INTO keyed VALUES (%s, %s, 'q')", drawn)
        keys = keyed.keys()
    assert len(set(keys)) == len(drawn)
    assert {split_key(key, 2) for key in keys} == set(drawn)
    assert set(keys) == {_joined(list(pair)) for pair in drawn}
