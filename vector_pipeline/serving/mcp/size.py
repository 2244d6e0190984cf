"""How long answers may be. Each goes out twice, as text and as structured content; both together are bounded."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from vector_pipeline.serving.mcp.tool import Answer, LongAnswer

MOST_BYTES = 5_000_000
# For what the protocol puts around.
_AROUND = 2_000
_NAMED = 20


class TooLongError(Exception):
    """An answer is too long, and has nothing that could be left out."""


def fitted(answer: Answer, most: int = MOST_BYTES) -> tuple[Answer, str]:
    """The answer as long as it may be, and its JSON text.

    Raises:
        TooLongError
    """
    text = answer.model_dump_json()
    if _bytes(text) <= most - _AROUND:
        return answer, text
    results: list[Any] = list(getattr(answer, "results", ()))
    if not isinstance(answer, LongAnswer) or not results:
        raise TooLongError
    left = most - _AROUND - _bytes(answer.model_copy(update={"results": []}).model_dump_json())
    kept = 0
    while kept < len(results) and (left := left - _bytes(_json(results[kept])) - 4) >= 0:
        kept += 1
    shorter = answer.model_copy(update={"results": results[:kept], "left_out": _told(results[kept:], most)})
    return shorter, shorter.model_dump_json()


def _told(missing: list[Any], most: int) -> str:
    keys = [str(getattr(one, "primary_key_value", "")) for one in missing[:_NAMED]]
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    return (
        f"{len(missing)} of the results, since the answer would be longer than {most / 1e6:g} MB: those with "
        f"primary_key_value {', '.join(keys)}{more}. Ask for less at once: a smaller limit, fewer keys, or with "
        "get_documents fewer columns"
    )


def _json(result: Any) -> str:
    return result.model_dump_json() if isinstance(result, BaseModel) else json.dumps(result, ensure_ascii=False)


def _bytes(text: str) -> int:
    """At most so many: as structured content, and as a string within JSON. The SDK may write either in ASCII."""
    return 2 * len(json.dumps(text))
