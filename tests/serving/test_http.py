"""The HTTP interface: answers, lists, limits, statuses, and the typed OpenAPI page, in process."""

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.bundle import write_bundle_manifest
from serving.http import Api
from serving.live import Live, go_live, start_live
from serving.openapi import MOST_IN_LIST
from serving.settings import ServiceSettings
from tests.serving.bundles import (
    KEY,
    probability_of,
    request_of,
    tracing_model,
    write_bundle,
    write_score_bundle,
)

Talk = Callable[[httpx.AsyncClient], Awaitable[Any]]
LIMIT = 20_000


def serve(folder: Path | None, talk: Talk, **settings: Any) -> Any:
    """Serve a bundle in process and return what `talk` returns."""
    live = go_live(ServiceSettings(release=folder, serve_body_bytes=LIMIT, **settings))
    try:
        return talk_to(live, talk)
    finally:
        live.close()


def talk_to(live: Live, talk: Talk) -> Any:
    app = Api(live)

    async def run() -> Any:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await talk(client)

    return asyncio.run(run())


@pytest.fixture
def live(tracing_folder: Path) -> Iterator[Live]:
    server = go_live(ServiceSettings(release=tracing_folder, serve_body_bytes=LIMIT))
    yield server
    server.close()


def post(live: Live, path: str, value: Any) -> httpx.Response:
    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        body = value if isinstance(value, bytes) else json.dumps(value)
        return await client.post(path, content=body)

    response = talk_to(live, talk)
    assert isinstance(response, httpx.Response)
    return response


def get(live: Live, path: str) -> httpx.Response:
    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get(path)

    response = talk_to(live, talk)
    assert isinstance(response, httpx.Response)
    return response


def test_an_answer_carries_its_release_in_body_and_header(live: Live) -> None:
    response = post(live, "/predict", request_of(4, 2))
    assert live.bundle is not None
    assert response.status_code == 200
    assert response.headers["x-homeroom-release"] == live.bundle.version
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["release"] == live.bundle.version
    assert [p["probability"] for p in body["answer"]["predictions"]] == pytest.approx([probability_of(4)] * 2, abs=1e-6)
    assert body["answer"]["steps_used"] == 4


def test_a_bad_request_is_told_by_path_and_rule_and_never_by_value(live: Live) -> None:
    response = post(live, "/predict", {"candidates": [{"item": 12345, "Anna Smith": 1}]})
    assert response.status_code == 400
    assert response.headers["x-homeroom-release"]
    assert response.json() == {
        "error": "The request cannot be read.",
        "status": 400,
        "problems": [
            {"path": "candidates[0].item", "rule": "Input should be a valid string"},
            {"path": "candidates[0]", "rule": "has a key that is not known; known are: item, skills"},
        ],
    }
    assert "12345" not in response.text
    assert post(live, "/predict", b"{").status_code == 400
    refused = post(live, "/predict", {"candidates": []})
    assert refused.status_code == 400
    assert "candidates is empty" in refused.json()["error"]


STEP = '{"candidates":[{"item":"i2","skills":["mul"]}],"history":[{"correct":%s,"item":"i1","skills":["add"]}]}'
PLAIN = json.dumps(request_of(0)).encode()
ODD: list[tuple[str, bytes, dict[str, str], int]] = [
    ("history is []", b'{"candidates":[{"item":"i2","skills":["mul"]}],"history":[]}', {}, 200),
    ("history is null", b'{"candidates":[{"item":"i2"}],"history":null}', {}, 400),
    ("unicode", '{"candidates":[{"item":"数学 \U0001f600 ñ\u202e","skills":["Ω"]}]}'.encode(), {}, 200),
    ("NUL in a string", b'{"candidates":[{"item":"\\u0000"}]}', {}, 200),
    ("half a character", b'{"candidates":[{"item":"\\ud800"}]}', {}, 400),
    ("no UTF-8", b'{"candidates":[{"item":"\xff"}]}', {}, 400),
    ("UTF-16", PLAIN.decode().encode("utf-16"), {}, 400),
    ("100 candidates", json.dumps(request_of(1, 100)).encode(), {}, 200),
    ("200 candidates", json.dumps(request_of(1, 200)).encode(), {}, 400),
    ("NaN", (STEP % "NaN").encode(), {}, 400),
    ("Infinity", (STEP % "-Infinity").encode(), {}, 400),
    ("a float that overflows", (STEP % "1e999").encode(), {}, 400),
    ("a long integer", (STEP % ("9" * 400)).encode(), {}, 400),
    ("a longer integer than Python reads", (STEP % ("9" * 6000)).encode(), {}, 400),
    ("deep lists", b"[" * 10_000, {}, 400),
    ("deep lists, closed", b'{"candidates":' + b"[" * 5000 + b"]" * 5000 + b"}", {}, 400),
    ("deep objects", b'{"candidates":' * 1000 + b"1" + b"}" * 1000, {}, 400),
    ("empty", b"", {}, 400),
    ("white space", b"  \n", {}, 400),
    ("null", b"null", {}, 400),
    ("another content type", PLAIN, {"content-type": "text/plain"}, 200),
    ("a form", b"candidates=i2", {"content-type": "application/x-www-form-urlencoded"}, 400),
    ("gzip that says so", gzip.compress(PLAIN), {"content-encoding": "gzip"}, 415),
    ("gzip that does not", gzip.compress(PLAIN), {}, 400),
    ("a length that is no number", PLAIN, {"content-length": "x"}, 413),
    ("a length that is too long a number", PLAIN, {"content-length": "9" * 6000}, 413),
]


@pytest.mark.parametrize(("body", "headers", "status"), [case[1:] for case in ODD], ids=[case[0] for case in ODD])
def test_an_odd_request_is_answered_or_refused_and_never_breaks_anything(
    live: Live, body: bytes, headers: dict[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        alone = await client.post("/predict", content=body, headers=headers)
        listed = {name: value for name, value in headers.items() if name != "content-length"}
        both = await client.post("/predict/batch", content=b"[" + body + b"," + PLAIN + b"]", headers=listed)
        return [alone, both, await client.post("/predict", content=PLAIN)]

    alone, both, afterwards = talk_to(live, talk)
    assert alone.status_code == status, alone.text
    if status == 200:
        assert alone.json()["answer"]["predictions"]
    else:
        assert alone.json()["status"] == status
        assert alone.json()["error"]
    assert both.status_code in {200, 400, 413, 415}, both.text
    if both.status_code == 200:
        first, second = both.json()["results"]
        assert ("answer" in first) == (status in {200, 413})  # 413: the odd length was for the other request alone
        assert second["answer"]["predictions"][0]["probability"] == pytest.approx(probability_of(0), abs=1e-6)
    assert afterwards.status_code == 200
    assert not caplog.records


def test_each_item_of_a_list_has_its_own_answer_or_error(live: Live) -> None:
    items = [request_of(1), {"candidates": 3}, request_of(5), {"candidates": []}]
    response = post(live, "/predict/batch", items)
    assert response.status_code == 200
    results = response.json()["results"]
    assert [list(r) for r in results] == [["answer"], ["error"], ["answer"], ["error"]]
    assert results[2]["answer"]["predictions"][0]["probability"] == pytest.approx(probability_of(5), abs=1e-6)
    assert results[1]["error"]["problems"] == [{"path": "candidates", "rule": "Input should be a valid array"}]
    assert results[3]["error"]["status"] == 400
    assert post(live, "/predict/batch", [request_of(0)] * (MOST_IN_LIST + 1)).status_code == 400
    assert len(post(live, "/predict/batch", [request_of(0)] * MOST_IN_LIST).json()["results"]) == MOST_IN_LIST


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_body_over_the_limit_is_refused_with_and_without_a_declared_length(live: Live, path: str) -> None:
    big = b" " * (LIMIT + 1)
    assert post(live, path, big).status_code == 413
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1000
            yield b" " * 1000

    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(path, content=chunks())

    assert talk_to(live, talk).status_code == 413
    exact = json.dumps(request_of(1)).encode().ljust(LIMIT)
    assert post(live, "/predict", exact).status_code == 200


def test_overload_is_503_with_retry_after_and_nothing_hangs(tracing_folder: Path) -> None:
    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        body = json.dumps(request_of(30, 20))
        return await asyncio.gather(*(client.post("/predict", content=body) for _ in range(60)))

    responses = serve(tracing_folder, talk, serve_waiting=2, serve_rows=1)
    by_status = {s: [r for r in responses if r.status_code == s] for s in {r.status_code for r in responses}}
    assert set(by_status) == {200, 503}
    assert all(r.headers["retry-after"] == "1" for r in by_status[503])
    assert all("waiting already" in r.json()["error"] for r in by_status[503])
    for response in by_status[200]:
        assert response.json()["answer"]["predictions"][19]["probability"] == pytest.approx(
            probability_of(30), abs=1e-6
        )


def test_a_late_answer_is_504(live: Live) -> None:
    assert live.batcher is not None
    hurried = replace(live, timeout_s=1e-9)
    response = post(hurried, "/predict", request_of(1))
    assert response.status_code == 504
    assert post(hurried, "/predict/batch", [request_of(1)]).status_code == 504


def test_a_body_that_does_not_come_is_408(live: Live) -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/predict", content=drip())

    response = talk_to(replace(live, timeout_s=0.1), talk)
    assert response.status_code == 408
    assert "did not arrive" in response.json()["error"]


def test_version_and_card_say_what_serves(live: Live, tracing_folder: Path) -> None:
    assert live.bundle is not None
    said = get(live, "/version").json()
    (worker,) = said.pop("workers")
    assert (worker["pid"], worker["release"], worker["ready"]) == (os.getpid(), live.bundle.version, True)
    assert said == {
        "release": live.bundle.version,
        "application": "knowledge_tracing",
        "codec_sha256": live.bundle.codec_digest,
        "signature": "absent",
        "key_id": None,
        "ready": True,
        "reason": "",
        "gate_override": None,
        "entry": None,
        "behind": "",
        "challenger": None,
        "percent": 0,
        "shadow": None,
    }
    card = get(live, "/card")
    assert card.headers["content-type"].startswith("text/markdown")
    assert card.text == (tracing_folder / "card.md").read_text()


@pytest.mark.parametrize(("until", "counts"), [("2999-12-31", True), ("2020-01-31", False)])
def test_version_says_by_whose_word_a_stopped_release_serves_and_whether_that_counts_yet(
    live: Live, monkeypatch: pytest.MonkeyPatch, until: str, counts: bool
) -> None:
    given = {"by": "A. Mensah", "reason": "this term", "until": until}
    stored = {**given, "given": "20261122T100000Z"}  # as the registry has it
    monkeypatch.setenv("HOMEROOM_SERVE_GATE_OVERRIDE", json.dumps(stored))
    overridden = replace(live, gate_override=ServiceSettings().serve_gate_override)
    assert get(overridden, "/version").json()["gate_override"] == {**given, "counts": counts}


@pytest.mark.parametrize("text", ["{", "[]", '{"by": "A. Mensah"}', '{"by": "A", "reason": "b", "until": "soon"}'])
def test_an_override_that_cannot_be_read_is_a_reason_not_to_be_ready(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("HOMEROOM_SERVE_GATE_OVERRIDE", text)
    assert start_live(ServiceSettings).reason.startswith("HOMEROOM_SERVE_GATE_OVERRIDE cannot be read")


def test_the_openapi_page_shows_the_fields_of_the_releases_codec(live: Live, tmp_path: Path) -> None:
    page = get(live, "/openapi.json").json()
    schemas = page["components"]["schemas"]
    assert set(schemas["Request"]["properties"]) == {"candidates", "history"}
    assert schemas["Request"]["required"] == ["candidates"]
    assert set(schemas["Step"]["properties"]) == {"correct", "item", "skills"}
    assert "predictions" in schemas["Answer"]["properties"]
    assert live.bundle is not None
    assert page["info"]["title"] == "homeroom: knowledge_tracing"
    assert page["info"]["version"] == live.bundle.version
    assert "a student's recent history and the items to predict" in page["info"]["description"]
    post_ = page["paths"]["/predict"]["post"]
    assert post_["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Request"}
    statuses = {"200", "400", "401", "403", "408", "413", "415", "429", "500", "503", "504"}
    assert set(post_["responses"]) == statuses
    for status, told in post_["responses"].items():
        named = {"x-homeroom-release"} | ({"retry-after"} if status in {"429", "503"} else set())
        assert named <= set(told["headers"])
    assert [one["name"] for one in post_["parameters"]] == ["Homeroom-Student"]
    assert "HTTPValidationError" not in schemas
    assert {"/predict", "/predict/batch", "/version", "/card"} == set(page["paths"])
    write_score_bundle(tmp_path / "scores")

    async def talk(client: httpx.AsyncClient) -> Any:
        return (await client.get("/openapi.json")).json()

    other = serve(tmp_path / "scores", talk)
    assert set(other["components"]["schemas"]["Request"]["properties"]) == {"scores"}
    assert other["info"]["title"] == "homeroom: scores"
    assert "one request (`Request`: scores, oldest first)" in other["info"]["description"]


def test_a_wrong_golden_answer_leaves_the_server_unready_and_it_says_why(tmp_path: Path) -> None:
    version = write_bundle(tmp_path / "b", model=tracing_model(shift=0.5))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = await client.post("/predict", content=json.dumps(request_of(1)))
        listed = await client.post("/predict/batch", content=json.dumps([request_of(1)]))
        return [asked, listed, await client.get("/version")]

    asked, listed, said = serve(tmp_path / "b", talk)
    for response in (asked, listed):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
    assert said.json()["release"] == version
    assert said.json()["ready"] is False
    assert "Golden request 0" in said.json()["reason"]


def test_a_changed_bundle_is_refused_and_its_routes_still_say_why(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", key=KEY)
    (tmp_path / "b" / "model.onnx").write_bytes(tracing_model(shift=0.5))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        asked = await client.post("/predict", content=json.dumps(request_of(1)))
        return [asked, await client.get("/version"), await client.get("/card"), await client.get("/openapi.json")]

    asked, said, card, page = serve(tmp_path / "b", talk)
    assert (asked.status_code, card.status_code, page.status_code) == (503, 503, 200)
    assert page.json()["info"]["version"] == "no release"
    assert said.json()["release"] is None
    assert "model.onnx" in said.json()["reason"]


def test_the_signature_is_checked_when_a_key_file_is_given(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY.public.line())
    (tmp_path / "other").write_text(bytes(32).hex())
    write_bundle(tmp_path / "b", key=KEY)

    async def talk(client: httpx.AsyncClient) -> Any:
        return (await client.get("/version")).json()

    good = serve(tmp_path / "b", talk, release_key=tmp_path / "key")
    assert (good["ready"], good["signature"], good["key_id"]) == (True, "verified", KEY.id)
    assert serve(tmp_path / "b", talk)["signature"] == "unchecked"
    bad = serve(tmp_path / "b", talk, release_key=tmp_path / "other")
    assert not bad["ready"]
    assert "does not fit key" in bad["reason"]
    gone = serve(tmp_path / "b", talk, release_key=tmp_path / "nowhere")
    assert "names no file" in gone["reason"]
    assert not (tmp_path / "nowhere").exists(), "a server must never make a key"


def test_a_server_without_a_release_says_how_to_give_it_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMEROOM_RELEASE", raising=False)

    async def talk(client: httpx.AsyncClient) -> Any:
        return (await client.get("/version")).json()

    assert "HOMEROOM_RELEASE is not set" in serve(None, talk)["reason"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOMEROOM_RELEASE", str(tmp_path))
    monkeypatch.setenv("HOMEROOM_SERVE_ROWS", "7")
    settings = ServiceSettings()
    assert (settings.release, settings.serve_rows, settings.serve_waiting) == (tmp_path, 7, 256)


def test_an_error_nobody_thought_of_is_500_and_its_message_stays_inside(
    live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Live, request: object) -> None:
        raise RuntimeError("the name of a student")

    monkeypatch.setattr(Live, "answer", broken)
    response = post(live, "/predict", request_of(1))
    assert response.status_code == 500
    assert "student" not in response.text + caplog.text
    assert "RuntimeError in" in caplog.text


def test_an_answer_that_is_not_finite_is_500_and_never_null(tmp_path: Path) -> None:
    codec = tmp_path / "codec.py"
    write_score_bundle(tmp_path / "b")
    codec = tmp_path / "b" / "codec.py"
    text = codec.read_text()
    codec.write_text(
        text.replace("return Answer(value=", "return Answer(value=float('nan') if len(rows[0]) == 20 else ")
    )
    golden = tmp_path / "b" / "golden.json"
    value = json.loads(golden.read_text())
    keep = [i for i, r in enumerate(value["requests"]) if len(r["scores"]) < 20]
    golden.write_text(json.dumps({k: [v[i] for i in keep] for k, v in value.items()}))
    write_bundle_manifest(tmp_path / "b", "scores", ["probability"], 1e-5, None)

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.post("/predict", content=json.dumps({"scores": [0.1] * n})) for n in (19, 20)]

    fine, broken = serve(tmp_path / "b", talk)
    assert fine.status_code == 200
    assert broken.status_code == 500
    assert "not finite" in broken.json()["error"]
