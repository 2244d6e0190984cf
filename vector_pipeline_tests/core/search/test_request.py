"""What is asked, as it is written in words."""

from __future__ import annotations

import pytest

from vector_pipeline.core.search.request import FieldChoice, SearchRequestError, read_field


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ([], None),
        (["best"], "best"),
        (["question", "answer"], ["question", "answer"]),
        (["question, answer"], ["question", "answer"]),
        (["question=0.7", "answer=0.3"], {"question": 0.7, "answer": 0.3}),
        (["question = 2, answer = 1"], {"question": 2.0, "answer": 1.0}),
    ],
)
def test_a_field_is_written_as_its_name_several_names_or_weights(words: list[str], choice: FieldChoice | None) -> None:
    assert read_field(words) == choice


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["question=0.7", "answer"], "give each field a weight"),
        (["question=1", "question=2"], "name it once"),
        (["question=much"], "weights are numbers.*question=much"),
    ],
)
def test_weights_that_cannot_be_read_are_refused(words: list[str], complaint: str) -> None:
    with pytest.raises(SearchRequestError, match=complaint):
        read_field(words)
