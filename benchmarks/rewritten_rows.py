"""How many documents PostgreSQL really wrote: inserted and updated tuples, by the server's own count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vector_pipeline_tests.workbench import Workbench

_LOOK_SECONDS = 0.05
_GIVE_UP_SECONDS = 30.0


@dataclass
class Rewritten:
    """Known when the block is over."""

    rows: int = 0


@contextmanager
def count_rewritten(workbench: Workbench, schema: str) -> Iterator[Rewritten]:
    """Counts what the block writes into the documents of an index; it has to close its connections itself."""
    counted = Rewritten()
    before = _written(workbench, schema)
    yield counted
    counted.rows = _written(workbench, schema) - before


def _written(workbench: Workbench, schema: str) -> int:
    _wait_until_others_are_gone(workbench)
    [(written,)] = workbench.postgres(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE schemaname = %s AND relname = 'documents'",
        (schema,),
    )
    return int(written)


def _wait_until_others_are_gone(workbench: Workbench) -> None:
    """A session hands in what it has counted when it ends, if not before."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    while workbench.postgres(others) != [(0,)]:
        if time.monotonic() > deadline:
            raise TimeoutError("sessions of PostgreSQL stay open that should have ended")
        time.sleep(_LOOK_SECONDS)
