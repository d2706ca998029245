"""The pages by release: a grading one has the teacher's page under its strict policy, others the API page."""

import asyncio
from pathlib import Path

import httpx
from starlette.applications import Starlette

from components.pages.card import card_page
from serving.live import Live, go_live
from serving.pages import page_routes
from serving.settings import ServiceSettings
from tests.serving.bundles import score_model, score_reference, write_bundle

CODEC = Path(__file__).with_name("grading_codec.py")


def pages(live: Live | None, *paths: str) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Starlette(routes=page_routes(lambda: live)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


def test_a_release_without_scores_and_a_server_without_a_release_have_the_api_page(tracing_folder: Path) -> None:
    live = go_live(ServiceSettings(release=tracing_folder))
    try:
        first, api = pages(live, "/", "/api")
    finally:
        live.close()
    (none,) = pages(None, "/")
    assert first.text == api.text == none.text
    assert "swagger-ui" in api.text
    assert "default-src 'none'" in api.headers["content-security-policy"]


def test_a_grading_release_has_the_teachers_page_that_runs_only_what_is_its_own(tmp_path: Path) -> None:
    write_bundle(
        tmp_path / "grading",
        application="grading",
        codec_file=CODEC,
        vocabulary={},
        model=score_model(),
        reference=score_reference,
    )
    live = go_live(ServiceSettings(release=tmp_path / "grading"))
    try:
        first, api = pages(live, "/", "/api")
    finally:
        live.close()
    assert "Paste the student" in first.text
    assert "swagger-ui" in api.text
    policy = first.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert first.headers["referrer-policy"] == "no-referrer"


def test_the_model_card_is_a_page_where_the_release_has_one(tmp_path: Path, tracing_folder: Path) -> None:
    page = card_page("# Card\n\n## Limits\n\nMade for <tests>.\n", "v1")
    write_bundle(tmp_path / "with", extra={"card.html": page.encode()})
    found = []
    for folder in (tmp_path / "with", tracing_folder):
        live = go_live(ServiceSettings(release=folder))
        try:
            found += pages(live, "/card")
        finally:
            live.close()
    card, absent = found
    (none,) = pages(None, "/card")
    assert (absent.status_code, none.status_code) == (404, 404)
    assert "GET /v1/card" in absent.text
    assert card.text == page
    assert "<h2>Limits</h2>" in card.text
    assert "Made for &lt;tests&gt;." in card.text
    policy = card.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_files_have_their_types_and_nothing_else_is_given() -> None:
    script, style, icon, *others = pages(
        None, "/page/main.js", "/page/style.css", "/page/icon.svg", "/page/..%2Fsettings.py", "/page/teacher.html"
    )
    assert [one.headers["content-type"].partition(";")[0] for one in (script, style, icon)] == [
        "text/javascript",
        "text/css",
        "image/svg+xml",
    ]
    assert {one.headers["x-content-type-options"] for one in (script, style, icon)} == {"nosniff"}
    assert [one.status_code for one in others] == [404, 404]
