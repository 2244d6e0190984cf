"""Runs that ended since a moment. After a long stop there may be many, so they are read page by page."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord

# A page takes some 0.3 s and 10 MB.
_PAGE = 1000
_STATUSES = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def ended_runs(instance: dg.DagsterInstance, since: float, page: int = _PAGE) -> Iterator[RunRecord]:
    """All runs that ended well or failed after `since` (seconds since 1970), in no order; some may come twice.

    Those that end while this reads may be missing: they have ended after it began.
    """
    updated = dg.RunsFilter(statuses=_STATUSES, updated_after=datetime.fromtimestamp(since, UTC))
    last: str | None = None
    while True:
        records = instance.get_run_records(updated, limit=page, cursor=last)
        # A run that ended long ago and was given a tag since is no news.
        yield from (record for record in records if end_of(record) > since)
        if len(records) == page:
            last = records[-1].dagster_run.run_id
        elif last is None or instance.has_run(last):
            return
        else:
            # Behind a run that has been removed meanwhile Dagster finds nothing, whatever there is.
            last = None


def end_of(record: RunRecord) -> float:
    """When a run ended, in seconds since 1970."""
    return record.end_time if record.end_time is not None else record.update_timestamp.timestamp()
