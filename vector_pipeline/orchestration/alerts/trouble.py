"""What fails, what has been told of it, and what has still to be told: values and decisions, no Dagster and no network.

What a channel could not be told stays with it until it can. Each thing has one place there, however often it fails and
recovers meanwhile, so that a channel that is down for a week holds no more than there are things.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 900.0
# A channel that refuses so often is told of by the others.
TRIES_UNTIL_TOLD = 3


class Trouble(BaseModel):
    """One thing that fails. Holds names and numbers of ours alone: nothing that a row, a text or a server said.

    Attributes:
        key: names the thing; a thing that fails is told once.
        index: whose it is, None for no index's.
        what: as "check parity of faq/search_index fails".
        detail: what should hold, and numbers.
        since: seconds since 1970.
        serious: False for what somebody should know, and nobody has to be woken for.
        path: of the page in Dagster's UI, such as `/runs/…`; "" for none.
        runbook: page and anchor within docs/; "" for that of the runbooks.
        assets, partitions: partitioned assets of a run that failed, and which of their partitions do, as Dagster names
            them.
        waiting: of a run that failed: the assets without partitions, or the run's subject, that have to go well before
            it is over.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    index: str | None
    what: str
    detail: str = ""
    since: float
    serious: bool = True
    path: str = ""
    runbook: str = ""
    assets: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    def going_on(self, before: Trouble | None) -> Trouble:
        """As what failed before and fails still: since then, and as serious as it ever was."""
        if before is None:
            return self
        return self.model_copy(update={"since": before.since, "serious": self.serious or before.serious})


class HeldFailure(BaseModel):
    """A run that failed and that Dagster may try again by itself; found at that moment, in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    trouble: Trouble
    found_at: float


class News(BaseModel):
    """What a channel has to be told of a thing: that it fails, or, with `over_at`, that it did and is over."""

    model_config = ConfigDict(frozen=True)

    trouble: Trouble
    over_at: float | None = None


class Channel(BaseModel):
    """What a channel has still to be told, and how often in succession it has refused to."""

    model_config = ConfigDict(frozen=True)

    untold: dict[str, News] = Field(default_factory=dict)
    tries: int = 0
    failing_since: float = 0.0
    not_before: float = 0.0

    def is_due(self, now: float) -> bool:
        return bool(self.untold) and now >= self.not_before

    def told(self) -> Channel:
        return Channel()

    def refused(self, now: float) -> Channel:
        pause = min(FIRST_PAUSE_SECONDS * 2**self.tries, LONGEST_PAUSE_SECONDS)
        return Channel(
            untold=self.untold,
            tries=self.tries + 1,
            failing_since=self.failing_since or now,
            not_before=now + pause,
        )


class Memory(BaseModel):
    """What the sensor remembers from one look to the next.

    Attributes:
        runs_until: runs that ended before (seconds since 1970) have been looked at.
        runs_seen: those that ended shortly before it: what ends at the same moment is not lost, nor looked at twice.
        runs_held: failed runs that may be tried again, by their ids.
        troubles: what fails, by its key.
        channels: by name.
    """

    model_config = ConfigDict(frozen=True)

    runs_until: float | None = None
    runs_seen: tuple[str, ...] = ()
    runs_held: dict[str, HeldFailure] = Field(default_factory=dict)
    troubles: dict[str, Trouble] = Field(default_factory=dict)
    channels: dict[str, Channel] = Field(default_factory=dict)

    def with_channels(self, names: Iterable[str]) -> Memory:
        """With these channels and no others. A new one is first told what fails at the time."""
        failing = {key: News(trouble=trouble) for key, trouble in self.troubles.items()}
        channels = {name: self.channels.get(name, Channel(untold=failing)) for name in names}
        return self.model_copy(update={"channels": channels})

    def with_troubles(self, found: Mapping[str, Trouble], now: float) -> Memory:
        """With what fails now in place of what failed before; all channels are to be told the difference, and what was
        a warning and is serious now."""
        troubles = {key: trouble.going_on(self.troubles.get(key)) for key, trouble in found.items()}
        begun = [trouble for key, trouble in troubles.items() if self._is_news(key, trouble)]
        ended = [self.troubles[key] for key in self.troubles.keys() - found.keys()]
        channels = {name: _to_be_told(channel, begun, ended, now) for name, channel in self.channels.items()}
        return self.model_copy(update={"troubles": troubles, "channels": channels})

    def _is_news(self, key: str, trouble: Trouble) -> bool:
        before = self.troubles.get(key)
        return before is None or (trouble.serious and not before.serious)


def _to_be_told(channel: Channel, begun: Iterable[Trouble], ended: Iterable[Trouble], now: float) -> Channel:
    untold = dict(channel.untold)
    for trouble in begun:
        untold[trouble.key] = News(trouble=trouble)
    for trouble in ended:
        untold[trouble.key] = News(trouble=trouble, over_at=now)
    return channel.model_copy(update={"untold": untold})


def silent_channels(memory: Memory) -> dict[str, Trouble]:
    """The channels that refuse to be told anything, as troubles for the others."""
    return {
        f"channel {name}": Trouble(
            key=f"channel {name}",
            index=None,
            what=f"alerts by {name} are not delivered",
            detail=f"{channel.tries} tries; what they say is kept, and told when it can be",
            since=channel.failing_since,
            runbook="alerts.md#what-can-go-wrong-with-alerts",
        )
        for name, channel in memory.channels.items()
        if channel.tries >= TRIES_UNTIL_TOLD
    }
