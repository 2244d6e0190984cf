"""What is told of runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from vector_pipeline.serving import dagster_client as dagster
from vector_pipeline.serving.launching import SyncOutcome
from vector_pipeline.serving.v1 import examples


class Run(BaseModel):
    """A run of Dagster's."""

    id: str
    job: str
    index: str | None = Field(description="null for a run of all indexes, or of none.")
    status: dagster.RunStatus
    finished: bool
    url: str = Field(description="Where Dagster's UI shows it.")
    created: datetime
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of(cls, run: dagster.Run) -> Run:
        """As Dagster has told of it."""
        return cls(
            id=run.id,
            job=run.job,
            index=run.index,
            status=run.status,
            finished=run.finished,
            url=run.url,
            created=datetime.fromtimestamp(run.created, UTC),
            started=None if run.started is None else datetime.fromtimestamp(run.started, UTC),
            ended=None if run.ended is None else datetime.fromtimestamp(run.ended, UTC),
        )


class RunList(BaseModel):
    """Runs, the latest first."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.RUN_LIST))

    runs: list[Run]
    next_before: str | None = Field(description="`before` of the next page; null where this is the last.")


class RunDetails(BaseModel):
    """A run and what it has told."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.RUN_DETAILS))

    run: Run
    metadata: Mapping[str, dagster.Value] = Field(description="Numbers and words of its outputs, so far.")
    failure: str | None = Field(description="Why it failed, if it did.")


class Outcome(BaseModel):
    """What a finished run has done."""

    model_config = ConfigDict(from_attributes=True)

    documents_written: int
    deleted: int
    texts_embedded: int
    cost: float | None = Field(description="USD; null where the price is unknown.")
    paused: str | None = Field(description="Why texts wait, if any do.")
    failure: str | None = Field(description="Why it failed, if it did; then the numbers are 0.")


class StartedRun(BaseModel):
    """The run that was asked for."""

    model_config = ConfigDict(json_schema_extra=examples.shown(examples.STARTED_RUN, examples.GOING_ON))

    run: Run
    joined: bool = Field(description="Somebody else had asked for it already.")
    outcome: Outcome | None = Field(description="null as long as it has not finished.")

    @classmethod
    def of(cls, run: dagster.Run, joined: bool, outcome: SyncOutcome | None) -> StartedRun:
        """As it stands."""
        told = None if outcome is None else Outcome.model_validate(outcome)
        return cls(run=Run.of(run), joined=joined, outcome=told)
