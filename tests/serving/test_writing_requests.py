"""Bad input to a served grader of writing: a clear error or an abstention, and never a word of the text in a log."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving.http import Api
from serving.live import Live, go_live
from serving.settings import ServiceSettings
from tests.conftest import Released

pytestmark = pytest.mark.slow
SECRET = "zanzibarquince"
"""Stands in every text; nothing but an answer's own feedback may repeat it."""


@pytest.fixture(scope="module")
def live(released_answers: Released) -> Iterator[Live]:
    store = released_answers.settings.open_store()
    folder = store.folder(released_answers.summary.outcome.release)
    server = go_live(ServiceSettings(release=folder, serve_body_bytes=2_000_000))
    assert server.is_ready, server.reason
    yield server
    server.close()


def post(live: Live, path: str, body: bytes) -> httpx.Response:
    app = Api(live)

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(path, content=body)

    return asyncio.run(run())


def body_of(text: str, prompt: str = "rivers") -> bytes:
    return json.dumps({"prompt": prompt, "text": text}).encode()


ANSWER = "The fast water moves the floodplain and the wide stone cuts the estuary"
ABSTAINED: list[tuple[str, str, set[str]]] = [
    ("nothing", "", {"empty"}),
    ("white space", " \n\t\u3000", {"empty"}),
    ("null bytes", "\x00\x00", {"empty"}),
    ("emoji alone", "\U0001f600\U0001f469\u200d\U0001f680", {"empty"}),
    ("mark-up alone", "<p><br/></p>", {"empty"}),
    ("right-to-left text", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd " * 10, {"not_the_language"}),
    ("another script", "\u041c\u044b \u0447\u0438\u0442\u0430\u0435\u043c \u043a\u043d\u0438\u0433\u0443. " * 5,
     {"not_the_language"}),
    ("letters without sense", "qwx zzkp vrrt mnb lkjh pqow zxcv qqrt wpld kjhg", {"gibberish", "not_the_language"}),
]  # fmt: skip
SCORED: list[tuple[str, str]] = [
    ("plain", f"{ANSWER}."),
    ("HTML", f"<p>{ANSWER}</p> &amp; <b>so on</b>."),
    ("null bytes within", f"{ANSWER}\x00."),
    ("emoji within", f"{ANSWER} \U0001f600."),
    ("quotes that do not pair", f'"{ANSWER}.'),
    ("marks of direction", f"{ANSWER}\u202e."),
    ("read in the wrong encoding", f"{ANSWER}, it\u00e2\u20ac\u2122s so."),
    ("half a surrogate pair", f"{ANSWER} \ud83d."),
]


@pytest.mark.parametrize(("text", "codes"), [case[1:] for case in ABSTAINED], ids=[case[0] for case in ABSTAINED])
def test_what_is_no_answer_gets_no_score_and_a_reason(live: Live, text: str, codes: set[str]) -> None:
    response = post(live, "/predict", body_of(text))
    assert response.status_code == 200, response.text
    answer = response.json()["answer"]
    assert answer["abstained"] in codes
    assert answer["score"] is None
    assert answer["reason"]


@pytest.mark.parametrize("text", [case[1] for case in SCORED], ids=[case[0] for case in SCORED])
def test_what_dirties_an_answer_does_not_keep_it_from_its_score(live: Live, text: str) -> None:
    response = post(live, "/predict", body_of(text))
    if "\ud83d" in text:  # JSON's readers differ: an error of the request, or a character that is lost
        assert response.status_code in {200, 400}, response.text
        return
    assert response.status_code == 200, response.text
    answer = response.json()["answer"]
    assert answer["abstained"] is None
    assert answer["score"] in {0.0, 1.0, 2.0}
    assert answer["interval"][0] <= answer["raw"] <= answer["interval"][1]


BAD: list[tuple[str, bytes, str]] = [
    ("an unknown prompt", body_of(f"{SECRET} {ANSWER}", prompt="moons"), "It grades: computers, rivers"),
    ("no prompt", json.dumps({"text": SECRET}).encode(), "prompt"),
    ("a text over the limit", body_of(f"{SECRET} " * 20_000), "at most 200000"),
    ("a text that is a number", json.dumps({"prompt": "rivers", "text": 5}).encode(), "text"),
    ("bytes that are no UTF-8", b'{"prompt": "rivers", "text": "caf\xe9 ' + SECRET.encode() + b'"}', ""),
    ("quotes that do not pair", b'{"prompt": "rivers", "text": "' + SECRET.encode(), ""),
    ("a key of its own", json.dumps({"prompt": "rivers", "text": SECRET, "name": SECRET}).encode(), "known are"),
]


@pytest.mark.parametrize(("body", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_request_that_makes_no_sense_is_told_so_without_its_text(
    live: Live, body: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    response = post(live, "/predict", body)
    assert response.status_code == 400, response.text
    assert said in response.text
    assert SECRET not in response.text
    assert SECRET not in caplog.text


def test_an_empty_batch_is_told_what_is_expected(live: Live) -> None:
    response = post(live, "/predict/batch", b"[]")
    assert response.status_code == 400
    assert "1 to 100" in response.text


def test_a_bad_text_in_a_class_harms_no_other(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    items: list[Any] = [
        {"prompt": "rivers", "text": f"{ANSWER}."},
        {"prompt": "moons", "text": SECRET},
        {"prompt": "rivers", "text": f"{SECRET} " * 20_000},
        {"prompt": "rivers", "text": ""},
        {"prompt": "rivers", "text": f"{ANSWER}."},
    ]
    response = post(live, "/predict/batch", json.dumps(items).encode())
    assert response.status_code == 200
    found = response.json()["results"]
    assert [next(iter(one)) for one in found] == ["answer", "error", "error", "answer", "answer"]
    assert found[0] == found[4]
    assert found[3]["answer"]["abstained"] == "empty"
    assert SECRET not in response.text
    assert SECRET not in caplog.text
