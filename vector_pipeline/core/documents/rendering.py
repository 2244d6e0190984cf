"""From a row to the texts that are embedded. A text is known by the SHA-256 of its UTF-8 form.

The same row gives the same texts, whether its values come from MySQL or from the documents that PostgreSQL
stores: that is what lets the proof of parity render them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NewType

from vector_pipeline.core.documents.normalising import Rule, normalised
from vector_pipeline.core.documents.splitting import Span, Splitting
from vector_pipeline.core.documents.template import TextTemplateError, read_template

ContentHash = NewType("ContentHash", bytes)
Strategy = Literal["separate", "concat", "average", "template"]

WHOLE_FIELD = "text"
"""The field of a vector that stands for all texts of a row."""

# No served name has a % in it, so that no search and no ANN index ever meets the vectors of parts.
_PART = "%"
# As many as `ordinal`, a smallint, can number.
MOST_PASSAGES = 32_768


class RenderingError(Exception):
    """The texts of one row can't be made as declared. Says which setting fails on it; carries nothing of the texts."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One vector that a document needs: the `ordinal`-th of a field.

    Attributes:
        content_hash: the text's, or for a mean one made from the hashes of its parts.
        text: what is embedded; None for the mean of other vectors, which nobody is asked for.
        span: the text's place in that of its field, None where it is the whole of it.
    """

    field: str
    ordinal: int
    content_hash: ContentHash
    text: str | None
    span: Span | None = None


@dataclass(frozen=True)
class Rendering:
    """How a row becomes texts: the declared strategy over the served names of its text columns.

    `splitting` is None in indexes that were built before there was any.
    """

    strategy: Strategy
    names: tuple[str, ...]
    template: str | None = None
    normalise: tuple[Rule, ...] = ()
    splitting: Splitting | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that are searched."""
        return self.names if self.strategy == "separate" else (WHOLE_FIELD,)

    @property
    def embedded_fields(self) -> tuple[str, ...]:
        """The fields of which texts are embedded: with `average` those of the parts."""
        return tuple(map(part_field, self.names)) if self.averages else self.fields

    @property
    def averages(self) -> bool:
        """Whether what is searched are means of the vectors of `embedded_fields`."""
        return self.strategy == "average"

    def passages(self, texts: Sequence[str | None]) -> Iterator[Passage]:
        """What is embedded of a row, `texts` in the order of `names`. A text of nothing but white space is left out.

        Raises:
            RenderingError: the template fails on the row, or it has more passages than can be numbered.
        """
        embedded: list[ContentHash] = []
        for field, text in self.texts_of(texts).items():
            for ordinal, span in enumerate(self._pieces(text)):
                if ordinal == MOST_PASSAGES:
                    raise RenderingError(
                        f"its text {field.lstrip(_PART)!r} has more than {MOST_PASSAGES} passages: declare a larger "
                        "embedding.split.tokens"
                    )
                piece = text[span.start : span.end]
                whole = len(piece) == len(text)
                embedded.append(hash_text(piece))
                yield Passage(field, ordinal, embedded[-1], piece, None if whole else span)
        if self.averages and embedded:
            yield Passage(WHOLE_FIELD, 0, _hash_of_mean(embedded), None)

    def texts_of(self, texts: Sequence[str | None]) -> dict[str, str]:
        """The whole text of each embedded field that has one.

        Raises:
            RenderingError: the template fails on the row.
        """
        values = [normalised(storable(text) or "", self.normalise) for text in texts]
        if self.strategy == "concat":
            found = {WHOLE_FIELD: "\n".join(values)}
        elif self.strategy == "template":
            found = {WHOLE_FIELD: self._by_template(dict(zip(self.names, values, strict=True)))}
        else:
            found = dict(zip(self.embedded_fields, values, strict=True))
        return {field: text for field, text in found.items() if text.strip()}

    def _by_template(self, values: Mapping[str, str]) -> str:
        assert self.template is not None
        try:
            # A NUL character that the template itself makes.
            return read_template(self.template).render(values).replace("\0", "")
        except TextTemplateError as error:
            raise RenderingError(f"embedding.template, {error}") from None

    def _pieces(self, text: str) -> Iterator[Span]:
        return iter([Span(0, len(text))]) if self.splitting is None else self.splitting.pieces(text)

    def to_json(self) -> dict[str, Any]:
        """The form in which the registry keeps it."""
        written: dict[str, Any] = {"strategy": self.strategy, "names": list(self.names)}
        if self.template is not None:
            written["template"] = self.template
        if self.normalise:
            written["normalise"] = list(self.normalise)
        if self.splitting is not None:
            split = self.splitting
            written["splitting"] = {
                "tokens": split.tokens,
                "model": split.model,
                "overlap": split.overlap,
                "too_long": split.too_long,
            }
        return written

    @staticmethod
    def from_json(written: Mapping[str, Any]) -> Rendering:
        """Reads what `to_json` wrote, in this version or an earlier one."""
        split = written.get("splitting")
        return Rendering(
            written["strategy"],
            tuple(written["names"]),
            written.get("template"),
            tuple(written.get("normalise", ())),
            Splitting(**split) if split is not None else None,
        )


def part_field(name: str) -> str:
    """The field of those vectors of a served text that are only there to be averaged."""
    return _PART + name


def shown_field(field: str) -> str:
    """The field as people know it."""
    return field.lstrip(_PART)


def hash_text(text: str) -> ContentHash:
    """The identity of a text."""
    return ContentHash(hashlib.sha256(text.encode()).digest())


def _hash_of_mean(parts: Sequence[ContentHash]) -> ContentHash:
    # A mean doesn't depend on the order. No text begins with NUL, so that none has the hash of a mean.
    return ContentHash(hashlib.sha256(b"\0mean" + b"".join(sorted(parts))).digest())


def storable(text: str | None) -> str | None:
    """The text as PostgreSQL can store it: without NUL characters."""
    return text.replace("\0", "") if text else text
