"""The source is read no faster than declared, and not while a replica is behind."""

from __future__ import annotations

import pytest

from vector_pipeline.core.errors import SourceUnavailableError
from vector_pipeline.core.source.replicas import Lag
from vector_pipeline.core.source.throttle import Ledger, Throttle
from vector_pipeline.core.spec import ThrottleSpec


class Timer:
    """A clock that sleeping moves on, and nothing else."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class SharedLedger:
    """What one index owes, by the timer's clock."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._paid_until = timer.now

    def charge(self, seconds: float, credit_seconds: float, longest_debt_seconds: float) -> float:
        before = min(max(self.owed(), -credit_seconds), longest_debt_seconds)
        self._paid_until = self._timer.now + before + seconds
        return self.owed()

    def owed(self) -> float:
        return self._paid_until - self._timer.now


class EmptyLedger:
    """Knows nothing of the index."""

    def charge(self, seconds: float, credit_seconds: float, longest_debt_seconds: float) -> None:  # noqa: ARG002
        return None

    def owed(self) -> None:
        return None


class Replicas:
    """Answers with one lag after the other; the last for ever."""

    def __init__(self, *lags: float | None) -> None:
        self._lags = list(lags)
        self.asked = 0

    def furthest_behind(self) -> Lag | None:
        self.asked += 1
        return Lag("replica-1:3306", self._lags.pop(0) if len(self._lags) > 1 else self._lags[0])


NO_REPLICAS = Replicas(0.0)


@pytest.fixture
def timer() -> Timer:
    return Timer()


def throttle(timer: Timer, replicas: Replicas = NO_REPLICAS, ledger: Ledger | None = None, **limits: float) -> Throttle:
    spec = ThrottleSpec.model_validate(limits)
    return Throttle(spec, replicas, ledger, clock=timer.clock, sleep=timer.sleep)


def test_nothing_waits_where_no_limit_is_declared(timer: Timer) -> None:
    replicas = Replicas(None)
    unlimited = throttle(timer, replicas)
    unlimited.wait_for_replicas()
    unlimited.spend(1_000_000)
    assert (timer.slept, replicas.asked) == (0, 0)


def test_rows_are_paid_for_at_the_declared_rate(timer: Timer) -> None:
    limited = throttle(timer, rows_per_second=100)
    for _ in range(60):
        limited.spend(50)
    # 3,000 rows take 30 seconds, the first of which was saved up before.
    assert timer.slept == pytest.approx(29)


def test_time_that_goes_into_other_work_is_not_slept_again(timer: Timer) -> None:
    limited = throttle(timer, rows_per_second=100)
    limited.spend(100)
    for _ in range(10):
        timer.now += 0.5
        limited.spend(50)
    assert timer.slept == 0


def test_a_long_idle_time_saves_up_no_more_than_a_second(timer: Timer) -> None:
    limited = throttle(timer, rows_per_second=100)
    limited.spend(100)
    timer.now += 3600
    limited.spend(1000)
    assert timer.slept == pytest.approx(9)


def test_nobody_sleeps_past_the_deadline_and_the_rest_is_paid_for_later(timer: Timer) -> None:
    limited = throttle(timer, rows_per_second=100)
    limited.spend(1100, deadline=timer.now + 4)
    assert timer.slept == pytest.approx(4)
    limited.spend(0)
    assert timer.slept == pytest.approx(10)


def test_what_one_process_owes_is_paid_for_by_the_next_one(timer: Timer) -> None:
    ledger = SharedLedger(timer)
    throttle(timer, ledger=ledger, rows_per_second=100).spend(1000, deadline=timer.now)
    assert timer.slept == 0
    throttle(timer, ledger=ledger, rows_per_second=100).spend(100)
    assert timer.slept == pytest.approx(11)


def test_reading_begins_when_what_others_owe_is_paid_for(timer: Timer) -> None:
    ledger = SharedLedger(timer)
    throttle(timer, ledger=ledger, rows_per_second=100).spend(1000, deadline=timer.now)
    another = throttle(timer, ledger=ledger, rows_per_second=100)
    another.wait_for_replicas(deadline=timer.now + 3)
    assert timer.slept == pytest.approx(3)
    another.wait_for_replicas()
    assert timer.slept == pytest.approx(10)


def test_several_ticks_read_at_the_declared_rate(timer: Timer) -> None:
    ledger = SharedLedger(timer)
    started, rows = timer.now, 0
    while timer.now < started + 200:
        tick = throttle(timer, ledger=ledger, rows_per_second=20)
        deadline = timer.now + 15
        tick.wait_for_replicas(deadline)
        while timer.now < deadline:
            tick.spend(200, deadline)
            rows += 200
    assert rows / (timer.now - started) <= 21


def test_a_debt_that_grows_look_by_look_stops_nobody_for_ever(timer: Timer) -> None:
    ledger = SharedLedger(timer)
    for _ in range(100):
        throttle(timer, ledger=ledger, rows_per_second=1).spend(100, deadline=timer.now + 1)
    timer.slept = 0
    throttle(timer, ledger=ledger, rows_per_second=1).wait_for_replicas()
    assert timer.slept <= 700


def test_an_index_of_which_no_ledger_knows_is_read_at_the_declared_rate(timer: Timer) -> None:
    limited = throttle(timer, ledger=EmptyLedger(), rows_per_second=100)
    for _ in range(60):
        limited.spend(50)
    assert timer.slept == pytest.approx(29)


def test_reading_waits_until_the_replica_has_caught_up(timer: Timer) -> None:
    replicas = Replicas(30.0, 20.0, None, 3.0)
    throttle(timer, replicas, longest_lag_seconds=5).wait_for_replicas()
    assert (replicas.asked, timer.slept) == (4, 3)


def test_replicas_are_asked_once_a_second_at_most(timer: Timer) -> None:
    replicas = Replicas(0.0)
    watching = throttle(timer, replicas, longest_lag_seconds=5)
    for _ in range(40):
        watching.wait_for_replicas()
        timer.now += 0.1
    assert replicas.asked == 4


@pytest.mark.parametrize(
    ("lag", "said"),
    [
        (30.0, r"replica replica-1:3306 is 30 s behind, and source.throttle.longest_lag_seconds is 5"),
        (None, r"replica replica-1:3306: its replication is stopped"),
    ],
)
def test_a_replica_that_never_catches_up_is_named_after_a_minute(timer: Timer, lag: float | None, said: str) -> None:
    with pytest.raises(SourceUnavailableError, match=said):
        throttle(timer, Replicas(lag), longest_lag_seconds=5).wait_for_replicas()
    assert timer.slept == pytest.approx(60)


def test_waiting_for_replicas_ends_with_the_deadline(timer: Timer) -> None:
    with pytest.raises(SourceUnavailableError):
        throttle(timer, Replicas(30.0), longest_lag_seconds=5).wait_for_replicas(deadline=timer.now + 3)
    assert timer.slept == pytest.approx(3)
