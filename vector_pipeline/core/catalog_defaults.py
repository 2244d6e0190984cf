"""What an index over MySQL's catalog is when its declaration doesn't say otherwise.

The catalog is read as a table (`core.source.catalog_rows`), so what a declaration leaves out is what that of a table
says: which columns are texts, which are metadata. It is filled in where a declaration is read, and nowhere else, so
that the registry keeps it as it was built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CATALOG_DATABASE = "information_schema"
CATALOG_TABLE = "tables"
CATALOG_KEY = "name"

_TEXTS = ("title", "comment", "columns", "keys")
_SAMPLES = "samples"
_METADATA = ("database", "table", "kind", "engine", "about_rows", "primary_key")
_SOURCE = {"database": CATALOG_DATABASE, "table": CATALOG_TABLE, "primary_key": CATALOG_KEY}
# Names of tables are plurals as often as not: by `english` an order is found where orders are asked for.
_WORDS = {"language": "english", "weights": {"title": 4, "comment": 2, "columns": 1, "keys": 1}}


def _document(shows_rows: bool) -> dict[str, dict[str, str]]:
    texts = (*_TEXTS, _SAMPLES) if shows_rows else _TEXTS
    return {"text": {name: name for name in texts}, "metadata": {name: name for name in _METADATA}}


def with_catalog_defaults(declared: Any) -> Any:
    """The attributes of a declaration, completed if its source is the catalog; anything else as it is."""
    if not isinstance(declared, Mapping):
        return declared
    source = declared.get("source")
    if not isinstance(source, Mapping) or source.get("catalog") is None:
        return declared
    shows_rows = bool(source["catalog"].get("samples")) if isinstance(source["catalog"], Mapping) else False
    complete = {"document": _document(shows_rows)} | dict(declared) | {"source": _SOURCE | dict(source)}
    embedding, search = declared.get("embedding", {}), declared.get("search", {})
    if isinstance(embedding, Mapping) and not embedding.get("template"):
        # One vector a table: a question is about what its name, its columns and its comments say together.
        complete["embedding"] = {"strategy": "concat"} | dict(embedding)
    if isinstance(search, Mapping):
        by_default = {"mode": "hybrid"} | ({} if "document" in declared else {"text": _WORDS})
        complete["search"] = by_default | dict(search)
    return complete
