"""What the declared rules make of a text."""

from __future__ import annotations

import pytest

from vector_pipeline.core.documents.normalising import collapse_whitespace, in_order, normalised, strip_html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("One&nbsp;<b>two</b>, <i>th</i>ree &amp; &lt;four&gt;", "One two, three & <four>"),
        ("<p>First.</p><p>Second<br>line.</p>", "First.\n\nSecond\nline."),
        ("<ul><li>one</li><li>two</li></ul>after", "one\ntwo\n\nafter"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("seen<script>if (a < b) { unseen() }</script><style>p {}</style><!-- unseen --> too", "seen too"),
        ("broken\n   in the\tsource", "broken in the source"),
        ("5 < 6 and 7<8, I <3 you", "5 < 6 and 7<8, I <3 you"),
        ("<div>never closed", "never closed"),
        ("<img src=x alt='no text'>", ""),
    ],
)
def test_html_becomes_what_a_browser_would_show(html: str, text: str) -> None:
    assert strip_html(html) == text


@pytest.mark.parametrize(
    ("text", "collapsed"),
    [
        ("  a \t\u00a0 b ", "a b"),
        ("a \r\n b", "a\nb"),
        ("a\n \n\t\nb\n", "a\n\nb"),
        (" \n ", ""),
    ],
)
def test_lines_and_paragraphs_stay_apart_where_white_space_is_collapsed(text: str, collapsed: str) -> None:
    assert collapse_whitespace(text) == collapsed


def test_the_rules_are_applied_in_one_order_however_they_are_declared() -> None:
    rules = in_order(["collapse_whitespace", "nfc", "strip_html", "nfc"])
    assert rules == ("strip_html", "nfc", "collapse_whitespace")
    assert normalised("<p>cafe&#x301;</p>  &nbsp; x", rules) == "caf\u00e9\n\nx"
