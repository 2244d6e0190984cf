"""What a benchmark found: a measured value, and the bound that it has to keep, if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = {"s": 2, "×": 2, "ms": 1, "/s": 1, "cores": 2, "%": 1, "of 1": 3}


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        bound: the value that it has to stay below; None: there is none.
        at_least: the value that it has to reach; None: there is none.
        exactly: the value that it has to be, for what is counted; None: it need not be one.
    """

    what: str
    measured: float
    unit: str
    bound: float | None = None
    exactly: int | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether its bound is kept; true where it is told for information."""
        below = self.bound is None or self.measured < self.bound
        reached = self.at_least is None or self.measured >= self.at_least
        return below and reached and self.exactly in (None, self.measured)

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What, measured, bound and verdict, for people."""
        bounds = []
        if self.exactly is not None:
            bounds.append(f"= {self.exactly:,}")
        if self.bound is not None:
            bounds.append(f"< {self._shown(self.bound)}")
        if self.at_least is not None:
            bounds.append(f"≥ {self._shown(self.at_least)}")
        bound = ", ".join(bounds)
        if not bound:
            return self.what, self._shown(self.measured), "", ""
        return self.what, self._shown(self.measured), bound, "holds" if self.holds else "MISSES"

    def _shown(self, value: float) -> str:
        return f"{value:,.{_DIGITS.get(self.unit, 0)}f} {self.unit}".strip()


@dataclass(frozen=True)
class Findings:
    """The figures of one benchmark, and in a sentence or two how they were measured."""

    title: str
    method: str
    figures: Sequence[Figure]

    @property
    def hold(self) -> bool:
        return all(figure.holds for figure in self.figures)
