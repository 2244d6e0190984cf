"""A declared Jinja template that makes one text of a row's texts: checked when it is declared, bounded when it runs.

It runs in Jinja's sandbox, where nothing but the row's texts, `range` and Jinja's filters can be named. Each text comes
out alike whenever it is rendered again, so nothing random is offered; each rendering ends, since the turns of its loops
are counted and its output has a greatest length.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range

# Three columns of MEDIUMTEXT, and more than any model reads.
LONGEST_TEXT = 50_000_000
MOST_TURNS = 100_000

_FILENAME = "<template>"
_COUNTED = "counted"
# No served name can stand in a template that has a blank.
_TURNS = "turns left"
_REFUSED_TAGS: dict[type[nodes.Node], str] = {
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Include: "include",
    nodes.Extends: "extends",
    nodes.Block: "block",
}


class TextTemplateError(Exception):
    """A template can't be used, or fails on a row's texts. `line` is that of the template, None where it isn't known.

    Carries nothing of the texts.
    """

    def __init__(self, line: int | None, problem: str) -> None:
        self.line = line
        self.problem = problem
        super().__init__(f"line {line}: {problem}" if line is not None else problem)


@dataclass
class _Turns:
    left: int = MOST_TURNS


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("** is not allowed")
        for repeated, times in ((left, right), (right, left)):
            sized = isinstance(repeated, str | list | tuple) and isinstance(times, int)
            if sized and len(repeated) * times > LONGEST_TEXT:
                raise SecurityError("* makes a text that is too long")
        return super().call_binop(context, operator, left, right)


def _printable(value: Any) -> Any:
    # Anything else would print an address, another one each time.
    if isinstance(value, str | int | float) or value is None:
        return value
    if isinstance(value, StrictUndefined):
        return str(value)  # raises what is undefined
    raise SecurityError(f"a {type(value).__name__} is no text; name one of its members, or use the filter `join`")


@pass_context
def _counted(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    turns = context[_TURNS]
    for value in values:
        turns.left -= 1
        if turns.left < 0:
            raise SecurityError(f"its loops make more than {MOST_TURNS} turns")
        yield value


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, autoescape=False, finalize=_printable)
    environment.globals.clear()
    environment.globals["range"] = safe_range
    del environment.filters["random"]
    environment.filters[_COUNTED] = _counted
    return environment


_ENVIRONMENT = _environment()


class TextTemplate:
    """A template that was read.

    Raises:
        TextTemplateError: it isn't one, or names what a template may not.
    """

    def __init__(self, source: str) -> None:
        try:
            tree = _ENVIRONMENT.parse(source)
            _refuse(tree)
            self._named = {
                name: next(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
                for name in meta.find_undeclared_variables(tree) - _ENVIRONMENT.globals.keys()
            }
            for loop in tree.find_all(nodes.For):
                loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
            self._template = _ENVIRONMENT.from_string(tree)
        except TemplateSyntaxError as error:
            raise TextTemplateError(error.lineno, error.message or "it can't be read") from None

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Raises:
        TextTemplateError: the template names something that is none of `names`.
        """
        known = list(names)
        for name, line in sorted(self._named.items(), key=lambda named: named[1]):
            if name not in known:
                raise TextTemplateError(line, f"{name!r} is no served text; use {', '.join(known)}")

    def render(self, texts: Mapping[str, str]) -> str:
        """The text that the template makes of a row's texts, which are by their served names.

        Raises:
            TextTemplateError: it fails on them.
        """
        written: list[str] = []
        length = 0
        try:
            for piece in self._template.generate({**texts, _TURNS: _Turns()}):
                length += len(piece)
                if length > LONGEST_TEXT:
                    raise SecurityError(f"it writes more than {LONGEST_TEXT} characters")
                written.append(piece)
        except Exception as error:  # whatever an expression can raise
            # The words of other errors quote the texts.
            problem = (error.message or "") if isinstance(error, TemplateError) else f"it raises {type(error).__name__}"
            raise TextTemplateError(_line_of(error), problem) from None
        return "".join(written)


def _refuse(tree: nodes.Template) -> None:
    for node in tree.find_all(tuple(_REFUSED_TAGS)):
        raise TextTemplateError(node.lineno, f"{_REFUSED_TAGS[type(node)]} has no place in the template of a text")
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TextTemplateError(loop.lineno, "a recursive loop has no place in the template of a text")
    for access in tree.find_all(nodes.Getattr):
        if access.attr.startswith("_"):
            raise TextTemplateError(access.lineno, f"access to {access.attr!r} is not allowed")
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.arg, nodes.Const) and str(item.arg.value).startswith("_"):
            raise TextTemplateError(item.lineno, f"access to {item.arg.value!r} is not allowed")


def _line_of(error: Exception) -> int | None:
    """The line of the template in which it was raised: Jinja puts it into the traceback."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _FILENAME]
    return lines[-1] if lines else None


@functools.lru_cache(maxsize=64)
def read_template(source: str) -> TextTemplate:
    """The template of that source, read once.

    Raises:
        TextTemplateError: it isn't one.
    """
    return TextTemplate(source)
