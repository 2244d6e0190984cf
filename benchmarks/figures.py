"""What a benchmark found: a measured value, and the bound that it has to keep, if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value. `bound` is the value that it has to stay below; None: told for information."""

    what: str
    measured: float
    unit: str
    bound: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the bound is kept; true where there is none."""
        return self.bound is None or self.measured < self.bound

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What, measured, bound and verdict, for people."""
        if self.bound is None:
            return self.what, self._shown(self.measured), "", ""
        verdict = "holds" if self.holds else "MISSES"
        return self.what, self._shown(self.measured), f"< {self._shown(self.bound)}", verdict

    def _shown(self, value: float) -> str:
        digits = 2 if self.unit in ("s", "×") else 0 if self.unit == "MB" else 1
        return f"{value:,.{digits}f} {self.unit}".strip()


@dataclass(frozen=True)
class Findings:
    """The figures of one benchmark, and in a sentence or two how they were measured."""

    title: str
    method: str
    figures: Sequence[Figure]

    @property
    def hold(self) -> bool:
        return all(figure.holds for figure in self.figures)
