"""Where a long text is cut: pieces fit, lose nothing, overlap as declared, and end where the text does."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vector_pipeline.core.documents.splitting import Span, Splitting, TooLong
from vector_pipeline.core.embedding.tokens import counter_for

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
