"""The report in real headless Chromium: axe-core, light and dark, a phone and paper, nothing asked of anybody.

Chromium is the system's (`apt-get install chromium`); without it these tests are skipped, and fail where CI is set.
Screenshots lie in build/screenshots afterwards.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from flows.reporting.contents import without_small_groups
from flows.reporting.figures import Gallery
from flows.reporting.page import rendered
from tests.flows.reporting.made_up import contents, groups
from tests.serving.test_page import SCREENSHOTS, WATCH, chromium

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


@dataclass
class Opened:
    """The report in a browser, and what went wrong or was asked for meanwhile."""

    browser: Browser
    path: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def page(self, width: int, scheme: Literal["light", "dark"] = "light") -> Page:
        context = self.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.said.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        context.on("request", lambda request: self.asked.append(request.url))
        page.goto(self.path.as_uri())
        return page


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Write the report with every field that is known, and start one browser for all tests."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    executable = chromium()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path.write_text(rendered(contents(groups=without_small_groups(groups())), Gallery()), encoding="utf-8")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield Opened(browser, path)
        browser.close()


def problems(page: Page) -> list[str]:
    """Return what axe-core finds wrong."""
    axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(axe)
    found: dict[str, Any] = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert len(found["passes"]) > 20, "axe looked at nothing"
    return [f"{v['id']}: {[n['target'] for n in v['nodes']]}" for v in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(opened: Opened, scheme: Literal["light", "dark"]) -> None:
    page = opened.page(1200, scheme)
    page.screenshot(path=SCREENSHOTS / f"report-{scheme}.png", full_page=True)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert problems(page) == []
    page.context.close()


def test_it_asks_nobody_for_anything_and_its_own_policy_forbids_it(opened: Opened) -> None:
    opened.said.clear()
    opened.asked.clear()
    page = opened.page(1000)
    assert page.evaluate("window.violations") == []
    assert opened.asked == [opened.path.as_uri()]
    assert opened.said == []
    page.evaluate("document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.1:9/x.png' }))")
    page.wait_for_function("window.violations.length === 1")
    assert page.evaluate("window.violations")[0].startswith("img-src")
    page.context.close()


@pytest.mark.parametrize("width", [320, 1600])
def test_it_fits_any_width(opened: Opened, width: int) -> None:
    page = opened.page(width)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=SCREENSHOTS / f"report-{width}.png", full_page=True)
    # Text of a plot stays inside its plot, whatever font the system has.
    outside = page.evaluate(
        """[...document.querySelectorAll('.plot svg')].flatMap((svg) => {
          const box = svg.getBoundingClientRect();
          return [...svg.querySelectorAll('text')].filter((text) => {
            const own = text.getBoundingClientRect();
            return own.width && (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1
              || own.bottom > box.bottom + 1);
          }).map((text) => text.textContent);
        })"""
    )
    assert outside == []
    page.context.close()


def test_names_beside_a_forest_plot_do_not_overlap(opened: Opened) -> None:
    page = opened.page(390)
    overlapping = page.evaluate(
        """[...document.querySelectorAll('.plot svg')].flatMap((svg) => {
          const boxes = [...svg.querySelectorAll('text')].map((one) => [one.textContent, one.getBoundingClientRect()]);
          return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
            Math.min(p.right, q.right) - Math.max(p.left, q.left) > 2 &&
            Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 5).map(([b]) => `${a} / ${b}`));
        })"""
    )
    assert overlapping == []
    page.context.close()


def test_on_paper_the_tables_are_open_and_nothing_is_cut_off(opened: Opened) -> None:
    page = opened.page(690)  # what is left of A4 between its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 690
    assert not page.is_visible("nav")
    table = page.locator("details.data:not(.long) table").first
    assert page.locator("details.data:not(.long)").first.evaluate("(one) => one.open") is False
    assert table.evaluate("(one) => one.getBoundingClientRect().height") > 0
    assert page.locator("#decision").evaluate("(one) => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    page.screenshot(path=SCREENSHOTS / "report-paper.png", full_page=True)
    body = page.pdf(format="A4")
    (SCREENSHOTS / "report.pdf").write_bytes(body)
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", body)) < 40
    page.context.close()
