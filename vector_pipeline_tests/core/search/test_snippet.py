"""Marked words, safe on a page."""

from __future__ import annotations

from vector_pipeline.core.search.snippet import START, STOP, choose_snippet


def test_what_a_text_says_in_html_is_shown_and_not_obeyed() -> None:
    snippet = choose_snippet({"answer": f'<img onerror="x"> {START}fish{STOP} & <mark>chips</mark>'})
    assert snippet is not None
    assert snippet.html == "&lt;img onerror=&quot;x&quot;&gt; <mark>fish</mark> &amp; &lt;mark&gt;chips&lt;/mark&gt;"
    assert snippet.text == '<img onerror="x"> fish & <mark>chips</mark>'


def test_the_text_with_most_of_the_words_is_chosen() -> None:
    headlines = {
        "question": f"{START}fish{STOP}, {START}Fish{STOP}, {START}fish{STOP}",
        "answer": f"{START}fish{STOP} on the {START}market{STOP}",
        "note": None,
    }
    snippet = choose_snippet(headlines)
    assert snippet is not None
    assert snippet.field == "answer"


def test_there_is_none_without_the_words() -> None:
    assert choose_snippet({"question": "meat", "answer": ""}) is None
