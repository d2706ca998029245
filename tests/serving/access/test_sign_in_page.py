"""Signing in on the teachers' page in real headless Chromium: a key typed once, grading, a correction, signing out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from components.overrides import FILE, parsed
from serving.run import start
from tests.serving.access.house import make_key
from tests.serving.test_page import WATCH, chromium

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.multiprocess]


@dataclass
class Desk:
    """A page of a server with keys."""

    page: Page
    url: str
    key: str
    folder: Path


@pytest.fixture
def desk(released_essays: Any, tmp_path: Path) -> Iterator[Desk]:
    path = chromium()
    key = make_key(tmp_path / "access.json", "ms-noether", "grade", "override", "read")
    release = released_essays.summary.outcome.release
    environment = {
        "HOMEROOM_SERVE_KEYS": str(tmp_path / "access.json"),
        "HOMEROOM_SERVE_OVERRIDES": str(tmp_path / "kept"),
    }
    with (
        start(released_essays.settings.open_store().folder(release), environment=environment) as server,
        sync_playwright() as playwright,
    ):
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        context = browser.new_context()
        context.add_init_script(WATCH)
        page = context.new_page()
        page.set_default_timeout(10_000)
        yield Desk(page, server.url, key, tmp_path)
        browser.close()


def test_a_teacher_signs_in_grades_corrects_and_signs_out(desk: Desk) -> None:
    page = desk.page
    page.goto(desk.url)
    page.wait_for_selector("body[data-ready]")
    assert page.title() == "Sign in"
    assert page.evaluate("document.activeElement.id") == "key"
    page.keyboard.insert_text("hr_000000000000_" + "x" * 43)
    page.keyboard.press("Enter")
    page.wait_for_selector("#problem:not([hidden])")
    assert "does not count" in page.inner_text("#problem")
    page.keyboard.insert_text(desk.key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#text")
    page.wait_for_selector("body[data-ready]")
    assert page.inner_text("#sign-out") == "Sign out ms-noether"
    stored = page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]")
    assert stored == ["", 0, 0], "no script can read the key or the cookie"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
    page.fill("#text", "This is a text of some length about a subject. " * 12)
    page.click("#essay-form button")
    page.wait_for_selector("#result-part:not([hidden])")
    page.select_option("#score", index=1)
    page.fill("#teacher", "Ms Noether")
    page.fill("#reason", "Read it twice.")
    page.click("#override-form button")
    page.wait_for_selector("#saved:not(:empty)")
    (kept,) = parsed((desk.folder / "kept" / FILE).read_bytes()).overrides
    assert kept.reason == "Read it twice."
    assert page.evaluate("window.violations") == []
    api = page.context.new_page()
    with api.expect_response("**/docs.json") as docs:
        api.goto(f"{desk.url}/api")
    assert docs.value.status == 200, "the API page works for who is signed in"
    api.close()
    page.click("#sign-out")
    page.wait_for_selector("#key")
    assert page.context.cookies() == []
    refused = page.evaluate("fetch('./v1/card').then((answer) => answer.status)")
    assert refused == 401
