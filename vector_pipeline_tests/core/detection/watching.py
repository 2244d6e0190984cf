"""A detector at work: a table that is cut into ranges, and looks at it one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from vector_pipeline.core.detection.detector import Detector, Finding, State, View
from vector_pipeline.core.source import connection as source_connection
from vector_pipeline.core.source.catalog import read_table
from vector_pipeline.core.source.key_ranges import KeyRange
from vector_pipeline.core.source.locate import locate_keys
from vector_pipeline.core.source.plan import plan_reading
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline.core.store import connection as store_connection
from vector_pipeline.core.store import key_ranges, registry
from vector_pipeline_tests.workbench import Workbench


@dataclass
class Watch:
    """One detector, its state kept as the runner keeps it."""

    view: View
    ranges: list[KeyRange]
    detector: Detector
    state: State | None = None
    problems: list[str] = field(default_factory=list)

    def findings(self, deadline: float | None = None) -> Iterator[Finding]:
        """One look; the state of a finding counts as soon as the next one is asked for."""
        view = View(self.view.source, self.view.target, self.view.index, self.view.plan, deadline)
        for finding in self.detector.look(view, self.ranges, self.state):
            self.state = finding.state
            if finding.problem:
                self.problems.append(finding.problem)
            yield finding

    def look(self) -> set[int]:
        """What a look names."""
        return {range_id for finding in self.findings() for range_id in finding.suspects}

    def short_look(self) -> set[int]:
        """What a look names that has no time."""
        return {range_id for finding in self.findings(time.monotonic()) for range_id in finding.suspects}

    def short_looks(self) -> list[set[int]]:
        """What looks without time name, until one finds nothing any more."""
        looks = []
        while findings := list(self.findings(time.monotonic())):
            looks.append({range_id for finding in findings for range_id in finding.suspects})
        return looks

    def ranges_of(self, *keys: object) -> set[int]:
        """The ranges of these keys."""
        return set(locate_keys(self.view.source, self.view.plan, [str(key) for key in keys], self.ranges).values())

    @property
    def all_ranges(self) -> set[int]:
        return {key_range.range_id for key_range in self.ranges}


@contextmanager
def watching(workbench: Workbench, spec: IndexSpec, detector: Detector) -> Iterator[Watch]:
    """Cuts the table into ranges, and has the detector look at it for the first time."""
    with workbench.index(spec) as index:
        index.detect()
    with (
        closing(source_connection.connect(workbench.source)) as source,
        store_connection.connect(workbench.target) as target,
    ):
        table = read_table(source, workbench.source.database, spec.source.table)
        registered = registry.load(target, spec.name)
        assert table is not None and registered is not None
        ranges = key_ranges.load_ranges(target, registered)
        assert len(ranges) > 1, "one range alone shows nothing"
        watch = Watch(View(source, target, registered, plan_reading(spec, table), None), ranges, detector)
        assert watch.look() == set(), "the first look names no range"
        yield watch
