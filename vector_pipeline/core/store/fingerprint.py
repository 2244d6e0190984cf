"""What makes a vector space, or a generation, another one: its fingerprint.

A vector space is a model, its dimensions and how they are stored. A generation is a space and everything that shapes
the texts. A fact enters a fingerprint only where it is declared, so that one that is new to this project leaves the
indexes that were built before it what they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from vector_pipeline.core.documents.declared import declared_strategy, text_facts
from vector_pipeline.core.errors import UnreadableIndexError
from vector_pipeline.core.source.plan import source_column_name
from vector_pipeline.core.spec import IndexSpec, Storage

Facts = dict[str, object]

# Ranges are cut, and documents known, by the key: another one is another index.
KEY_FACT = "primary_key"
TEXTS_FACT = "texts"
STORAGE_FACT = "storage"
_POOLING, _QUERY_PREFIX, _DOCUMENT_PREFIX = "pooling", "query prefix", "document prefix"
_SPACE_FACTS = frozenset({"model", "dimensions", "padded to", _POOLING, _QUERY_PREFIX, _DOCUMENT_PREFIX, STORAGE_FACT})

# What holds where nothing is declared.
_UNDECLARED = {"dimensions": "the model's own", STORAGE_FACT: "vector", "too long": "split"}
_QUOTED = frozenset({_QUERY_PREFIX, _DOCUMENT_PREFIX, "template"})


@dataclass(frozen=True)
class WantedSpace:
    """The vector space that a declaration and its environment ask for; `padded_to` is EMBEDDING_EXPECTED_DIM, and
    `pooling` how token vectors become one, None where there are none.
    """

    provider: str
    model: str
    dimensions: int | None
    padded_to: int | None
    pooling: str | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    storage: Storage = "vector"

    def fingerprint(self, native_dimensions: int) -> str:
        """The facts in the form in which the registry keeps them."""
        return json.dumps(self.facts(native_dimensions), ensure_ascii=False)

    def facts(self, native_dimensions: int) -> Facts:
        """What makes it another space where it differs, for a model with vectors of that length."""
        # Padding to the length that the vectors have anyway is none.
        padded_to = None if self.padded_to == native_dimensions else self.padded_to
        facts: Facts = {"model": self.model, "dimensions": self.dimensions, "padded to": padded_to}
        extra = {
            _POOLING: self.pooling,
            _QUERY_PREFIX: self.query_prefix,
            _DOCUMENT_PREFIX: self.document_prefix,
            STORAGE_FACT: None if self.storage == "vector" else self.storage,
        }
        return facts | {name: fact for name, fact in extra.items() if fact}


def generation_fingerprint(spec: IndexSpec, wanted: WantedSpace, native_dimensions: int) -> str:
    """The facts of a generation in the form in which the registry keeps them."""
    return json.dumps(generation_facts(spec, wanted, native_dimensions), ensure_ascii=False)


def generation_facts(spec: IndexSpec, wanted: WantedSpace, native_dimensions: int) -> Facts:
    """Everything that shapes the texts and the vectors, and the key that cuts the ranges."""
    key = spec.source.key_columns
    facts: Facts = {
        KEY_FACT: key[0] if len(key) == 1 else list(key),
        "strategy": declared_strategy(spec.embedding),
        TEXTS_FACT: [[name, source_column_name(entry)] for name, entry in spec.document.text.items()],
    }
    return wanted.facts(native_dimensions) | facts | text_facts(spec.embedding)


def space_facts(facts: Facts) -> Facts:
    """Those of a generation's facts that make its vector space."""
    return {name: fact for name, fact in facts.items() if name in _SPACE_FACTS}


def read_fingerprint(index: str, fingerprint: str) -> Facts:
    """The facts of a stored fingerprint.

    Raises:
        UnreadableIndexError: it has none.
    """
    facts = _facts(fingerprint)
    if not {KEY_FACT, TEXTS_FACT} <= facts.keys():
        raise UnreadableIndexError(index)
    return facts


def pooling_of(fingerprint: str) -> object:
    """How a stored fingerprint has token vectors become one; None where there are none, or nothing is declared."""
    return _facts(fingerprint).get(_POOLING)


def _facts(fingerprint: str) -> Facts:
    """Those that can be read."""
    try:
        facts = json.loads(fingerprint)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def differences(built: Facts, declared: Facts) -> dict[str, str]:
    """By fact, `what was built → what is declared`; empty where they are the same."""
    return {
        name: f"{_in_words(name, built.get(name))} → {_in_words(name, declared.get(name))}"
        for name in dict.fromkeys((*built, *declared))
        if built.get(name) != declared.get(name)
    }


def _in_words(name: str, fact: object) -> str:
    """A fact as people read it: a setting that isn't declared is what it is without, and texts whose spaces count are
    quoted."""
    if fact is None:
        return _UNDECLARED.get(name, "none")
    if isinstance(fact, str):
        return repr(fact) if name in _QUOTED else fact
    if name == TEXTS_FACT and isinstance(fact, list):
        return ", ".join(text if text == column else f"{text} from {column}" for text, column in fact)
    if isinstance(fact, list):
        return ", ".join(map(str, fact))
    if isinstance(fact, dict):
        return ", ".join(f"{key} {value}" for key, value in fact.items())
    return str(fact)
