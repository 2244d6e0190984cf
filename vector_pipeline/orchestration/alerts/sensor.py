"""The sensor that tells people what fails. It exists where a channel is set, and fails for none that is down.

It is level-triggered: at each look it asks Dagster what fails now, and tells the difference from what it told before.
What a channel does not take is kept in the cursor until it does. A process that dies between sending and keeping the
cursor sends twice; none is lost.
"""

import time

import dagster as dg

from vector_pipeline.core.counted import counted
from vector_pipeline.core.errors import ConfigurationError
from vector_pipeline.orchestration.alerts.channels import Deliverer, NotDeliveredError, build_channels
from vector_pipeline.orchestration.alerts.looking import Place, failing_checks, failing_sensors
from vector_pipeline.orchestration.alerts.message import compose
from vector_pipeline.orchestration.alerts.runs import look_at_runs
from vector_pipeline.orchestration.alerts.settings import AlertSettings, read_alert_settings
from vector_pipeline.orchestration.alerts.trouble import Memory, silent_channels

SENSOR = "alerts"
_INTERVAL_SECONDS = 30


def build_alert_sensors() -> list[dg.SensorDefinition]:
    """The sensor, or none where no channel is set. With settings that can't be used it is there, and its looks say so:
    the location loads, and indexes are synced, whatever is wrong with alerts."""
    try:
        settings = read_alert_settings()
    except ConfigurationError as error:
        return [_build(None, str(error))]
    return [_build(settings, "")] if settings.on else []


def _build(settings: AlertSettings | None, problem: str) -> dg.SensorDefinition:
    channels = build_channels(settings) if settings is not None else {}

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Tells by {' and '.join(channels) or '(wrongly set)'} what fails, and when it is over.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if settings is None:
            raise dg.DagsterInvariantViolationError(problem)
        repository = context.repository_def
        assert repository is not None
        origin = context.code_location_origin
        place = Place(repository, origin.location_name if origin is not None else None)
        memory = _look(context.instance, place, _remembered(context.cursor).with_channels(channels), time.time())
        memory = _tell(context, memory, channels, settings)
        context.update_cursor(memory.model_dump_json())
        return dg.SkipReason(_summary(memory))

    return alerts


def _remembered(cursor: str | None) -> Memory:
    return Memory.model_validate_json(cursor) if cursor else Memory()


def _look(instance: dg.DagsterInstance, place: Place, memory: Memory, now: float) -> Memory:
    memory, runs = look_at_runs(instance, place, memory, now)
    found = failing_checks(instance, place) | failing_sensors(instance, place, now) | runs
    return memory.with_troubles(found | silent_channels(memory), now)


def _tell(
    context: dg.SensorEvaluationContext, memory: Memory, channels: dict[str, Deliverer], settings: AlertSettings
) -> Memory:
    states = dict(memory.channels)
    for name, channel in channels.items():
        state = states[name]
        if not state.is_due(time.time()):
            continue
        try:
            channel.send(compose(list(state.untold.values()), settings))
        except NotDeliveredError as error:
            context.log.warning("not told, and tried again: %s", error)
            states[name] = state.refused(time.time())
        else:
            states[name] = state.told()
    return memory.model_copy(update={"channels": states})


def _summary(memory: Memory) -> str:
    failing = len(memory.troubles)
    said = f"{counted(failing, 'thing fails', 'things fail')}" if failing else "nothing fails"
    waiting = [
        f"{name} has still to be told of {len(channel.untold)} (tried {channel.tries} times)"
        for name, channel in memory.channels.items()
        if channel.untold
    ]
    return "; ".join([said, *waiting])
