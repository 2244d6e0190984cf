"""How far the timestamps of a column have been looked at: the passes, their slices, and where a look goes on."""

from __future__ import annotations

from dataclasses import astuple, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from vector_pipeline.core.detection.detector import State

SLICE_CHARACTERS = len("2026-01-02 03:04:0")
"""A slice is all timestamps whose text begins with equally many characters: ten seconds."""
_FIRST_SLICE = "0000-00-00 00:00:0"


@dataclass(frozen=True)
class Bound:
    """Where the timestamps that are looked at begin or end."""

    operator: Literal[">=", ">", "<", "<="]
    moment: str


@dataclass(frozen=True)
class Place:
    """In the midst of a slice: its digest as naming it began, and timestamp and key of the row that was named last."""

    name: str
    digest: str
    moment: str
    key: str


@dataclass(frozen=True)
class Pass:
    """One way from the beginning of the overlap to the present.

    `greatest` is the greatest timestamp as it began, `lower` where it goes on, and `within` the place in the slice that
    is being named.
    """

    greatest: str | None
    lower: Bound
    within: Place | None = None

    @classmethod
    def of(cls, state: State) -> Pass:
        within = state["within"]
        return cls(state["greatest"], Bound(*state["lower"]), Place(*within) if within else None)

    @property
    def state(self) -> State:
        within = None if self.within is None else list(astuple(self.within))
        return {"greatest": self.greatest, "lower": list(astuple(self.lower)), "within": within}


@dataclass(frozen=True)
class Progress:
    """What has been named. Moments are MySQL's own text.

    `latest` is the greatest timestamp as the last complete pass began; `slices` are the digests with which those of the
    overlap have been named.
    """

    column: str
    overlap_seconds: int
    latest: str | None
    slices: dict[str, str] = field(default_factory=dict)
    under_way: Pass | None = None

    @classmethod
    def of(cls, state: State, overlap_seconds: int) -> Progress:
        under_way = Pass.of(state["pass"]) if state["pass"] else None
        return cls(state["column"], overlap_seconds, state["latest"], dict(state["slices"]), under_way)

    @property
    def state(self) -> State:
        under_way = self.under_way.state if self.under_way else None
        return {"column": self.column, "latest": self.latest, "slices": self.slices, "pass": under_way}

    def beginning(self, greatest: str | None) -> Progress:
        """A new pass, with the greatest timestamp that there is."""
        # The greatest one may have been deleted since.
        greatest = max(filter(None, (self.latest, greatest)), default=None)
        return replace(self, under_way=Pass(greatest, from_slice(self._first_slice(self.latest))))

    def at(self, place: Place) -> Progress:
        """In the midst of naming a slice."""
        assert self.under_way is not None
        return replace(self, under_way=replace(self.under_way, lower=from_slice(place.name), within=place))

    def having_done(self, name: str, digest: str) -> Progress:
        """Past a slice, which need not be named until it has another digest."""
        assert self.under_way is not None
        slices = self.slices
        # What comes before the next pass is not looked at again.
        if name >= self._first_slice(self.under_way.greatest):
            slices = slices | {name: digest}
        return replace(self, slices=slices).going_on(after_slice(name))

    def going_on(self, lower: Bound | None) -> Progress:
        """From there; None where the pass has come to the present."""
        assert self.under_way is not None
        if lower is not None:
            return replace(self, under_way=replace(self.under_way, lower=lower, within=None))
        latest = self.under_way.greatest
        first = self._first_slice(latest)
        slices = {name: digest for name, digest in self.slices.items() if name >= first}
        return replace(self, latest=latest, slices=slices, under_way=None)

    def _first_slice(self, latest: str | None) -> str:
        """The earliest slice that is looked at again."""
        return _FIRST_SLICE if latest is None else slice_of(_earlier(latest, self.overlap_seconds))


def slice_of(moment: str) -> str:
    return moment[:SLICE_CHARACTERS]


def end_of(name: str) -> str:
    return f"{name}9.999999"


def from_slice(name: str) -> Bound:
    return Bound(">=", f"{name}0")


def after_slice(name: str) -> Bound:
    return Bound(">", end_of(name))


def before_slice(name: str) -> Bound:
    return Bound("<", f"{name}0")


def until_slice(name: str) -> Bound:
    return Bound("<=", end_of(name))


def _earlier(moment: str, seconds: int) -> str:
    """The moment itself where it is no date (0000-00-00), or where none is so early."""
    try:
        return str(datetime.fromisoformat(moment) - timedelta(seconds=seconds))
    except (ValueError, OverflowError):
        return moment
