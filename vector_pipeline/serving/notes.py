"""Notes of answers in the words of the API. The core ends some with the error of a server behind this one, which names
the server and repeats what it said: that is for the log."""

from __future__ import annotations

import logging

from vector_pipeline.core.search.by_mode import WORDS_ALONE
from vector_pipeline.core.search.reranking import NOT_RERANKED
from vector_pipeline.serving.errors import EMBEDDING_UNAVAILABLE, new_reference

# What the core says before an error, and what is to blame.
_BLAMED = {WORDS_ALONE: EMBEDDING_UNAVAILABLE, NOT_RERANKED: "Reranking service unavailable"}

_log = logging.getLogger(__name__)


def told_note(note: str) -> str:
    """The note as a client is told it, with a reference where the log has more."""
    said, _, error = note.partition(": ")
    if not error or said not in _BLAMED:
        return note
    reference = new_reference()
    _log.warning("%s: %s", reference, note)
    return f"{said}: {_BLAMED[said]} (reference {reference})"


def told_note_of_one(note: str) -> str:
    """The same for a note of several indexes' answer, which has the index in front."""
    index, _, of_index = note.partition(": ")
    return f"{index}: {told_note(of_index)}"
