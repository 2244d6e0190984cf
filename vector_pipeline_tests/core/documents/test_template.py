"""What a declared template may do, what it may not, and which line is to blame."""

from __future__ import annotations

import pytest

from vector_pipeline.core.documents.template import TextTemplate, TextTemplateError

ROW = {"question": "How?", "answer": "", "long": "word " * 400}


def _rendered(source: str) -> str:
    template = TextTemplate(source)
    template.refuse_unknown(ROW)
    return template.render(ROW)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Q: {{ question }}{% if answer %}\nA: {{ answer }}{% endif %}\n", "Q: How?"),
        ("{{ question | upper }} {{ '<b>' }}", "HOW? <b>"),
        ("{% for word in long.split()[:3] %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "1/3 2/3 3/3 "),
        ("{% set first = question[0] %}{{ first ~ 1 }}", "H1"),
        ("{{ 'äöü' }}{{ answer or 'none' }}", "äöünone"),
    ],
)
def test_a_template_puts_the_texts_of_a_row_together(source: str, text: str) -> None:
    assert _rendered(source) == text


@pytest.mark.parametrize(
    ("source", "line", "problem"),
    [
        ("{{ question }}\n{{ questoin }}", 2, "'questoin' is no served text; use question, answer, long"),
        ("\n\n{% if %}", 3, "Expected an expression"),
        ("{{ question", 1, "unexpected end of template"),
        ("a\n{{ question | shout }}", 2, "No filter named 'shout'"),
        ("\n{{ question.__class__ }}", 2, "access to '__class__' is not allowed"),
        ("\n{{ question['__class__'] }}", 2, "access to '__class__' is not allowed"),
        ("\n{{ question | attr('__class__') }}", 2, "unsafe"),
        ("{{ '{0.__class__}'.format(question) }}", 1, "unsafe"),
        ("\n{% macro again() %}{{ again() }}{% endmacro %}", 2, "macro has no place"),
        ("{% include 'secrets.txt' %}", 1, "include has no place"),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", 1, "a recursive loop has no place"),
        ("{{ lipsum() }}", 1, "'lipsum' is no served text"),
        ("{{ question | random }}", 1, "No filter named 'random'"),
        ("{{ question.upper }}", 1, "is no text"),
        ("\n{{ question.shout() }}", 2, "has no attribute 'shout'"),
        ("\n{{ question.split()[7] }}", 2, "has no element 7"),
        ("\n{{ 1 / (answer | length) }}", 2, "it raises ZeroDivisionError"),
        ("{{ range(10 ** 9) }}", 1, "** is not allowed"),
        ("\n{% for i in range(1000000000) %}{% endfor %}", 2, "it raises OverflowError"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", 1, "more than 100000 turns"),
        ("{% for a in long %}{% for b in long %}{% endfor %}{% endfor %}", 1, "more than 100000 turns"),
        ("{{ 'x' * 99999999 }}", 1, "too long"),
        ("{% for a in range(9) %}{{ 'x' * 9999999 }}{% endfor %}", None, "it writes more than"),
    ],
)
def test_what_a_template_may_not_do_is_told_with_its_line(source: str, line: int | None, problem: str) -> None:
    with pytest.raises(TextTemplateError) as refused:
        _rendered(source)
    assert refused.value.line == line
    assert problem in refused.value.problem


def test_an_error_over_a_row_does_not_quote_its_texts() -> None:
    with pytest.raises(TextTemplateError) as failed:
        TextTemplate("{{ long.index(question) }}").render(ROW)
    assert "How?" not in str(failed.value)
