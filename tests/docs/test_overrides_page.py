"""docs/how-to/overrides.md and teachers-page.md: the example runs, and what they name is there."""

import re
from pathlib import Path

from flows.cli.options import run_options
from serving.pages import FOLDER
from serving.settings import ServiceSettings
from tests.docs.pages import Page

PAGE = Page.named("overrides")


def test_the_example_runs(tmp_path: Path) -> None:
    PAGE.run_all()
    (example,) = PAGE.examples().values()
    example(tmp_path)


def test_the_settings_and_counts_that_it_names_are_the_codes() -> None:
    named = set(re.findall(r"HOMEROOM_(SERVE_[A-Z_]+)", PAGE.text))
    assert named == {"SERVE_OVERRIDES", "SERVE_PSEUDONYM_KEY"}
    assert {name.lower() for name in named} <= set(ServiceSettings.model_fields)
    from components.writing.ingest.overriding import Overridden

    counts = Overridden(given=0, replaced=0, added=0, superseded=0, set_apart=0, digest="").to_json()
    assert {"responses_replaced", "responses_added", "superseded", "set_apart"} <= counts.keys()
    assert all(f"`{name}`" in PAGE.text for name in counts if name not in {"sha256", "given"})
    assert "--overrides" in str(run_options.__code__.co_consts)


def test_the_page_is_made_of_files_of_our_own() -> None:
    text = Page.named("teachers-page").text
    assert "serving/page/" in text
    for path in FOLDER.iterdir():
        body = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search("https?://", body), path.name
        assert " style=" not in body
        assert not re.search(r"\son[a-z]+=\"", body)
