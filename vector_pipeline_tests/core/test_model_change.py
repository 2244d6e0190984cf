"""Another model for an index that is searched all the time, built by a process that is killed in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from vector_pipeline.core.settings import EmbeddingSettings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import IndexSpec
from vector_pipeline_tests import syncing_process
from vector_pipeline_tests.provider_process import ProviderProcess, provider_process
from vector_pipeline_tests.workbench import Workbench, question_only

TEXTS_PER_REQUEST = 25
REQUESTS_IN_FLIGHT = 4
MOST_IN_FLIGHT = TEXTS_PER_REQUEST * (REQUESTS_IN_FLIGHT + 1)
SEARCHES_A_SECOND = 20


def _spec(provider: ProviderProcess, model: str) -> IndexSpec:
    block = {
        "type": "openai",
        "host": provider.url,
        "texts_per_request": TEXTS_PER_REQUEST,
        "requests_in_flight": REQUESTS_IN_FLIGHT,
    }
    return question_only(
        embedding={"provider": block, "model": model}, automation={"ranges_per_run": 5}, search={"threshold": -1.0}
    )


@dataclass
class Searching:
    """Searches all the time, by a declaration that may be ahead of what is served."""

    workbench: Workbench
    spec: IndexSpec
    rows: int
    done: int = 0
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._search, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _search(self, ended: threading.Event) -> None:
        with self.workbench.index(self.spec) as index:
            while not ended.wait(1 / SEARCHES_A_SECOND):
                row = self.done * 7919 % self.rows + 1
                self.done += 1
                try:
                    [hit] = index.search(f"question number {row}?", limit=1).hits
                    if (hit.key, round(hit.score, 4)) != (str(row), 1):
                        self.failures.append(f"question {row} found {hit}")
                except Exception as error:
                    self.failures.append(f"question {row}: {error!r}")


@pytest.mark.long
def test_the_model_of_5000_rows_changes_while_it_is_searched_and_its_build_is_killed(
    mysql_database: SourceSettings, pg_database: TargetSettings
) -> None:
    _change_the_model(mysql_database, pg_database, rows=5000, delay_ms=100)


def _change_the_model(source: SourceSettings, target: TargetSettings, rows: int, delay_ms: float) -> None:
    workbench = Workbench(source, target, EmbeddingSettings())
    # Vectors of another length can't be compared: a search that mixes the models fails.
    with provider_process(64) as old, provider_process(96, delay_ms) as new:
        before, after = _spec(old, "numbers"), _spec(new, "letters")
        workbench.create_faq(rows)
        workbench.sync(before)
        old.reset()
        searching = Searching(workbench, after, rows)
        with searching.going_on():
            process = syncing_process.start(after, workbench.settings)
            while new.stats()["texts"] < rows // 2:
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
            process.communicate()
            syncing_process.finish(syncing_process.start(after, workbench.settings))
            with workbench.index(after) as index:
                assert index.generations().served.model == "letters"
            asked = old.stats()["requests"]
            done = searching.done
            while searching.done < done + 5:
                time.sleep(0.02)
        assert searching.failures == []
        assert old.stats()["requests"] <= asked + 1, "a search begun after the switch asked the old model"
        assert workbench.postgres("SELECT count(*) FROM faq.vectors_2") == [(rows,)]
        queries_to_the_new = searching.done - old.stats()["requests"]
        probes = 1  # by which the new model's length is measured
        paid_again = new.stats()["texts"] - rows - probes - queries_to_the_new
        both = 1  # a search that the switch overtakes asks one model after the other
        assert 0 <= paid_again <= MOST_IN_FLIGHT + both
        _go_back(workbench, after)


def _go_back(workbench: Workbench, after: IndexSpec) -> None:
    workbench.mysql("UPDATE faq SET question = 'asked anew' WHERE id = 17")
    workbench.sync(after)
    with workbench.index(after) as index:
        served = index.roll_back()
        assert (served.model, served.lag.ranges) == ("numbers", 1)
        assert index.search("question number 3?", limit=1).hits[0].key == "3"
        workbench.sync(after)
        assert index.search("asked anew", limit=1).hits[0].key == "17"
        assert index.generations().served.lag.ranges == 0
        assert index.verify().equal
