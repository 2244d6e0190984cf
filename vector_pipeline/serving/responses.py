"""What routes answer where they have no result, as the OpenAPI document declares it.

What is refused before a route is reached, `access` declares for all of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """One thing that is wrong with a request."""

    type: str
    loc: list[str | int] = Field(description="Where it stands in the request.")
    msg: str


class InvalidRequest(BaseModel):
    """What is wrong with a request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "detail": [
                        {
                            "type": "string_too_short",
                            "loc": ["body", "query"],
                            "msg": "String should have at least 1 character",
                        }
                    ]
                }
            ]
        }
    )

    detail: list[Problem]


class Refused(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "no index 'orders' is declared"}]})

    detail: str


class Unavailable(BaseModel):
    """Which service is down."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"detail": "Embedding service unavailable", "reference": "8c1d20f3a9b4"}]}
    )

    detail: str
    reference: str = Field(description="The log tells the rest under it.")


Responses = dict[int | str, dict[str, Any]]


def _refused(status: int, description: str) -> Responses:
    return {status: {"model": Refused, "description": description}}


NOT_FOUND = _refused(404, "There is no such thing")
CONFLICT = _refused(409, "It can't be done as things stand: the index is not synced yet, or declared wrongly")
INVALID: Responses = {422: {"model": InvalidRequest, "description": "The request can't be answered as it is"}}
UNAVAILABLE: Responses = {503: {"model": Unavailable, "description": "A service that is needed is down"}}
OF_AN_INDEX: Responses = NOT_FOUND | CONFLICT | INVALID | UNAVAILABLE
"""What routes of one index answer beside their result."""
