"""Where a long text is cut: pieces fit, lose nothing, overlap as declared, and end where the text does."""

from __future__ import annotations

import csv
import random
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from semantic_text_splitter import TextSplitter

from vector_pipeline.core.documents.splitting import Span, Splitting, TooLong, has_long_run, through_windows
from vector_pipeline.core.embedding.tokens import counter_for
from vector_pipeline_tests.conftest import SHARED

MODELS = ["text-embedding-3-small", "somebody-elses-model"]
PARAGRAPHS = "\n\n".join(
    f"Paragraph {number} is about passports. It has two sentences, of which this is the second." for number in range(60)
)
TEXTS = {
    "paragraphs": PARAGRAPHS,
    "digits among words": PARAGRAPHS + " 0123456789" * 200,
    "one word": "x" * 4000,
    "Chinese": "我怎样更新护照?您可以在任何移民局办公室更新。" * 60,
    "emoji of several characters": "👩‍👩‍👧‍👧" * 300,
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_piece_fits_and_nothing_but_white_space_is_lost(text: str, model: str) -> None:
    pieces = list(Splitting(40, model).pieces(text))
    assert len(pieces) > 10
    assert max(counter_for(model)(text[piece.start : piece.end]) for piece in pieces) <= 40
    assert all(before.end <= after.start for before, after in pairwise(pieces))
    between = [text[before.end : after.start] for before, after in pairwise([Span(0, 0), *pieces])]
    assert not "".join([*between, text[pieces[-1].end :]]).strip()


@pytest.mark.parametrize("model", MODELS)
def test_a_piece_begins_with_the_end_of_the_one_before(model: str) -> None:
    pieces = list(Splitting(60, model, overlap=30).pieces(PARAGRAPHS))
    repeated = [before.end - after.start for before, after in pairwise(pieces)]
    assert min(repeated) > 0
    assert max(repeated) < 300


def test_pieces_end_where_paragraphs_do() -> None:
    pieces = list(Splitting(40, MODELS[0]).pieces(PARAGRAPHS))
    assert all(PARAGRAPHS[piece.start :].startswith("Paragraph") for piece in pieces)


@pytest.mark.parametrize("too_long", ["split", "cut"])
def test_no_piece_is_made_of_control_characters_alone(too_long: TooLong) -> None:
    text = "\x1c\x1d\x1e\x1f" * 50 + "\n\nThe first words.\n\n" + "\x1f" * 200 + "\n\nThe last words."
    pieces = [text[span.start : span.end] for span in Splitting(10, "m", too_long=too_long).pieces(text)]
    assert all(piece.strip() for piece in pieces)
    assert "The first words." in pieces[0]
    assert too_long == "cut" or "The last words." in pieces[-1]


@pytest.mark.parametrize("model", MODELS)
def test_a_short_text_stays_whole_with_the_white_space_around_it(model: str) -> None:
    assert list(Splitting(40, model).pieces("  a short one \n")) == [Span(0, 15)]


def test_cutting_keeps_the_beginning() -> None:
    [kept] = Splitting(40, MODELS[0], too_long="cut").pieces(PARAGRAPHS)
    assert kept.start == 0
    assert 100 < kept.end < 300


def test_a_text_is_cut_alike_each_time() -> None:
    splitting = Splitting(40, MODELS[1], overlap=8)
    assert list(splitting.pieces(TEXTS["digits among words"])) == list(splitting.pieces(TEXTS["digits among words"]))


CHINESE = "".join(map(chr, range(0x4E00, 0x4E80)))
PARTS = st.one_of(
    st.text("0123456789abcdef", min_size=1, max_size=200),
    st.text(CHINESE, min_size=1, max_size=100),
    st.text("กขคงจฉชซาีไเ", min_size=1, max_size=100),
    st.text(min_size=1, max_size=30),
    st.sampled_from([" ", "\n", "\n\n", "\r\n", "\t", ". ", "。", ",", "?! ", "👩‍👩‍👧‍👧", " \n \n", "-"]),
)


def splitter(tokens: int, overlap: int = 0) -> TextSplitter:
    return TextSplitter.from_tiktoken_model("text-embedding-3-small", tokens, overlap)


def texts_of_the_data() -> list[str]:
    """Each file's rows as one long text, once in paragraphs and once in one."""
    texts = []
    for path in sorted((SHARED / "data").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [" ".join(row) for row in csv.reader(file)][:150]
        texts += ["\n\n".join(rows), " ".join(rows)]
    return texts


def test_ordinary_texts_are_shown_to_the_splitter_whole() -> None:
    """As they always were, so that none is cut elsewhere and paid again."""
    base64 = "data:image/png;base64," + "iVBORw0KGgo/AAAANSUhEUg+" * 200
    ordinary = [*texts_of_the_data(), PARAGRAPHS, TEXTS["Chinese"] * 10, "f(x){return[1,2]}" * 1000, base64]
    assert ordinary
    assert not any(map(has_long_run, ordinary))


@pytest.mark.parametrize("overlap", [0, 8])
def test_real_texts_are_cut_where_the_splitter_alone_cuts_them(overlap: int) -> None:
    for text in texts_of_the_data():
        alone = [Span(start, start + len(piece)) for start, piece in splitter(100, overlap).chunk_indices(text)]
        assert list(Splitting(100, MODELS[0], overlap).pieces(text)) == alone


@settings(max_examples=50, deadline=None)
@given(st.lists(PARTS, min_size=20, max_size=200).map("".join), st.sampled_from([(40, 0), (20, 8), (10, 3)]))
def test_texts_without_a_long_run_are_cut_where_the_splitter_alone_cuts_them(text: str, size: tuple[int, int]) -> None:
    tokens, overlap = size
    assume(not has_long_run(text) and counter_for(MODELS[0])(text) > tokens)
    alone = splitter(tokens, overlap).chunk_indices(text)
    fitting = [(start, piece) for start, piece in alone if counter_for(MODELS[0])(piece) <= tokens and piece.strip()]
    spans = set(Splitting(tokens, MODELS[0], overlap).pieces(text))
    assert spans >= {Span(start, start + len(piece)) for start, piece in fitting}


@settings(max_examples=30, deadline=None)
@given(st.lists(PARTS, min_size=20, max_size=200).map("".join))
def test_through_windows_nothing_but_white_space_is_lost(text: str) -> None:
    pieces = list(through_windows(splitter(20), text, 200))
    spans = [Span(0, 0), *(Span(start, start + len(piece)) for start, piece in pieces)]
    assert all(text[span.start : span.end] == piece for span, (_, piece) in zip(spans[1:], pieces, strict=True))
    between = [text[before.end : after.start] for before, after in pairwise(spans)]
    assert not "".join([*between, text[spans[-1].end :]]).strip()


class Shown:
    """A splitter, and how many characters it was shown."""

    def __init__(self, cutting: TextSplitter) -> None:
        self._cutting = cutting
        self.characters = 0

    def chunk_indices(self, text: str) -> list[tuple[int, str]]:
        self.characters += len(text)
        return self._cutting.chunk_indices(text)


@pytest.mark.parametrize(
    "text",
    [
        random.Random(1).randbytes(10_000).hex(),
        "".join(random.Random(1).choices(CHINESE, k=10_000)),
        ",".join(map(str, range(5_000))),
        "x" * 20_000,
    ],
    ids=["hexadecimal", "Chinese", "numbers", "one letter"],
)
def test_a_long_run_is_cut_in_time_that_grows_with_its_length(text: str) -> None:
    """The splitter reads what it is shown once for each piece: no more than some thousand characters at once."""
    assert has_long_run(text)
    shown = Shown(splitter(100))
    pieces = list(through_windows(shown, text, 1200))
    assert "".join(piece for _, piece in pieces) == text
    assert shown.characters < 4 * len(text)


def test_a_long_run_is_cut_through_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Shown(splitter(100))
    monkeypatch.setattr("vector_pipeline.core.documents.splitting._splitter", lambda *_: shown)
    text = "\n\n".join([PARAGRAPHS, random.Random(1).randbytes(5_000).hex(), PARAGRAPHS])
    pieces = list(Splitting(100, MODELS[0]).pieces(text))
    assert [Span(start, start + len(piece)) for start, piece in splitter(100).chunk_indices(text)] == pieces
    assert shown.characters > len(text)
