"""The search page, driven with headless Chromium over a live server on real databases.

Every picture is kept in the test's temporary folder. With VECTOR_PIPELINE_SCREENSHOTS=docs/images those of the
documentation are taken anew.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from vector_pipeline.core.settings import SourceSettings, TargetSettings
from vector_pipeline.core.store.api_keys import AccessScope, create_key
from vector_pipeline.serving.settings import ServingSettings
from vector_pipeline_tests.browser import CHROMIUM_ARGUMENTS, KEEP_IN, chromium
from vector_pipeline_tests.conftest import PROJECT, fresh_mysql_database, fresh_pg_database
from vector_pipeline_tests.servers import postgres
from vector_pipeline_tests.serving.page import knowledge
from vector_pipeline_tests.serving.serving import LiveServer, live_server
from vector_pipeline_tests.workbench import Workbench

playwright = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST: playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}
SHOWN_MILLISECONDS = 20_000
Visit = Callable[..., AbstractContextManager["Visitor"]]
DOCUMENTED = ("search-page", "search-page-phone")

expect.set_options(timeout=SHOWN_MILLISECONDS)


@contextmanager
def knowledge_base(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[Workbench]:
    """Two indexes, one of questions and answers and one of orders."""
    with fresh_mysql_database(mariadb) as source, fresh_pg_database(pg_template) as target:
        bench = Workbench(source, target)
        knowledge.fill(bench)
        yield bench


def page_server(bench: Workbench) -> AbstractContextManager[LiveServer]:
    """A server over both that keeps queries that found nothing."""
    specs = [knowledge.questions_spec(), knowledge.orders_spec()]
    return live_server(bench, specs, ServingSettings(unanswered_days=30))


@pytest.fixture(scope="module")
def server(mariadb: SourceSettings, pg_template: TargetSettings) -> Iterator[LiveServer]:
    """A server for tests that change nothing."""
    with knowledge_base(mariadb, pg_template) as bench, page_server(bench) as live:
        yield live


class Visitor:
    """Somebody at the page, who notices everything that goes wrong in it."""

    def __init__(self, page: Any, url: str, folder: Path) -> None:
        self.page = page
        self.url = url
        self._folder = folder
        self.wrong: list[str] = []
        page.set_default_timeout(SHOWN_MILLISECONDS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: self.wrong.append(f"a script ran: {dialog.message}") or dialog.dismiss())
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        # Refused requests are told by the browser as well; what the page makes of them is what tests look at.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)

    def goes_to(self, address: str = "") -> None:
        self.page.goto(f"{self.url}/{address}")

    def searches(self, query: str) -> None:
        self.page.get_by_role("searchbox", name="Look for").fill(query)
        self.page.keyboard.press("Enter")

    def opens_options(self) -> None:
        if self.page.locator("#options").get_attribute("open") is None:
            self.page.locator("#options > summary").click()

    @property
    def titles(self) -> Any:
        return self.page.locator(".hit h2")

    @property
    def first(self) -> Any:
        return self.page.locator(".hit").first

    @property
    def told(self) -> Any:
        return self.page.get_by_role("status")

    @property
    def problem(self) -> Any:
        return self.page.get_by_role("alert")

    def photograph(self, name: str, *, full: bool = False) -> None:
        picture = self._folder / f"{name}.png"
        self.page.screenshot(path=picture, full_page=full, animations="disabled")
        if name in DOCUMENTED and os.environ.get(KEEP_IN):
            shutil.copy(picture, PROJECT / os.environ[KEEP_IN])

    def sees_all_within_the_width(self) -> None:
        """Nothing makes the page scroll sideways."""
        assert self.page.evaluate(TOO_WIDE) == []


def never(_: Any) -> None:
    """An answer that never comes."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    program = chromium()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, server: LiveServer, tmp_path: Path) -> Visit:
    """Comes to the page: with an empty history, and as if for the first time."""
    return partial(visiting, browser, server, tmp_path)


@contextmanager
def visiting(
    browser: Any,
    server: LiveServer,
    folder: Path,
    window: dict[str, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Visitor]:
    """A window of that size and colours; fails at its end if anything went wrong in the page."""
    context = browser.new_context(
        viewport=window, color_scheme=scheme, reduced_motion="reduce", has_touch=window is PHONE
    )
    try:
        visitor = Visitor(context.new_page(), server.url, folder)
        yield visitor
        assert visitor.wrong == []
    finally:
        context.close()


def test_somebody_searches_filters_opens_and_asks_for_more_like_it(visit: Visit) -> None:
    with visit() as visitor:
        page = visitor.page
        visitor.goes_to()
        card = page.get_by_role("article").filter(has_text="soal_jawab")
        expect(card).to_contain_text("100 % of 24 texts")
        expect(card).to_contain_text("in step")

        page.get_by_label("Index", exact=True).select_option("soal_jawab")
        page.get_by_label("Search by").select_option("hybrid")
        visitor.searches("renew passport")
        expect(visitor.titles.first).to_have_text("How do I renew my passport?")
        expect(visitor.told).to_contain_text("in soal_jawab · by vectors and words · above 0.40")
        expect(visitor.first.locator("h2 mark")).to_have_text(["renew", "passport"])
        expect(visitor.first.locator(".score-name")).to_have_text(["together", "vectors #1", "words #1"])
        link = visitor.first.get_by_role("link")
        expect(link).to_have_attribute("href", "https://example.org/passport/renew?lang=en")
        expect(link).to_have_attribute("rel", "noopener noreferrer")

        unfold = visitor.first.get_by_role("button", name="Show all of answer")
        unfold.click()
        expect(visitor.first).to_contain_text("the child's birth certificate.")
        visitor.first.get_by_role("button", name="Show less").click()
        expect(visitor.first).not_to_contain_text("the child's birth certificate.")
        visitor.photograph("search-page")

        page.get_by_role("button", name="Add a filter").click()
        page.get_by_label("Column of filter 1").select_option("asked")
        page.get_by_label("Comparison of filter 1").select_option("between")
        page.get_by_label("Lowest value of filter 1").fill("2025-11-01")
        page.get_by_label("Highest value of filter 1").fill("2025-12-31")
        page.get_by_label("Highest value of filter 1").press("Tab")
        expect(visitor.told).to_contain_text("filtered")
        expect(visitor.titles).to_have_text(
            ["My passport was lost abroad. What now?", "Pasport saya hilang, apa perlu dibuat?"]
        )
        shared = page.url

        visitor.first.get_by_role("button", name="More like this").click()
        expect(page.locator(".like")).to_contain_text("Documents like My passport was lost abroad. What now?")
        expect(visitor.titles).to_have_text(["Pasport saya hilang, apa perlu dibuat?"])
        page.go_back()
        expect(visitor.titles).to_have_count(2)

        visitor.goes_to(shared.removeprefix(f"{visitor.url}/"))
        expect(visitor.titles).to_have_count(2)
        expect(page.get_by_label("Comparison of filter 1")).to_have_value("between")
        page.get_by_role("button", name="Remove filter 1").click()
        expect(visitor.titles).not_to_have_count(2)

        page.get_by_text("SQL and timings").click()
        expect(page.locator(".sql").first).to_contain_text("SELECT")
        expect(page.locator(".legend")).to_contain_text("PostgreSQL")


def test_the_page_is_used_by_keyboard_alone(visit: Visit) -> None:
    with visit(DESKTOP, "dark") as visitor:
        page, press = visitor.page, visitor.page.keyboard.press
        visitor.goes_to("?q=pasport&index=soal_jawab&threshold=0")
        expect(visitor.titles.first).to_contain_text("pasport")
        visitor.page.locator("body").press("/")
        expect(page.locator("#query")).to_be_focused()
        page.keyboard.type("lesen memandu")
        press("Enter")
        expect(visitor.titles.first).to_have_text("Bagaimana memohon lesen memandu antarabangsa?")
        press("ArrowDown")
        expect(visitor.first).to_be_focused()
        press("ArrowDown")
        expect(page.locator(".hit").nth(1)).to_be_focused()
        press("ArrowUp")
        press("ArrowUp")
        expect(page.locator("#query")).to_be_focused()
        press("ArrowDown")
        press("Tab")
        press("Tab")
        expect(visitor.first.get_by_role("button", name="More like this")).to_be_focused()
        press("Enter")
        expect(page.locator(".like")).to_be_visible()
        expect(page.get_by_role("region", name="Results")).to_be_focused()
        press("Escape")
        expect(page.locator("#query")).to_be_focused()

        page.route("**/v1/search", never)
        visitor.searches("lambat")
        expect(page.get_by_role("region", name="Results")).to_have_attribute("aria-busy", "true")
        press("Escape")
        expect(visitor.told).to_have_text("Given up.")
        expect(page.get_by_role("region", name="Results")).to_have_attribute("aria-busy", "false")


def test_texts_of_the_table_are_shown_as_texts_and_only_web_addresses_as_links(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goes_to("?index=soal_jawab&mode=hybrid&q=HTML+script+passport+editor")
        hit = visitor.page.locator(".hit").filter(has_text="portal's editor")
        expect(hit).to_contain_text("<script>alert(1)</script> or <img src=x onerror=alert(1)>")
        expect(hit.locator("h2")).to_have_text('How do I write <b>bold</b> & "quoted" text in the portal\'s editor?')
        assert visitor.page.locator(".hit img, .hit script, .hit b").count() == 0
        visitor.goes_to("?index=soal_jawab&q=old+batteries")
        expect(visitor.first).to_contain_text("javascript:alert(1)")
        expect(visitor.first.get_by_role("link")).to_have_count(0)


@pytest.mark.long
def test_a_new_search_gives_up_the_one_before(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goes_to("?index=soal_jawab&q=zakat")
        expect(visitor.titles.first).to_contain_text("zakat")
        visitor.page.route(
            "**/v1/search", lambda route: None if "slow" in route.request.post_data else route.continue_()
        )
        visitor.searches("slow")
        expect(visitor.page.get_by_role("region", name="Results")).to_have_attribute("aria-busy", "true")
        with visitor.page.expect_event("requestfailed") as given_up:
            visitor.searches("income tax")
        assert "slow" in given_up.value.post_data
        expect(visitor.titles.first).to_have_text("How is income tax paid?")


@pytest.mark.long
def test_the_threshold_is_tuned_and_what_found_nothing_is_told_with_ways_out(visit: Visit) -> None:
    with visit() as visitor:
        page = visitor.page
        visitor.goes_to("?index=soal_jawab&q=mengapa+langit+biru")
        expect(page.get_by_label("Threshold", exact=True)).to_have_value("0.4")
        page.get_by_label("Threshold, as a number").fill("0.95")
        page.get_by_label("Threshold, as a number").press("Enter")
        expect(visitor.told).to_contain_text("Nothing found in soal_jawab · by vectors · above 0.95")
        visitor.photograph("nothing")
        for lower in ("0.75", "0.55"):
            page.get_by_role("button", name=f"Lower the threshold to {lower}").click()
            expect(visitor.told).to_contain_text(f"above {lower}")
        page.get_by_label("Threshold", exact=True).press("Home")
        expect(visitor.told).to_contain_text("5 documents in soal_jawab · by vectors · above 0.00")
        page.get_by_role("button", name="as declared").click()
        expect(visitor.told).to_contain_text("above 0.40")

        page.get_by_role("link", name="Indexes").click()
        card = page.get_by_role("article").filter(has_text="soal_jawab")
        card.get_by_text("Queries that found nothing").click()
        asked = card.locator(".unanswered li").filter(has_text="mengapa langit biru")
        expect(asked).to_contain_text(re.compile(r"\d ×, just now"))
        card.get_by_role("button", name="mengapa langit biru").click()
        expect(visitor.told).to_contain_text("in soal_jawab")


@pytest.mark.long
def test_several_indexes_are_searched_together(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goes_to()
        visitor.searches("passport cover for a gift")
        expect(visitor.told).to_contain_text("in 2 indexes")
        expect(visitor.titles.first).to_have_text("Nadia Rahman")
        expect(visitor.first.locator(".metadata")).to_contain_text("index")
        expect(visitor.page.get_by_text("Choose one index to filter")).to_be_visible()
        visitor.photograph("all-indexes", full=True)


@pytest.mark.long
def test_weights_of_fields_are_chosen_and_kept_in_the_address(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goes_to("?index=soal_jawab&threshold=0&q=library")
        visitor.page.get_by_label("By field").select_option("weights…")
        visitor.page.get_by_label("answer", exact=True).fill("0.3")
        visitor.page.get_by_label("answer", exact=True).press("Tab")
        expect(visitor.first.locator(".score.part")).to_have_count(2)
        assert "field=question%3D1%2Canswer%3D0.3" in visitor.page.url
        visitor.page.reload()
        expect(visitor.page.get_by_label("answer", exact=True)).to_have_value("0.3")


@pytest.mark.long
def test_an_index_that_is_behind_its_table_says_so(
    mariadb: SourceSettings, pg_template: TargetSettings, browser: Any, tmp_path: Path
) -> None:
    with knowledge_base(mariadb, pg_template) as bench:
        bench.mysql("UPDATE soalan SET views = views + 1 WHERE id = 1")
        with bench.index(knowledge.questions_spec()) as index:
            index.detect()
        with page_server(bench) as server, visiting(browser, server, tmp_path) as visitor:
            visitor.goes_to("?index=soal_jawab&q=passport")
            expect(visitor.page.locator(".callout")).to_contain_text("behind its table")
            visitor.page.get_by_role("link", name="Indexes").click()
            card = visitor.page.get_by_role("article").filter(has_text="soal_jawab")
            expect(card.locator(".standing.behind")).to_contain_text("behind")
            expect(card.locator(".facts")).to_contain_text("1 key range")
            visitor.photograph("behind")


@pytest.mark.long
def test_a_key_is_asked_for_where_one_is_needed_and_forgotten_on_request(
    mariadb: SourceSettings, pg_template: TargetSettings, browser: Any, tmp_path: Path
) -> None:
    with knowledge_base(mariadb, pg_template) as bench:
        with postgres(bench.target) as connection:
            key = create_key(connection, "page", [AccessScope.SEARCH]).secret
        with page_server(bench) as server, visiting(browser, server, tmp_path) as visitor:
            _ask_for_a_key(visitor, key)


def _ask_for_a_key(visitor: Visitor, key: str) -> None:
    page = visitor.page
    visitor.goes_to("?index=soal_jawab&q=passport")
    expect(visitor.problem).to_contain_text("An API key is needed.")
    expect(page.get_by_label("API key")).to_be_focused()
    visitor.photograph("key")
    page.get_by_label("API key").fill("vp_wrong")
    page.keyboard.press("Enter")
    expect(visitor.problem).to_contain_text("This API key isn’t taken.")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(visitor.titles.first).to_contain_text("passport")
    assert key not in page.content()
    page.reload()
    expect(visitor.titles.first).to_contain_text("passport")
    page.get_by_role("link", name="Indexes").click()
    card = page.get_by_role("article").filter(has_text="soal_jawab")
    card.get_by_text("Queries that found nothing").click()
    expect(card).to_contain_text("a key with the scope admin")
    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget it").click()
    expect(visitor.problem).to_contain_text("An API key is needed.")


@pytest.mark.long
@pytest.mark.parametrize(
    ("status", "body", "headers", "told"),
    [
        (
            503,
            {"detail": "Embedding service unavailable", "reference": "3f2a1b9c"},
            {},
            ["Embedding", "3f2a1b9c", "words"],
        ),
        (429, {"detail": "too many"}, {"Retry-After": "1"}, ["Too many requests.", "Try again"]),
        (422, {"detail": [{"loc": ["body", "filter"], "msg": "no such column"}]}, {}, ["filter: no such column."]),
        (500, None, {}, ["The server failed (500)."]),
    ],
)
def test_what_the_api_refuses_is_told_in_words_and_can_be_tried_again(
    visit: Visit, status: int, body: object, headers: dict[str, str], told: list[str]
) -> None:
    with visit() as visitor:
        page = visitor.page
        page.route(
            "**/v1/search",
            lambda route: route.fulfill(
                status=status, headers=headers, **({"json": body} if body else {"body": "<h1>no</h1>"})
            ),
        )
        visitor.goes_to("?index=soal_jawab&q=passport")
        for words in told:
            expect(visitor.problem).to_contain_text(words)
        visitor.photograph(f"refused-{status}")
        page.unroute("**/v1/search")
        if status == 422:
            visitor.searches("passport")
        else:
            visitor.problem.get_by_role("button", name=re.compile("^Try again$")).click()
        expect(visitor.titles.first).to_contain_text("passport")
        expect(visitor.problem).to_be_empty()


@pytest.mark.long
def test_a_server_that_is_away_is_told(visit: Visit) -> None:
    with visit() as visitor:
        visitor.goes_to("?index=soal_jawab&q=zakat")
        expect(visitor.titles.first).to_contain_text("zakat")
        visitor.page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
        visitor.searches("passport")
        expect(visitor.problem).to_contain_text("The server can’t be reached.")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [DESKTOP, PHONE, {"width": 320, "height": 640}], ids=["desktop", "phone", "small"])
def test_it_fits_desktops_and_phones_light_and_dark(
    visit: Visit, window: dict[str, int], scheme: Literal["light", "dark"]
) -> None:
    name = f"{window['width']}-{scheme}"
    with visit(window, scheme) as visitor:
        visitor.page.route("**/status", never)
        visitor.goes_to()
        expect(visitor.page.locator(".facts").first).to_contain_text("…")
        visitor.sees_all_within_the_width()
        visitor.photograph(f"waiting-{name}")
        visitor.page.unroute("**/status")
        visitor.goes_to()
        expect(visitor.page.locator(".standing")).to_have_text(["in step", "in step"])
        visitor.sees_all_within_the_width()
        visitor.photograph(f"indexes-{name}", full=True)
        visitor.goes_to("?index=soal_jawab&mode=hybrid&q=renew+passport")
        expect(visitor.titles.first).to_have_text("How do I renew my passport?")
        visitor.sees_all_within_the_width()
        if (window, scheme) == (PHONE, "dark"):
            visitor.photograph("search-page-phone")
        visitor.opens_options()
        visitor.page.get_by_role("button", name="Add a filter").click()
        visitor.page.get_by_text("SQL and timings").click()
        expect(visitor.page.locator(".sql").first).to_be_visible()
        visitor.sees_all_within_the_width()
        visitor.photograph(f"all-open-{name}", full=True)
        assert visitor.page.evaluate(TOO_FAINT) == []


# What reaches beyond the window, if anything makes the page scroll sideways.
TOO_WIDE = """
() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth <= clientWidth) return [];
  const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > clientWidth);
  return [`${scrollWidth} of ${clientWidth}`, ...wide.map((e) => `${e.tagName} ${e.className} ${e.id}`)];
}
"""

# Texts whose contrast with what is behind them is below the 4.5 of WCAG AA (3 where they are large).
TOO_FAINT = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const numbers = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
      && e.checkVisibility() && !e.disabled && !e.closest("select:disabled"))
    .map((e) => {
      const style = getComputedStyle(e);
      const [light, dark] = [luminance(numbers(style.color)), luminance(behind(e))].sort((a, b) => b - a);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
      return { text: e.textContent.trim().slice(0, 40), ratio: (light + 0.05) / (dark + 0.05), least: large ? 3 : 4.5 };
    })
    .filter(({ ratio, least }) => ratio < least);
}
"""
