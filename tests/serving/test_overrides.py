"""Overrides over HTTP: stored before the answer, once, also when the server is killed; refused without values."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.overrides import FILE, Override, parsed
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey, write_key
from serving.live import Live, go_live
from serving.settings import ServiceSettings
from tests.forked import Forks, forks
from tests.serving.bundles import score_model, score_reference, write_bundle
from tests.serving.test_http import talk_to

KEY = SecretKey(bytes(range(32)))


@pytest.fixture(scope="module")
def grading_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small grading bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "grading"
    codec_file = Path(__file__).with_name("grading_codec.py")
    write_bundle(
        folder,
        application="grading",
        codec_file=codec_file,
        vocabulary={},
        model=score_model(),
        reference=score_reference,
    )
    return folder


@pytest.fixture
def live(grading_folder: Path, tmp_path: Path) -> Iterator[Live]:
    """Return a server's state that takes overrides with ids."""
    write_key(tmp_path / "pseudonym.key", KEY)
    settings = ServiceSettings(
        release=grading_folder, serve_overrides=tmp_path / "kept", serve_pseudonym_key=tmp_path / "pseudonym.key"
    )
    server = go_live(settings)
    assert server.is_ready, server.reason
    yield server
    server.close()


def correction(number: int = 0, **values: Any) -> dict[str, Any]:
    """Return a correction as plain JSON."""
    made = {
        "id": f"{number:032x}",
        "release": "grading-000000000000",
        "prompt": "a",
        "text": "A secret text.",
        "machine_score": 2.0,
        "score": 4.0,
        "reason": "It is better than that.",
        "teacher": "Ms Noether",
    }
    return {**made, **values}


def post(live: Live, value: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        kind = {"content-type": "application/json", **(headers or {})}
        return await client.post("/overrides", content=json.dumps(value), headers=kind)

    answer: httpx.Response = talk_to(live, talk)
    return answer


def stored(tmp_path: Path) -> list[Override]:
    return list(parsed((tmp_path / "kept" / FILE).read_bytes()).overrides)


def test_an_override_is_stored_with_pseudonyms_before_the_answer(live: Live, tmp_path: Path) -> None:
    answer = post(live, correction(1, student=" Ada ", response="r-7", machine_score=None))
    assert answer.status_code == 201
    assert live.bundle is not None
    assert answer.json() == {"release": live.bundle.version, "id": f"{1:032x}", "is_new": True}
    (one,) = stored(tmp_path)
    assert (one.text, one.score, one.machine_score, one.application) == ("A secret text.", 4, None, "grading")
    assert (one.reason, one.teacher, one.release) == (
        "It is better than that.",
        "Ms Noether",
        "grading-000000000000",
    )
    assert one.student == pseudonyms(KEY, ["Ada"])[0]
    assert one.response == pseudonyms(KEY, ["r-7"], "response")[0]
    assert one.pseudonym_key_id == KEY.id
    assert b"Ada" not in (tmp_path / "kept" / FILE).read_bytes()


def test_sending_again_is_answered_and_stores_nothing_twice(live: Live, tmp_path: Path) -> None:
    first, second = post(live, correction(1)), post(live, correction(1))
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["is_new"] is False
    assert len(stored(tmp_path)) == 1


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"score": 7.0}, "score"),
        ({"score": 2.5}, "score"),
        ({"prompt": "a secret prompt"}, "prompt"),
        ({"text": "  "}, "text"),
        ({"text": "secret " * 30_000}, "text"),
        ({"reason": ""}, "reason"),
        ({"reason": "secret " * 300}, "reason"),
        ({"teacher": "\n"}, "teacher"),
        ({"id": "secret"}, "id"),
        ({"release": "a secret"}, "release"),
        ({"release": ""}, "release"),
        ({"release": "other-000000000000"}, "release"),
        ({"release": "grading-00000000000"}, "release"),
        ({"release": "grading-00000000000G"}, "release"),
        ({"release": "grading-000000000000\n"}, "release"),
        ({"student": ""}, "student"),
        ({"score": "secret"}, "score"),
        ({"secret": 1}, ""),
    ],
)
def test_what_makes_no_sense_is_refused_without_its_value(
    live: Live, tmp_path: Path, values: dict[str, Any], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = post(live, correction(1, **values))
    assert answer.status_code == 400
    assert [problem["path"] for problem in answer.json()["problems"]] == [path]
    assert "secret" not in answer.text
    assert "secret" not in caplog.text
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 201),
    ],
)
def test_another_site_cannot_have_a_browser_store_one(live: Live, headers: dict[str, str], status: int) -> None:
    assert post(live, correction(1), headers).status_code == status


def test_text_that_is_no_unicode_is_stored_as_what_can_be(live: Live, tmp_path: Path) -> None:
    body = json.dumps(correction(1)).replace("secret", "\\ud83d secret")

    async def talk(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/overrides", content=body, headers={"content-type": "application/json"})

    answer = talk_to(live, talk)
    assert answer.status_code in {201, 400}
    assert len(stored(tmp_path)) == (answer.status_code == 201)


def test_without_a_key_no_id_is_taken_and_without_a_folder_nothing(grading_folder: Path, tmp_path: Path) -> None:
    def asked(value: dict[str, Any], **settings: Any) -> tuple[httpx.Response, dict[str, Any]]:
        server = go_live(ServiceSettings(release=grading_folder, **settings))

        async def grading(client: httpx.AsyncClient) -> Any:
            return (await client.get("/grading")).json()

        try:
            return post(server, value), talk_to(server, grading)
        finally:
            server.close()

    answer, info = asked(correction(1, student="Ada"), serve_overrides=tmp_path / "kept")
    assert answer.status_code == 400
    assert "no key for pseudonyms" in answer.json()["problems"][0]["rule"]
    assert (info["overrides"], info["ids"]) == (True, False)
    assert info["prompts"] == [{"low": 1, "high": 6, "step": 1, "prompt": "a", "traits": {}}]
    answer, info = asked(correction(1))
    assert answer.status_code == 503
    assert "HOMEROOM_SERVE_OVERRIDES" in answer.json()["error"]
    assert not info["overrides"]


def test_a_server_that_could_not_store_is_not_ready(grading_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept, absent = tmp_path / "file" / "kept", tmp_path / "absent"
    server = go_live(ServiceSettings(release=grading_folder, serve_overrides=kept))
    assert "Overrides cannot be stored" in server.reason
    server = go_live(ServiceSettings(release=grading_folder, serve_overrides=tmp_path, serve_pseudonym_key=absent))
    assert "PSEUDONYM_KEY" in server.reason


def test_a_release_without_scores_to_correct_has_no_such_routes(tracing_folder: Path, tmp_path: Path) -> None:
    server = go_live(ServiceSettings(release=tracing_folder, serve_overrides=tmp_path / "kept"))
    try:
        assert server.is_ready
        assert post(server, correction()).status_code == 404
        assert not (tmp_path / "kept").exists()
    finally:
        server.close()


# -- kill -9 ---------------------------------------------------------------------------------------------------------


def ask_until_killed(url: str, numbers: Iterator[int], acknowledged: list[int]) -> None:
    """Send overrides, one after the other, until nobody answers."""
    with httpx.Client(trust_env=False) as client:
        for number in numbers:
            try:
                answer = client.post(f"{url}/overrides", json=correction(number), timeout=10)
            except httpx.TransportError:
                return
            assert answer.status_code == 201
            acknowledged.append(number)


def killed_servers(grading_folder: Path, folder: Path, times: int) -> None:
    """Kill a server under load `times` times at a time of chance: every acknowledged override is there exactly once."""
    chance = random.Random(11)
    acknowledged: list[int] = []
    with forks("tests.serving.overriding") as forked:
        for turn in range(times):
            pid, url = started(forked, grading_folder, folder, turn)
            asking = [
                threading.Thread(
                    target=ask_until_killed,
                    args=(url, iter(range(turn * 100_000 + of * 10_000, (turn + 1) * 100_000)), acknowledged),
                )
                for of in range(2)
            ]
            for one in asking:
                one.start()
            until(partial(is_answered, acknowledged, turn * 100_000))
            time.sleep(chance.random() * 0.05)
            os.kill(pid, signal.SIGKILL)
            for one in asking:
                one.join(30)
            assert forked.wait(pid, 10) == -signal.SIGKILL
    lines = (folder / "kept" / FILE).read_bytes().split(b"\n")
    ids = [one.id for line in lines for one in parsed(line).overrides]
    assert len(acknowledged) >= times
    assert len(ids) == len(set(ids))
    assert {f"{number:032x}" for number in acknowledged} <= set(ids)


def is_answered(acknowledged: list[int], first: int) -> bool:
    """Return whether an override from `first` on was acknowledged."""
    return bool(acknowledged) and acknowledged[-1] >= first


def started(forked: Forks, release: Path, folder: Path, turn: int) -> tuple[int, str]:
    port = folder / f"port-{turn}"
    pid = forked.start(folder / "output", release=str(release), overrides=str(folder / "kept"), port=str(port))
    until(port.exists)
    return pid, f"http://127.0.0.1:{port.read_text()}"


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_twenty_five_killed_servers_lose_nothing_that_they_acknowledged(grading_folder: Path, tmp_path: Path) -> None:
    killed_servers(grading_folder, tmp_path, 25)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_hundred_killed_servers_lose_nothing(grading_folder: Path, tmp_path: Path) -> None:
    killed_servers(grading_folder, tmp_path, 500)
