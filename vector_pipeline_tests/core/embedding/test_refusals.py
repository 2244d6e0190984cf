"""What HTTP errors say and ask for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vector_pipeline.core.embedding.refusals import retry_after

NOW = datetime(2024, 6, 7, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 07 Jun 2024 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 07 Jun 2024 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 07 Jun 2024 12:00:30 +9999999999999"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_a_pause_is_asked_for_in_milliseconds_seconds_or_as_a_date(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds
