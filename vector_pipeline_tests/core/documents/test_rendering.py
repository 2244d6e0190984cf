"""From a row's texts to passages, without a database."""

from __future__ import annotations

from hashlib import sha256

import pytest

from vector_pipeline.core.documents import rendering
from vector_pipeline.core.documents.declared import declared_rendering
from vector_pipeline.core.documents.rendering import Rendering, RenderingError
from vector_pipeline.core.documents.splitting import Splitting
from vector_pipeline_tests.workbench import faq_spec

NAMES = ("question", "answer")
MANY = "\n\n".join(f"Paragraph number {number} of several." for number in range(40))


def _texts(rendering: Rendering, *texts: str | None) -> list[tuple[str, int, str | None]]:
    return [(passage.field, passage.ordinal, passage.text) for passage in rendering.passages(texts)]


def test_separate_gives_each_text_that_is_there_a_vector() -> None:
    assert _texts(Rendering("separate", NAMES), "one", " \n") == [("question", 0, "one")]


def test_concat_puts_an_empty_line_for_a_text_that_is_not_there() -> None:
    assert _texts(Rendering("concat", NAMES), None, "two") == [("text", 0, "\ntwo")]
    assert _texts(Rendering("concat", NAMES), None, "  ") == []


def test_average_asks_for_the_parts_alone() -> None:
    passages = list(Rendering("average", NAMES).passages(["one", "two"]))
    assert [(p.field, p.text) for p in passages] == [("%question", "one"), ("%answer", "two"), ("text", None)]
    swapped = list(Rendering("average", NAMES).passages(["two", "one"]))
    alone = list(Rendering("average", NAMES).passages(["one", None]))
    assert passages[-1].content_hash == swapped[-1].content_hash
    assert len({passages[-1].content_hash, alone[-1].content_hash, alone[0].content_hash}) == 3


def test_nul_characters_are_always_left_out() -> None:
    [passage] = Rendering("separate", ("question",)).passages(["a\0b"])
    assert (passage.text, passage.content_hash) == ("ab", sha256(b"ab").digest())
    template = Rendering("template", ("question",), template="{{ 'x\\0' }}{{ question }}")
    assert _texts(template, "a\0b") == [("text", 0, "xab")]


@pytest.mark.parametrize(
    "embedding",
    [
        {},
        {"strategy": "average", "too_long": "cut"},
        {"template": "{{ question }}", "normalise": ["nfc", "strip_html"], "split": {"tokens": 99, "overlap": 9}},
    ],
)
def test_a_rendering_is_kept_as_json(embedding: dict[str, object]) -> None:
    declared = declared_rendering(faq_spec(embedding=embedding), "text-embedding-3-small")
    assert Rendering.from_json(declared.to_json()) == declared


def test_what_the_first_version_kept_is_still_read() -> None:
    assert Rendering.from_json({"strategy": "concat", "names": ["question", "answer"]}) == Rendering("concat", NAMES)


def test_more_passages_than_can_be_numbered_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MOST_PASSAGES", 5)
    split = Rendering("separate", NAMES, splitting=Splitting(16, "text-embedding-3-small"))
    with pytest.raises(RenderingError, match=r"'answer' has more than 5 passages: declare a larger embedding\.split"):
        list(split.passages(["short", MANY]))
