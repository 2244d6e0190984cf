"""Names of columns that hold secrets, as far as names tell: their values are shown to nobody unasked."""

from __future__ import annotations

import re

_SECRETS = re.compile(r"passw|pwd|secret|token|api_?key|private_?key|credential|salt", re.IGNORECASE)


def speaks_of_a_secret(column: str) -> bool:
    """Whether a column is named like one."""
    return _SECRETS.search(column) is not None
