"""The teacher's page in real headless Chromium: by keyboard alone, with axe-core, under its policy, on loopback only.

Chromium is the system's (`apt-get install chromium`); without it these tests are skipped, and fail where CI is set.
Screenshots lie in build/screenshots afterwards.
"""

import csv
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from playwright.sync_api import Page, sync_playwright

from components.overrides import FILE, parsed
from components.pseudonyms import pseudonyms
from serving.run import start
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.multiprocess]

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
MOST_TABS = 60
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => {
  window.violations.push(e.violatedDirective + " " + e.blockedURI);
});
"""
DROP = """([name, body]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([body], name, { type: "text/csv" }));
  return transfer;
}"""
GIBBERISH = "xq zzv kkpt wrrl qqz vvk lmnx zzq ppt rrw " * 12


@dataclass
class Room:
    """A page on a running service, and all that is watched while it is used."""

    page: Page
    url: str
    folder: Path
    released: Released

    @property
    def responses(self) -> pl.DataFrame:
        return pl.read_parquet(self.released.logs)

    def text(self, prompt: str, at: int = 0) -> str:
        found: str = self.responses.filter(pl.col("prompt") == prompt)["text"][at]
        return found

    def shoot(self, name: str) -> None:
        self.page.wait_for_timeout(350)  # until what moves has moved
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus, as who uses no mouse does."""
        for _ in range(MOST_TABS):
            if self.page.evaluate("(s) => document.activeElement.matches(s)", selector):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached by Tab")

    def focused(self) -> str:
        found: str = self.page.evaluate("document.activeElement.id")
        return found

    def problems(self) -> list[str]:
        """Return what axe-core finds wrong."""
        axe = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(axe)
        found: dict[str, Any] = self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert len(found["passes"]) > 20, "axe looked at nothing"
        return [f"{v['id']}: {[n['target'] for n in v['nodes']]}" for v in found["violations"]]


def chromium() -> str:
    """Return the system's Chromium."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium is installed; .ci/run installs it")
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium)")
    return found


@pytest.fixture(scope="module")
def served(released_essays: Released, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Any]]:
    """Serve the release, with a folder for overrides, to one browser."""
    path = chromium()
    folder = tmp_path_factory.mktemp("overrides")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    settings, release = released_essays.settings, released_essays.summary.outcome.release
    environment = {
        "HOMEROOM_SERVE_OVERRIDES": str(folder),
        "HOMEROOM_SERVE_PSEUDONYM_KEY": str(settings.pseudonym_key_file()),
    }
    with (
        start(settings.open_store().folder(release), environment=environment) as server,
        sync_playwright() as playwright,
    ):
        arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield server.url, folder, browser
        browser.close()


@pytest.fixture
def room(served: tuple[str, Path, Any], released_essays: Released) -> Iterator[Room]:
    """Open the page; afterwards nothing may have gone wrong, been blocked or been asked of another host."""
    url, folder, browser = served
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    context.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    yield Room(page, url, folder, released_essays)
    violations = page.evaluate("window.violations")
    context.close()
    assert violations == []
    assert said == []
    assert asked
    assert [one for one in asked if not one.startswith((f"{url}/", f"blob:{url}/"))] == []


def test_a_text_is_graded_and_corrected_by_keyboard_alone(room: Room) -> None:
    page, prompt = room.page, room.responses["prompt"][0]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    room.tab_to("#prompt")
    page.keyboard.type(prompt)
    assert page.input_value("#prompt") == prompt
    room.tab_to("#text")
    text = room.text(prompt)
    page.keyboard.insert_text(text)
    room.tab_to("#essay-form button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result-part:not([hidden])")
    assert room.focused() == "result-title", "who cannot see the page is taken to the result"
    assert "Score" in page.inner_text("#status")
    assert page.locator(".moved li").count() > 0
    served_score = page.inner_text(".number").split()[0]
    room.shoot("result-light")
    room.tab_to("#score")
    page.keyboard.press("End")
    mine = page.input_value("#score")
    room.tab_to("#teacher")
    page.keyboard.insert_text("Ms Noether")
    room.tab_to("#override-form button")
    page.keyboard.press("Enter")
    assert room.focused() == "reason", "the first field that is missing"
    assert page.inner_text("#override-problem") == "Say why, in a few words."
    page.keyboard.insert_text("The second argument was overlooked.")
    room.tab_to("#override-form button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#saved:not(:empty)")
    assert "is stored" in page.inner_text("#saved")
    (stored,) = (one for one in parsed((room.folder / FILE).read_bytes()).overrides if one.student is None)
    assert (stored.text, stored.prompt, str(round(stored.score))) == (text, prompt, mine)
    assert (stored.teacher, stored.reason) == ("Ms Noether", "The second argument was overlooked.")
    assert stored.machine_score == float(served_score)
    assert stored.release == room.released.summary.outcome.release.version
    room.shoot("corrected")


def class_file(room: Room) -> str:
    rows = room.responses.filter(pl.col("prompt") == room.responses["prompt"][0]).head(5)
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["student", "response", "text"])
    table.writerow(["=HYPERLINK(1)", "", GIBBERISH])
    table.writerows(rows.select("student", "response", "text").iter_rows())
    return out.getvalue()


def test_a_dropped_class_is_graded_opened_corrected_and_downloaded(room: Room) -> None:
    page = room.page
    page.select_option("#prompt", room.responses["prompt"][0])
    transfer = page.evaluate_handle(DROP, ["class.csv", class_file(room)])
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("#columns:not([hidden])")
    assert page.locator("#text-column option:checked").inner_text() == "text"
    assert page.locator("#student-column option:checked").inner_text() == "student"
    page.click("#columns button")
    page.wait_for_selector("#table-part:not([hidden])")
    assert room.focused() == "table-title"
    assert page.locator("#rows tr").count() == 6
    assert page.inner_text("#table-said").startswith("5 of 6 texts have a score; 1 needs")
    assert page.locator("#rows tr.refused").count() == 1
    room.shoot("class-light")
    page.locator("#rows button").nth(2).click()
    page.wait_for_selector("#result-part:not([hidden])")
    student = room.responses.filter(pl.col("prompt") == room.responses["prompt"][0])["student"][1]
    assert page.inner_text("#result-title") == f"Result: {student}"
    assert page.input_value("#student") == student
    page.fill("#teacher", "T1")
    page.fill("#reason", "Read it twice.")
    page.click("#override-form button")
    page.wait_for_selector("#saved:not(:empty)")
    assert "is stored" in page.inner_text("#saved")
    assert "Corrected by you" in page.locator("#rows tr").nth(2).inner_text()
    (stored,) = (one for one in parsed((room.folder / FILE).read_bytes()).overrides if one.student is not None)
    key = room.released.settings.read_pseudonym_key()
    assert stored.student == pseudonyms(key, [student])[0]
    assert stored.response is not None
    assert student.encode() not in (room.folder / FILE).read_bytes()
    with page.expect_download() as download:
        page.click("#download")
    body = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(body)))
    assert rows[0] == ["Row", "Student", "Response", "Prompt", "Grade", "Interval", "Note"]
    assert rows[1][1] == "'=HYPERLINK(1)", "a spreadsheet must not run it"
    assert rows[1][4] == ""
    assert rows[3][4] != ""
    assert rows[3][6] == "corrected"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong(room: Room, scheme: Literal["light", "dark"]) -> None:
    page = room.page
    page.emulate_media(color_scheme=scheme)
    assert room.problems() == []
    page.select_option("#prompt", room.responses["prompt"][0])
    page.set_input_files("#file", {"name": "class.csv", "mimeType": "text/csv", "buffer": class_file(room).encode()})
    page.click("#columns button")
    page.wait_for_selector("#table-part:not([hidden])")
    page.locator("#rows button").nth(1).click()
    page.wait_for_selector("#result mark")
    page.click("#override-form button")  # shows the problem of an empty field
    page.click("#card summary")
    page.wait_for_selector("#card-body table")
    assert room.problems() == []
    room.shoot(f"all-{scheme}")
    page.locator("#rows button").nth(0).click()
    page.wait_for_selector("#result .abstained")
    assert room.problems() == []
    room.shoot(f"abstained-{scheme}")


def test_it_fits_a_phone_and_a_sheet_of_paper(room: Room) -> None:
    page = room.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.fill("#text", room.text(page.input_value("#prompt")))
    page.click("#essay-form button")
    page.wait_for_selector("#result-part:not([hidden])")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    room.shoot("phone")
    page.emulate_media(media="print")
    assert not page.is_visible("#override-form")
    assert page.is_visible(".number")
    room.shoot("paper")


def test_passages_are_marked_where_they_are_also_after_an_emoji(room: Room) -> None:
    page = room.page
    text = "\U0001f600 " + room.text(page.input_value("#prompt"), 1)
    page.fill("#text", text)
    with page.expect_response(lambda response: response.url.endswith("/v1/predict")) as response:
        page.click("#essay-form button")
    page.wait_for_selector("#result-part:not([hidden])")
    feedback = response.value.json()["answer"]["feedback"]
    expected = sorted((f["start"], f["end"]) for f in feedback if f["kind"] == "passage")
    marked = page.evaluate(
        "[...document.querySelectorAll('mark')].map((m) => [...m.childNodes].filter((n) => n.nodeType === 3)"
        ".map((n) => n.data).join(''))"
    )
    assert expected
    assert marked == [text[start:end].lstrip() for start, end in expected]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"text\n", "no rows below its headers"),
        (b'a,text\n1,"never closed\n', "A quote is opened and never closed"),
        (b"a,text\n1,one, two, three\n", "Row 1 has 4 cells, the headers 2"),
        (b"text\n" + b"x\n" * 501, "at most 500 are taken"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_what_to_do(room: Room, body: bytes, message: str) -> None:
    room.page.set_input_files("#file", {"name": "class.csv", "mimeType": "text/csv", "buffer": body})
    room.page.wait_for_selector("#problem:not([hidden])")
    assert message in room.page.inner_text("#problem")
    assert not room.page.is_visible("#columns")
