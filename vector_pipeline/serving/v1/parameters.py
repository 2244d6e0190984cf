"""Parameters that several routes take."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

LONGEST_NAME = 200
LONGEST_KEY = 3072
"""Characters; MySQL's longest keys have as many bytes."""

IndexPath = Annotated[
    str, Path(min_length=1, max_length=LONGEST_NAME, description="The index's name.", examples=["genie_documents"])
]
Limit = Annotated[int, Query(ge=1, le=1000, description="The most to list.")]
