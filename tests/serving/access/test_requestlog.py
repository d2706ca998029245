"""The request log: what a line holds, and that a planted text or id is in no line and no refusal."""

import json
import logging
from pathlib import Path
from typing import Any, Literal

import pytest

from serving.settings import ServiceSettings
from tests.serving.access.house import make_key, open_house
from tests.serving.access.test_middleware import CORRECTION, TEXT

pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning"),
]
CANARY = "Xylophon-canary-Ada-4711"


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(one.getMessage()) for one in caplog.records if one.name == "homeroom.requests"]


def test_a_line_says_what_was_asked_and_how_it_went(
    grading_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "homeroom")
    file = tmp_path / "access.json"
    key = make_key(file, "lincoln-high", "grade")
    settings = ServiceSettings(release=grading_folder, serve_keys=file, serve_request_log="all")
    with open_house(settings) as house:
        release = house.ask("POST", "/v1/predict", key=key, value=TEXT).headers["x-homeroom-release"]
        house.ask("GET", "/v1/card", key=key)
        house.ask("GET", f"/page/{CANARY}.js")
        house.ask("WEIRD", f"/{CANARY}?{CANARY}={CANARY}")
    good, wrong_role, file_line, unknown = lines(caplog)
    assert set(good) == {"at", "method", "route", "status", "ms", "release", "client", "bytes_in"}
    assert (good["method"], good["route"], good["status"]) == ("POST", "/v1/predict", 200)
    assert (good["release"], good["client"], good["bytes_in"]) == (release, "lincoln-high", len(json.dumps(TEXT)))
    assert 0 < good["ms"] < 10_000
    assert (wrong_role["status"], wrong_role["client"], wrong_role["release"]) == (403, "lincoln-high", None)
    assert (file_line["route"], file_line["status"]) == ("/page/{name}", 404)
    assert (unknown["method"], unknown["route"], unknown["status"], unknown["client"]) == (
        "(other)",
        "(unknown)",
        401,
        None,
    )


@pytest.mark.parametrize(("which", "statuses"), [("off", []), ("failures", [401, 400]), ("all", [200, 401, 400])])
def test_it_logs_what_it_is_set_to(
    grading_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    which: Literal["off", "failures", "all"],
    statuses: list[int],
) -> None:
    caplog.set_level(logging.INFO, "homeroom")
    file = tmp_path / "access.json"
    key = make_key(file, "lincoln-high")
    settings = ServiceSettings(release=grading_folder, serve_keys=file, serve_request_log=which)
    with open_house(settings) as house:
        house.ask("POST", "/v1/predict", key=key, value=TEXT)
        house.ask("POST", "/v1/predict", value=TEXT)
        house.ask("POST", "/v1/predict", key=key, value={"text": 3})
    assert [line["status"] for line in lines(caplog)] == statuses


def test_a_planted_text_is_in_no_log_and_no_refusal(
    grading_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "access.json"
    key = make_key(file, "lincoln-high")
    settings = ServiceSettings(
        release=grading_folder, serve_keys=file, serve_request_log="all", serve_overrides=tmp_path / "kept"
    )
    answers = []
    with open_house(settings) as house:
        bodies = [
            {"prompt": CANARY, "text": CANARY},
            {**TEXT, CANARY: 1},
            {"prompt": "a", "text": [CANARY]},
            [CANARY],
            CANARY,
            {**TEXT, "text": f"word {CANARY}"},
        ]
        for body in bodies:
            for path in ("/v1/predict", "/v1/predict/batch", "/v1/overrides", f"/v1/{CANARY}"):
                answers.append(house.ask("POST", path, key=key, value=body, headers={"x-student": CANARY}))
        answers += [
            house.ask("POST", "/v1/overrides", key=key, value={**CORRECTION, name: CANARY})
            for name in ("release", "prompt", "text", "reason", "teacher", "student", "response", "score")
        ]
        answers += [
            house.ask("GET", f"{path}?student={CANARY}", key=key) for path in ("/v1/version", "/v1/grading", "/api")
        ]
        answers += [house.ask("GET", "/v1/version", key=CANARY), house.ask("GET", "/", headers={"host": CANARY})]
        answers += [house.ask("GET", "/v1/version", key=key, headers={"cookie": f"homeroom-session={CANARY}"})]
    assert {answer.status_code for answer in answers} >= {200, 201, 400, 401, 404, 421}
    told = "\n".join(answer.text + str(answer.headers) for answer in answers)
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.partition(".")[0] not in {"httpx", "asyncio"}
    )  # httpx is the client
    assert logged.count("bytes_in") == len(answers)
    for place in (told, logged):
        assert CANARY not in place
        assert CANARY.lower() not in place.lower()
