"""What differs between a generation and the declaration, as people read it."""

from __future__ import annotations

import pytest

from vector_pipeline.core.store.fingerprint import Facts, differences


@pytest.mark.parametrize(
    ("built", "declared", "told"),
    [
        ({}, {"storage": "halfvec"}, {"storage": "vector → halfvec"}),
        ({"document prefix": "passage: "}, {}, {"document prefix": "'passage: ' → none"}),
        ({"dimensions": None}, {"dimensions": 4}, {"dimensions": "the model's own → 4"}),
        ({"texts": [["q", "q"]]}, {"texts": [["q", "q"], ["a", "b"]]}, {"texts": "q → q, a from b"}),
        ({"split": {"tokens": 8, "overlap": 2}}, {}, {"split": "tokens 8, overlap 2 → none"}),
        ({"model": "small", "dimensions": None}, {"model": "small"}, {}),
    ],
)
def test_a_setting_that_is_not_declared_is_named_by_what_it_is_without(
    built: Facts, declared: Facts, told: dict[str, str]
) -> None:
    assert differences(built, declared) == told
