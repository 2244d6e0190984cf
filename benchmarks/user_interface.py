"""How long somebody waits for Dagster's pages of an index with 1,000 key ranges and 200 runs in its history.

The webserver is Dagster's own, over our definitions, with a code server beside it. A page is shown when all that it is
opened for can be read on it. The clock is the browser's and starts with the navigation, so that loading Dagster's own
program is in the time.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks.dagster_daemon import copy_project
from benchmarks.dagster_history import DECLARED, INDEX, PARTITIONS, RUNS, History, storage_in_postgres, write_history
from benchmarks.figures import Figure, Findings
from benchmarks.workplace import Workplace
from vector_pipeline_tests.browser import CHROMIUM_ARGUMENTS, chromium
from vector_pipeline_tests.dagster_instances import DagsterStorage, InFiles, new_home_of_processes
from vector_pipeline_tests.environments import variables_of
from vector_pipeline_tests.orchestration.webserver import wait_until_it_answers, webserver
from vector_pipeline_tests.provider_process import provider_process

BOUND_MS = 3_000.0
TIMES = 5

_DIMENSIONS = 64
_WINDOW = {"width": 1400, "height": 860}
_GIVE_UP_MS = 60_000
_LOOK_MS = 25
# What the browser's clock says once each text can be read as often as it is expected.
_SHOWN = """
texts => {
  const seen = document.body.innerText;
  const expected = text => texts.filter(other => other === text).length;
  return texts.every(text => seen.split(text).length > expected(text)) && performance.now();
}
"""
_RUNS_ON_A_PAGE = 20  # that can be seen without scrolling, and some


@dataclass(frozen=True)
class Opened:
    """A page, and what somebody wants to read on it: a text that is named twice has to be there twice."""

    name: str
    path: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Waited:
    """Milliseconds, one for each time that the page was opened: with an empty cache, and again in the same browser."""

    cold: tuple[float, ...]
    warm: tuple[float, ...]


def measure(place: Workplace) -> Findings:
    """With Dagster's storage in PostgreSQL, as in production."""
    with storage_in_postgres(place) as storage:
        return _measure(place, storage, "Dagster's pages", "PostgreSQL, as in production", bounds=True)


def measure_in_files(place: Workplace) -> Findings:
    """The same over SQLite, for comparison."""
    return _measure(place, InFiles(), "Dagster's pages over SQLite", "SQLite's files", bounds=False)


def _measure(place: Workplace, storage: DagsterStorage, title: str, stored: str, *, bounds: bool) -> Findings:
    with (
        provider_process(_DIMENSIONS) as provider,
        place.fresh_databases(provider.url) as workbench,
        tempfile.TemporaryDirectory(prefix="benchmarks-pages-") as folder,
    ):
        project, home = copy_project(Path(folder), DECLARED), new_home_of_processes(Path(folder) / "home", storage)
        history = write_history(workbench, home)
        environment = variables_of(workbench.settings)
        environment |= {"DAGSTER_HOME": str(home), "PYTHONPATH": str(project)}
        with webserver(project, Path(folder) / "webserver.log", environment) as address, _browser() as browser:
            wait_until_it_answers(address)
            pages = pages_of(history)
            _open_all(browser, address, pages)  # the first to ask has the webserver load what it keeps
            waited = {page: _wait_for(browser, address, page) for page in pages}
    return Findings(
        title,
        f"An index of {PARTITIONS:,} key ranges and {RUNS} runs, all of them real, and Dagster's storage in {stored}. "
        f"Headless Chromium on the same machine as webserver, code server and databases; from the navigation until "
        f"what the page is opened for can be read. Medians of {TIMES}: with an empty cache, and again.",
        [figure for page in pages for figure in _figures(page, waited[page], bounds=bounds)]
        + [Figure("writing that history", history.seconds, "s")],
    )


def pages_of(history: History) -> list[Opened]:
    """The asset page by its tabs, and the pages beside it."""
    asset, chosen = f"/assets/{INDEX}/embeddings", history.partitions[PARTITIONS // 2]
    return [
        Opened(
            "asset page, overview",
            f"{asset}?view=overview",
            ("Latest check results", "content_hash", f"{INDEX}_reconcile", "texts_embedded"),
        ),
        Opened(
            "asset page, partitions, with one of them opened",
            f"{asset}?view=partitions&partition={chosen}",
            (f"Materialized ({PARTITIONS})", "Latest materialization", chosen, "texts_embedded"),
        ),
        Opened("asset page, events", f"{asset}?view=events", ("materialized in run", "texts_embedded")),
        Opened(
            "asset page, checks",
            f"{asset}?view=checks",
            ("no_quarantine", "model_drift", "Succeeded", "Evaluation result", "Passed"),
        ),
        Opened(
            "lineage of the index",
            f"/locations/__repository__@vector_pipeline/asset-groups/{INDEX}/lineage",
            (*["100% filled"] * 3, *[f"{PARTITIONS:,} partitions"] * 3, *["2 / 2 Passed"] * 2),
        ),
        Opened("runs", "/runs", (f"{INDEX}_verify", *(run[:8] for run in history.runs[:_RUNS_ON_A_PAGE]))),
    ]


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=CHROMIUM_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def _open_all(browser: Browser, address: str, pages: list[Opened]) -> None:
    with _page(browser) as page:
        for one in pages:
            _milliseconds(page, address, one)


def _wait_for(browser: Browser, address: str, one: Opened) -> Waited:
    cold, warm = [], []
    for _ in range(TIMES):
        with _page(browser) as page:
            cold.append(_milliseconds(page, address, one))
            page.goto("about:blank")
            warm.append(_milliseconds(page, address, one))
    return Waited(tuple(cold), tuple(warm))


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    """A page of a browser that has never been there."""
    context = browser.new_context(viewport=_WINDOW)
    try:
        yield context.new_page()
    finally:
        context.close()


def _milliseconds(page: Page, address: str, one: Opened) -> float:
    page.goto(address + one.path, wait_until="commit")
    try:
        shown = page.wait_for_function(_SHOWN, arg=list(one.texts), polling=_LOOK_MS, timeout=_GIVE_UP_MS)
    except TimeoutError as error:
        seen = page.evaluate("document.body.innerText")
        lacking = sorted({text for text in one.texts if seen.count(text) < one.texts.count(text)})
        error.add_note(f"{one.name}: {lacking} cannot be read among {seen!r}")
        raise
    return float(shown.json_value())


def _figures(page: Opened, waited: Waited, *, bounds: bool) -> Iterator[Figure]:
    bound = BOUND_MS if bounds else None
    yield Figure(page.name, statistics.median(waited.cold), "ms", bound)
    yield Figure("… opened again", statistics.median(waited.warm), "ms", bound)
