"""What an operator sees: a real Dagster webserver over a synced index, looked at with headless Chromium.

Every picture is kept in the test's temporary folder. With VECTOR_PIPELINE_SCREENSHOTS=docs/images those of the
documentation are taken anew.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from vector_pipeline.core.reports import SyncReport
from vector_pipeline.core.settings import EmbeddingSettings, Settings, SourceSettings, TargetSettings
from vector_pipeline.core.spec import LocalProviderSpec
from vector_pipeline.declarations import find_declaration
from vector_pipeline.definitions import defs
from vector_pipeline.embedded import demo_rows
from vector_pipeline.orchestration.in_process import sync_in_process
from vector_pipeline.orchestration.pools import set_pool_limits
from vector_pipeline_tests.browser import CHROMIUM_ARGUMENTS, KEEP_IN, chromium
from vector_pipeline_tests.conftest import PROJECT
from vector_pipeline_tests.dagster_instances import DagsterStorage, new_home_of_processes
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.misbehaving_provider import MisbehavingProvider
from vector_pipeline_tests.orchestration.location import Location
from vector_pipeline_tests.orchestration.test_daemon import ARRIVES_WITHIN, daemon, wait_until
from vector_pipeline_tests.orchestration.webserver import wait_until_it_answers, webserver
from vector_pipeline_tests.servers import mysql
from vector_pipeline_tests.workbench import Workbench

playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST: playwright is not installed")

pytestmark = pytest.mark.browser

INDEX = "genie_documents"
WINDOW = {"width": 1400, "height": 860}
# The parts of the window that pictures are of, without what surrounds them.
LINEAGE = {"x": 290, "y": 335, "width": 1060, "height": 310}
PLOTS = {"x": 240, "y": 104, "width": 812, "height": 700}
PLOTS_OF_A_CHECK = {"x": 536, "y": 40, "width": 840, "height": 785}
CHECKS = {"x": 240, "y": 0, "width": 1160, "height": 760}
DOCUMENTED = (
    "lineage",
    "plots",
    "checks",
    "mass-deletion",
    "lag",
    "generation-check",
    "golden-comparison",
    "recall-plots",
)
ROWS = 2_500
FIRST = 1_500
"""Rows that are there from the beginning, where the others are added later."""
FEW = 300
"""Rows where a real model embeds them."""
KEPT = 500
"""Rows that are left after a mass deletion."""
PARTITIONS = ("00000000000000000000", "00000000000000001001", "00000000000000002001")
# The page asks several servers' worth of questions before it shows anything, on two shared cores.
SHOWN_MILLISECONDS = 30_000


@dataclass(frozen=True)
class Office:
    """An index in a Dagster home of its own, with a web server that starts beside, and the operator's browser."""

    workbench: Workbench
    location: Location
    home: Path
    _folder: Path
    _chromium: str
    _address: str

    @contextmanager
    def operator(self) -> Iterator[Operator]:
        """Somebody who looks at it, once it answers."""
        wait_until_it_answers(self._address)
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=self._chromium, args=CHROMIUM_ARGUMENTS)
            try:
                page = browser.new_page(viewport=WINDOW, device_scale_factor=1.5)
                yield Operator(page, self._address, self._folder)
            finally:
                browser.close()


@pytest.fixture
def office(
    mysql_database: SourceSettings,
    pg_database: TargetSettings,
    tmp_path: Path,
    dagster_storage: DagsterStorage,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    program = chromium()
    home = new_home_of_processes(tmp_path / "dagster-home", dagster_storage)
    with MisbehavingProvider(dimensions=64) as provider:
        for name, value in _environment(mysql_database, pg_database, provider, home).items():
            monkeypatch.setenv(name, value)
        workbench = Workbench(mysql_database, pg_database, EmbeddingSettings(host=provider.url, model="numbers"))
        with dg.DagsterInstance.get() as instance:
            set_pool_limits(instance)  # before the server starts: two processes cannot make the databases at once
            location = Location(workbench, instance, find_declaration(INDEX).spec)
            with webserver(PROJECT, tmp_path / "webserver.log") as address:
                yield Office(workbench, location, home, tmp_path, program, address)


@pytest.mark.long
def test_the_interface_shows_lineage_partitions_plots_and_checks_of_an_index(office: Office) -> None:
    _sync_twice_and_check(office.workbench.source)
    with office.operator() as operator:
        _look_at_lineage(operator)
        _look_at_partitions(operator)
        _look_at_plots(operator)
        _look_at_checks(operator)


@pytest.mark.long
def test_a_held_mass_deletion_is_shown_with_its_way_out_which_the_launchpad_is(office: Office) -> None:
    _lose_most_rows(office.location)
    with office.operator() as operator:
        _look_at_held_deletions(operator)
        _look_at_lag(operator)
        _look_at_jobs(operator)
        with daemon(PROJECT, office.home):
            _approve(operator)
            # The daemon syncs the other shipped index as well.
            wait_until(lambda: _documents(office.workbench) == KEPT, 2 * ARRIVES_WITHIN, office.home)


@pytest.mark.long
def test_a_generation_that_waits_for_approval_is_shown_with_its_progress_and_the_job_that_switches(
    office: Office,
) -> None:
    _declare_another_model(office.location)
    with office.operator() as operator:
        _look_at_generations(operator)


@pytest.mark.long
def test_two_generations_are_compared_on_a_golden_set_where_somebody_decides_on_the_switch(
    office: Office, tmp_path: Path
) -> None:
    location = office.location
    _declare_the_local_model(location, tmp_path / "golden.csv")
    job = location.definitions.resolve_job_def(f"{INDEX}_compare_generations")
    run = job.execute_in_process(instance=location.instance)
    with office.operator() as operator:
        operator.open(f"/assets/{INDEX}/next_generation?view=checks")
        operator.page.get_by_text("generation", exact=True).first.click()
        operator.sees_part("new model: nDCG@10")
        operator.sees("golden_set")
        operator.photograph("golden-comparison", CHECKS)
        operator.open(f"/assets/{INDEX}/search_index?view=checks")
        operator.page.get_by_text("recall", exact=True).first.click()
        operator.sees("recall_at_10")
        operator.sees("ann_median_ms")
        operator.photograph("recall", CHECKS)
        operator.page.get_by_text("Plots", exact=True).evaluate("heading => heading.scrollIntoView()")
        operator.sees("recall_at_10")
        operator.photograph("recall-plots", PLOTS_OF_A_CHECK)
        operator.open(f"/runs/{run.run_id}")
        operator.sees_part("answered_better")
        operator.photograph("comparison-run")


def _declare_the_local_model(location: Location, golden: Path) -> None:
    """From vectors at random to those of a model, asked with every third word left out, and waiting for approval."""
    with mysql(location.workbench.source, autocommit=False) as connection:
        demo_rows.load(connection)
    table = demo_rows.TABLE
    location.workbench.mysql(f"DELETE FROM {table} WHERE id > {FEW}")
    rows = location.workbench.mysql(f"SELECT id, genie_question FROM {table} WHERE id <= {FEW} AND MOD(id, 5) = 0")
    with golden.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("query", "key"))
        for key, question in rows:
            words = [word for place, word in enumerate(question.split()) if place % 3 != 1]
            writer.writerow((" ".join(words), key))
    spec = location.spec
    for prefix in (None, 1, 1, None):  # a plot tells who has declared something that wasn't good
        search = {"golden_set": str(golden), "ann_from_vectors": FEW // 2, "ann_prefix": prefix}
        location.spec = spec.model_copy(update={"search": spec.search.model_copy(update=search)})
        location.settle()
        assert location.materialize("search_index", checks=["recall"]).success
    location.spec = location.spec.model_copy(
        update={
            "embedding": spec.embedding.model_copy(update={"provider": LocalProviderSpec()}),
            "generations": spec.generations.model_copy(update={"switch": "approval"}),
        }
    )
    location.settle()


def _declare_another_model(location: Location) -> None:
    with mysql(location.workbench.source, autocommit=False) as connection:
        demo_rows.load(connection)
    location.settle()
    spec = location.spec
    location.spec = spec.model_copy(
        update={
            "embedding": spec.embedding.model_copy(update={"model": "letters"}),
            "generations": spec.generations.model_copy(update={"switch": "approval"}),
        }
    )
    location.settle()


def _look_at_generations(operator: Operator) -> None:
    operator.open(f"/assets/{INDEX}/next_generation?view=checks")
    operator.sees("generation")
    operator.page.get_by_text("generation", exact=True).first.click()
    operator.sees_part("model: numbers → letters")
    operator.sees_part(f"job {INDEX}_switch_generation")
    operator.photograph("generation-check", CHECKS)
    operator.open(f"/assets/{INDEX}/next_generation?view=overview")
    operator.sees("built_percent")
    operator.sees_part("being built")
    operator.photograph("generations")


def _lose_most_rows(location: Location) -> None:
    """The index lags behind a little, catches up, and then the source loses most of its rows."""
    mysql, table = location.workbench.mysql, demo_rows.TABLE
    with mysql(location.workbench.source, autocommit=False) as connection:
        demo_rows.load(connection)
    mysql(f"CREATE TABLE later AS SELECT * FROM {table} WHERE id BETWEEN {FIRST + 1} AND {ROWS}")
    mysql(f"DELETE FROM {table} WHERE id > {FIRST}")
    location.settle()
    mysql(f"INSERT INTO {table} SELECT * FROM later")
    location.settle()
    mysql(f"DELETE FROM {table} WHERE id > {KEPT}")
    assert location.tick().run_requests == []


def _documents(workbench: Workbench) -> int:
    [(count,)] = workbench.postgres(f"SELECT count(*) FROM {INDEX}.documents")
    return int(count)


def _look_at_held_deletions(operator: Operator) -> None:
    operator.open(f"/assets/{INDEX}/documents?view=checks")
    operator.sees("deletion_guard")
    operator.sees("Failed")
    operator.page.get_by_text("deletion_guard", exact=True).first.click()
    operator.sees_part(f"the source lacks {ROWS - KEPT:,} of its {ROWS:,} documents")
    operator.sees_part(f"job {INDEX}_approve_deletions")
    operator.sees_part(f"job {INDEX}_reject_deletions")
    operator.photograph("mass-deletion", CHECKS)


def _look_at_lag(operator: Operator) -> None:
    operator.open(f"/assets/{INDEX}/search_index?view=overview")
    operator.page.get_by_text("Plots", exact=True).click()
    for number in ("lag_rows", "lag_seconds", "ranges_dirty", "oldest_comparison_seconds"):
        operator.sees(number)
    operator.page.get_by_text("lag_rows", exact=True).first.evaluate("label => label.scrollIntoView()")
    operator.photograph("lag", PLOTS)


def _look_at_jobs(operator: Operator) -> None:
    operator.open("/jobs")
    operator.page.get_by_text("compare_search_job", exact=True).hover()
    operator.page.mouse.wheel(0, 5000)  # the list has no more than what is about to be seen
    for job in ("approve_deletions", "reject_deletions", "repair"):
        operator.sees(f"{INDEX}_{job}")
    operator.photograph("jobs")


def _approve(operator: Operator) -> None:
    operator.open(f"/locations/vector_pipeline/jobs/{INDEX}_approve_deletions/playground")
    operator.page.get_by_role("button", name="Launch Run").click()


def _look_at_lineage(operator: Operator) -> None:
    operator.open(f"/locations/__repository__@vector_pipeline/asset-groups/{INDEX}/lineage")
    for asset in ("rows", "documents", "embeddings", "next_generation", "search_index"):
        operator.sees(asset)
    for kind in ("MySQL", "Postgres", "pgvector", "View"):
        operator.sees(kind)
    operator.sees("3 partitions", times=3)
    operator.sees("100% filled", times=3)
    operator.sees("2 / 2 Passed", times=2)
    operator.sees("3 / 3 Passed")
    operator.misses("Unsynced")  # what follows by itself must not look as if there were something to do
    operator.photograph("lineage", LINEAGE)


def _look_at_partitions(operator: Operator) -> None:
    operator.open(f"/assets/{INDEX}/embeddings?view=partitions&partition={PARTITIONS[1]}")
    operator.sees("Materialized (3)")
    operator.sees("Failed (0)")
    for partition in PARTITIONS:
        operator.sees(partition)
    for number in ("texts_needed", "texts_reused", "texts_embedded", "texts_quarantined", "tokens", "requests"):
        operator.sees(number)
    operator.photograph("partitions")


def _look_at_plots(operator: Operator) -> None:
    operator.open(f"/assets/{INDEX}/embeddings?view=overview")
    operator.page.get_by_text("Plots", exact=True).click()
    operator.page.get_by_text("Events", exact=True).last.click()  # along time, not along the partitions
    for number in ("texts_needed", "texts_reused", "texts_embedded", "tokens", "requests", "texts_per_second"):
        operator.sees(number)
    operator.page.get_by_text("texts_embedded", exact=True).evaluate("label => label.scrollIntoView()")
    operator.photograph("plots", PLOTS)


def _look_at_checks(operator: Operator) -> None:
    expected = {
        "rows": ("declaration", "detectors"),
        "documents": ("deletion_guard", "freshness"),
        "embeddings": ("no_quarantine",),
        "search_index": ("vector_honesty", "parity", "recall"),
    }
    for asset, checks in expected.items():
        operator.open(f"/assets/{INDEX}/{asset}?view=checks")
        operator.sees("Succeeded", times=len(checks))
        for check in checks:
            operator.sees(check)
        operator.sees("Passed")
        operator.photograph(f"checks-of-{asset}" if asset != "search_index" else "checks", CHECKS)


class Operator:
    """Someone at a browser: opens pages, and finds texts on them or fails."""

    def __init__(self, page: playwright.Page, address: str, folder: Path) -> None:
        self.page = page
        self._address = address
        self._folder = folder

    def open(self, path: str) -> None:
        self.page.goto(self._address + path)

    def sees(self, text: str, times: int = 1) -> None:
        """Waits until the text can be seen, at least so many times."""
        found = self.page.get_by_text(text, exact=True).locator("visible=true").nth(times - 1)
        playwright.expect(found, f"{text!r} on {self.page.url}").to_be_visible(timeout=SHOWN_MILLISECONDS)

    def sees_part(self, text: str) -> None:
        """Waits until the text can be seen within a longer one."""
        found = self.page.get_by_text(text).locator("visible=true").first
        playwright.expect(found, f"{text!r} on {self.page.url}").to_be_visible(timeout=SHOWN_MILLISECONDS)

    def misses(self, beginning: str) -> None:
        """The page, which shows what it should already, has no such text."""
        playwright.expect(self.page.get_by_text(beginning)).to_have_count(0)

    def photograph(self, name: str, clip: dict[str, float] | None = None) -> None:
        """Keeps what is seen as a picture."""
        self.page.wait_for_timeout(700)  # plots and graphs glide into their places
        picture = self._folder / f"{name}.png"
        self.page.screenshot(path=picture, clip=clip)
        if name in DOCUMENTED and os.environ.get(KEEP_IN):
            shutil.copy(picture, PROJECT / os.environ[KEEP_IN])


def _sync_twice_and_check(database: SourceSettings) -> None:
    with mysql(database, autocommit=False) as connection, connection.cursor() as cursor:
        demo_rows.load(connection)
        # Whatever Python runs this: so many rows give three key ranges.
        cursor.execute(f"DELETE FROM {demo_rows.TABLE} WHERE id > {ROWS}")
        connection.commit()
        assert _sync().inserted == ROWS
        for remainder in (0, 1):
            cursor.execute(
                f"UPDATE {demo_rows.TABLE} SET genie_answer = CONCAT(genie_answer, ' (new)') WHERE MOD(id, 50) = %s",
                (remainder,),
            )
            connection.commit()
            assert _sync().updated == ROWS // 50
    with dg.DagsterInstance.get() as instance:
        assert defs().resolve_job_def(f"{INDEX}_verify").execute_in_process(instance=instance).success


def _sync() -> SyncReport:
    return sync_in_process(find_declaration(INDEX))


def _environment(
    source: SourceSettings, target: TargetSettings, provider: MisbehavingProvider, home: Path
) -> dict[str, str]:
    settings = Settings(source, target, EmbeddingSettings(host=provider.url, model="numbers"))
    return {"DAGSTER_HOME": str(home)} | variables_of(settings)
