"""Dagster as the service sees it: jobs are launched and runs followed over the GraphQL API of its webserver.

Long work is always a Dagster run, so that whoever started it sees the same run in the UI, and a restart of the service
loses nothing. Importing Dagster itself would cost every process of the service seconds and 150 MB.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self

import httpx2

from vector_pipeline.core.embedding.http_library import authorities
from vector_pipeline.core.errors import VectorPipelineError
from vector_pipeline.serving import dagster_queries as queries

DEFAULT_URL = "http://127.0.0.1:3000"
CODE_LOCATION = "vector_pipeline"
"""As `workspace.yaml` names it."""
INDEX_TAG = "vector/index"
"""Of every run of an index, whoever starts it; the value is the index's name."""

_REPOSITORY = "__repository__"  # that of a code location made of one `Definitions`
_CONNECT_SECONDS = 3.0
_ANSWER_SECONDS = 15.0
# A code location of many indexes takes some ten seconds; dagster.yaml gives it 60.
_RELOAD_SECONDS = 90.0
# The webserver asks the code location for the job first; an answer that is not waited for leaves a run unknown to us.
_LAUNCH_SECONDS = 45.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.0
_EVENTS_AT_ONCE = 1000

Value = int | float | str | bool | None


class DagsterUnavailableError(VectorPipelineError):
    """Dagster's webserver can't be reached, is too slow, or answers with something else than its API."""


class DagsterRefusedError(VectorPipelineError):
    """Dagster is there and does not do what was asked of it. Carries its words."""


class UnknownJobError(DagsterRefusedError):
    """The code location has no such job."""


class UnknownRunError(DagsterRefusedError):
    """Dagster has no such run (any more)."""


class RunStatus(Enum):
    """The status of a run, in Dagster's words."""

    QUEUED = "QUEUED"
    NOT_STARTED = "NOT_STARTED"
    MANAGED = "MANAGED"
    STARTING = "STARTING"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    CANCELING = "CANCELING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELED = "CANCELED"

    @property
    def finished(self) -> bool:
        return self in {RunStatus.SUCCESS, RunStatus.FAILURE, RunStatus.CANCELED}


UNFINISHED = tuple(status for status in RunStatus if not status.finished)


@dataclass(frozen=True)
class Run:
    """A run of a job. Times are seconds since 1970, None for what hasn't happened yet."""

    id: str
    job: str
    status: RunStatus
    url: str
    tags: Mapping[str, str]
    created: float
    started: float | None
    ended: float | None

    @property
    def finished(self) -> bool:
        return self.status.finished

    @property
    def succeeded(self) -> bool:
        return self.status is RunStatus.SUCCESS

    @property
    def index(self) -> str | None:
        """The index that it works for, None for a run of all or of none."""
        return self.tags.get(INDEX_TAG)


@dataclass(frozen=True)
class RunResult:
    """What a finished run tells: the metadata of its ops' outputs by their names, and why it failed, if it did."""

    metadata: Mapping[str, Value]
    failure: str | None

    def number(self, name: str) -> int:
        """A whole number of the metadata, 0 where the run told none."""
        value = self.metadata.get(name)
        return value if isinstance(value, int) else 0


class DagsterClient:
    """One webserver. Safe for use from several threads; every call waits for its answer.

    All calls raise `DagsterUnavailableError` where there is no answer in time.

    Args:
        url: where the service reaches the webserver.
        public_url: where people reach it, for the URLs of runs; the same if left out.
        location: the name of our code location in its workspace.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        public_url: str | None = None,
        location: str = CODE_LOCATION,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self._public_url = (public_url or url).rstrip("/")
        self._location = location
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(answer_seconds, connect=min(answer_seconds, _CONNECT_SECONDS)),
            verify=authorities(),
            trust_env=False,  # the environment's proxy is for the provider, and none leads to Dagster
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def version(self) -> str:
        """Dagster's version: the shortest question that shows whether it answers."""
        return str(self._ask(queries.VERSION)["version"])

    def url_of(self, run_id: str) -> str:
        """Where the UI shows a run."""
        return f"{self._public_url}/runs/{run_id}"

    def reload_code_location(self) -> None:
        """Has the code location read the declarations again, and waits until it has.

        Raises:
            DagsterRefusedError: it can't be reloaded, or doesn't load; the remedy is named.
        """
        answer = self._ask(queries.RELOAD, seconds=_RELOAD_SECONDS, location=self._location)
        reloaded = _only(answer)
        if reloaded["__typename"] != "WorkspaceLocationEntry":
            raise DagsterRefusedError(
                f"the code location {self._location!r} can't be reloaded: {_message(reloaded)}; reload it in the UI "
                f"({self._public_url}/locations), or restart the code server"
            )
        loaded = reloaded["locationOrLoadError"]
        if loaded is None or loaded["__typename"] != "RepositoryLocation":
            raise DagsterRefusedError(
                f"the code location {self._location!r} does not load: {_innermost(loaded or {})}; see "
                f"{self._public_url}/locations"
            )

    def has_job(self, name: str) -> bool:
        """Whether the code location, as it was last loaded, has a job of that name."""
        selector = {"pipelineName": name, "repositoryName": _REPOSITORY, "repositoryLocationName": self._location}
        found = _only(self._ask(queries.JOB, selector=selector))
        if found["__typename"] == "PythonError":
            raise DagsterRefusedError(f"Dagster can't tell of job {name!r}: {_message(found)}")
        return bool(found["__typename"] == "Pipeline" or found["__typename"] == "Job")

    def launch_job(
        self, name: str, run_config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> Run:
        """Starts a run of a job, or puts it into Dagster's queue.

        Raises:
            UnknownJobError: the code location has no such job.
            DagsterRefusedError: the configuration is wrong, or Dagster failed; in its words.
        """
        params = {
            "selector": {
                "jobName": name,
                "repositoryName": _REPOSITORY,
                "repositoryLocationName": self._location,
            },
            "runConfigData": json.dumps(run_config or {}),  # JSON is YAML
            "executionMetadata": {"tags": _tags(tags or {})},
        }
        # Not sent twice: a launch whose answer was lost may have been one.
        launched = _only(self._ask(queries.LAUNCH, seconds=_LAUNCH_SECONDS, params=params))
        match launched["__typename"]:
            case "LaunchRunSuccess":
                return self._run(launched["run"])
            case "PipelineNotFoundError":
                raise UnknownJobError(
                    f"Dagster's code location {self._location!r} has no job {name!r}; reload it ({self._public_url}"
                    "/locations), and see whether the index is declared"
                )
            case "RunConfigValidationInvalid":
                said = "; ".join(str(error["message"]) for error in launched["errors"])
                raise DagsterRefusedError(f"the configuration of job {name!r} is wrong: {said}")
            case _:
                raise DagsterRefusedError(f"Dagster does not start job {name!r}: {_message(launched)}")

    def run(self, run_id: str) -> Run:
        """A run as it stands.

        Raises:
            UnknownRunError: there is none of that id.
        """
        return self._run(self._found_run(queries.ONE_RUN, run_id))

    def wait(self, run_id: str, seconds: float, abandoned: Callable[[], bool] = lambda: False) -> Run:
        """Waits until a run has finished, so many seconds at most. Returns it as it then stands.

        Args:
            abandoned: whether nobody waits any more.
        """
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE_SECONDS
        while not (run := self.run(run_id)).finished:
            left = deadline - time.monotonic()
            if left <= 0 or abandoned():
                break
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return run

    def result(self, run_id: str) -> RunResult:
        """What a run has told so far; all of it once it has finished.

        Raises:
            UnknownRunError: there is none of that id.
        """
        metadata: dict[str, Value] = {}
        failure, cursor, more = None, None, True
        while more:
            page = self._found_run(queries.EVENTS, run_id, cursor=cursor, limit=_EVENTS_AT_ONCE)["eventConnection"]
            for event in page["events"]:
                if event["__typename"] == "ExecutionStepOutputEvent":
                    metadata |= {entry["label"]: _value(entry) for entry in event["metadataEntries"]}
                elif event["__typename"] in {"ExecutionStepFailureEvent", "RunFailureEvent"}:
                    failure = failure or _innermost(event.get("error") or event)
            cursor, more = page["cursor"], page["hasMore"]
        return RunResult(metadata, failure)

    def runs(self, index: str | None = None, limit: int = 20, before: str | None = None) -> list[Run]:
        """The latest runs, newest first: those of an index, or all.

        Args:
            before: the id of a run; only those that are older than it.
        """
        return self._runs({INDEX_TAG: index} if index is not None else {}, limit=limit, cursor=before)

    def unfinished_runs(
        self, index: str | None = None, *, job: str | None = None, tags: Mapping[str, str] | None = None
    ) -> list[Run]:
        """The runs that wait or work: of an index, of a job, with these tags. A killed run counts until Dagster's
        monitoring has noticed."""
        wanted = dict(tags or {}) | ({INDEX_TAG: index} if index is not None else {})
        return self._runs(wanted, job=job, statuses=[status.value for status in UNFINISHED])

    def terminate(self, run_id: str) -> None:
        """Asks a run to stop; `wait` tells when it has.

        Raises:
            UnknownRunError: there is none of that id.
            DagsterRefusedError: it can't be stopped, such as one that has finished.
        """
        ended = _only(self._ask(queries.TERMINATE, id=run_id))
        if ended["__typename"] == "RunNotFoundError":
            raise _unknown_run(run_id)
        if ended["__typename"] != "TerminateRunSuccess":
            raise DagsterRefusedError(f"run {run_id} can't be stopped: {_message(ended)}")

    def _runs(
        self,
        tags: Mapping[str, str],
        *,
        job: str | None = None,
        statuses: list[str] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> list[Run]:
        wanted: dict[str, Any] = {"tags": _tags(tags)}
        if job is not None:
            wanted["pipelineName"] = job
        if statuses is not None:
            wanted["statuses"] = statuses
        found = _only(self._ask(queries.RUNS, filter=wanted, cursor=cursor, limit=limit))
        if found["__typename"] != "Runs":
            raise DagsterRefusedError(f"Dagster does not list its runs: {_message(found)}")
        return [self._run(fields) for fields in found["results"]]

    def _found_run(self, query: str, run_id: str, **variables: Any) -> dict[str, Any]:
        found = _only(self._ask(query, id=run_id, **variables))
        if found["__typename"] == "RunNotFoundError":
            raise _unknown_run(run_id)
        if found["__typename"] != "Run":
            raise DagsterRefusedError(f"Dagster can't tell of run {run_id}: {_message(found)}")
        return found

    def _run(self, fields: Mapping[str, Any]) -> Run:
        return Run(
            fields["runId"],
            fields["jobName"],
            RunStatus(fields["status"]),
            self.url_of(fields["runId"]),
            {tag["key"]: tag["value"] for tag in fields["tags"]},
            fields["creationTime"],
            fields["startTime"],
            fields["endTime"],
        )

    def _ask(self, query: str, *, seconds: float | None = None, **variables: Any) -> dict[str, Any]:
        """The data of an answer.

        Raises:
            DagsterUnavailableError: there is none in time, or it is not that of a webserver of Dagster.
        """
        limit = httpx2.USE_CLIENT_DEFAULT if seconds is None else httpx2.Timeout(seconds, connect=_CONNECT_SECONDS)
        try:
            response = self._http.post(
                f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=limit
            )
            answer = response.json()
        except httpx2.TimeoutException:
            raise self._unavailable("does not answer in time") from None
        except httpx2.HTTPError as error:
            raise self._unavailable(f"can't be reached ({error})") from None
        except ValueError:
            raise self._unavailable(f"answers HTTP {response.status_code} with something else than JSON") from None
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or answer.get("errors"):
            said = json.dumps(answer.get("errors") if isinstance(answer, dict) else None)[:500]
            raise self._unavailable(f"does not understand what it is asked ({said}); is its version 1.13?")
        return data

    def _unavailable(self, what: str) -> DagsterUnavailableError:
        return DagsterUnavailableError(
            f"Dagster's webserver at {self.url} {what}; start it (`vector-pipeline dev`, or dagster-webserver), or "
            "set VECTOR_PIPELINE_DAGSTER_URL to where it is"
        )


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _only(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the one thing that was asked."""
    [found] = answer.values()
    assert isinstance(found, dict)
    return found


def _message(found: Mapping[str, Any]) -> str:
    return str(found.get("message") or found.get("__typename") or "it does not say why").strip()


def _innermost(error: Mapping[str, Any]) -> str:
    """The first cause of an error, without the words that Dagster puts around it."""
    causes = error.get("causes") or []
    return _message(causes[-1] if causes else error)


def _value(entry: Mapping[str, Any]) -> Value:
    match entry["__typename"]:
        case "IntMetadataEntry":
            return int(entry["intRepr"])
        case "FloatMetadataEntry":
            number: float | None = entry["floatValue"]
            return number
        case "BoolMetadataEntry":
            return bool(entry["boolValue"])
        case "TextMetadataEntry":
            return str(entry["text"])
        case _:
            return None


def _unknown_run(run_id: str) -> UnknownRunError:
    return UnknownRunError(f"Dagster has no run {run_id!r}; it may have been deleted")
