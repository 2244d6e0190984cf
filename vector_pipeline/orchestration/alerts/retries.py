"""Failed runs that Dagster may try again by itself (`run_retries`): whether somebody has to be told is known later.

Dagster writes down that a run failed, and afterwards, in another transaction, the tag that says whether it tries again.
Its daemon starts the new run within a minute or so, or doesn't after all: the backfill has ended, the job is gone, the
attempt fails. So what failed is held until the new run is there, which is then looked at itself, or until it is sure,
or has taken too long, that there is none.
"""

from collections.abc import Mapping
from enum import Enum

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._utils.tags import get_boolean_tag_value

from vector_pipeline.orchestration.alerts.trouble import HeldFailure

# The daemon looks for such runs every few seconds, and may be behind.
_PATIENCE_SECONDS = 300.0


class Fate(Enum):
    """What becomes of a failed run."""

    OPEN = "open"
    RETRIED = "retried"
    GIVEN_UP = "given up"


def fate_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Fate:
    """What Dagster has written down of a failed run by now."""
    will_retry = run.tags.get(WILL_RETRY_TAG)
    if will_retry is None:
        return Fate.OPEN if instance.run_retries_enabled else Fate.GIVEN_UP
    if not get_boolean_tag_value(will_retry, default_value=False):
        return Fate.GIVEN_UP
    return Fate.RETRIED if run.tags.get(AUTO_RETRY_RUN_ID_TAG) else Fate.OPEN


def settle(
    instance: dg.DagsterInstance, held: Mapping[str, HeldFailure], now: float
) -> tuple[dict[str, HeldFailure], list[HeldFailure]]:
    """Those that are still to be held, by the run's id, and those that have to be told. A run that was removed is
    neither."""
    if not held:
        return {}, []
    still, told = {}, []
    for run in instance.get_runs(dg.RunsFilter(run_ids=sorted(held))):
        failure = held[run.run_id]
        fate = fate_of(instance, run)
        if fate is Fate.GIVEN_UP or (fate is Fate.OPEN and now - failure.found_at > _PATIENCE_SECONDS):
            told.append(failure)
        elif fate is Fate.OPEN:
            still[run.run_id] = failure
    return still, sorted(told, key=lambda failure: failure.trouble.since)
