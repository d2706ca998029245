"""Signing in on a page: the cookie, what forges one, what other sites can do with it (nothing), and signing out."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from serving.access import ring as ring_module
from serving.access import signin
from serving.access.file import edited
from serving.access.keys import now_utc
from serving.access.ring import KeyRing
from serving.access.sessions import LASTS_S, Sessions
from serving.asgi import Message, Scope
from serving.settings import ServiceSettings
from tests.serving.access.house import House, make_key, open_house
from tests.serving.access.test_middleware import TEXT

pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning"),
]
OWN = {"sec-fetch-site": "same-origin"}
SECRET = "one for all workers"
HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(ring_module, "LOOK_EVERY_S", 0.0)
    file = tmp_path / "access.json"
    return {
        "teacher": make_key(file, "ms-noether", "grade", "override", "read"),
        "reader": make_key(file, "reader", "read"),
        "ended": make_key(file, "ended", age=timedelta(days=2), lifetime=timedelta(days=1)),
    }


@pytest.fixture
def house(keys: dict[str, str], grading_folder: Path, tmp_path: Path) -> Iterator[House]:
    settings = ServiceSettings(
        release=grading_folder, serve_keys=tmp_path / "access.json", serve_session_key=SecretStr(SECRET)
    )
    with open_house(settings) as house:
        yield house


def sign_in(house: House, key: str, **more: str) -> httpx.Response:
    return house.ask("POST", "/session", value={"key": key}, headers={**OWN, **more})


def cookie_of(answer: httpx.Response) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_key_becomes_a_cookie_that_no_script_can_read_and_no_other_site_can_use(
    house: House, keys: dict[str, str]
) -> None:
    answer = sign_in(house, keys["teacher"])
    assert answer.json() == {"client": "ms-noether", "roles": ["grade", "override", "read"]}
    assert answer.headers["set-cookie"].split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert answer.headers["cache-control"] == "no-store"
    cookie = cookie_of(answer)
    assert keys["teacher"].split("_", 2)[2] not in cookie
    graded = house.ask("POST", "/v1/predict", value=TEXT, headers={"cookie": cookie, **OWN})
    assert graded.status_code == 200
    assert house.ask("GET", "/v1/card", headers={"cookie": f"a=b; {cookie}; c=d"}).status_code == 200
    assert house.ask("GET", "/session", headers={"cookie": cookie}).json()["client"] == "ms-noether"
    assert house.ask("GET", "/session").json() == {"client": None, "roles": []}


def test_over_tls_the_cookie_is_for_tls_and_this_host_alone(house: House, keys: dict[str, str]) -> None:
    server = "https://127.0.0.1:3000"
    answer = house.ask("POST", "/session", value={"key": keys["teacher"]}, headers=OWN, server=server)
    assert answer.headers["set-cookie"].startswith("__Host-homeroom-session=")
    assert answer.headers["set-cookie"].endswith("; Secure")
    plain = cookie_of(sign_in(house, keys["teacher"]))
    assert house.ask("GET", "/v1/card", headers={"cookie": plain}, server=server).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:3000"},
        {"origin": "http://127.0.0.1:3001"},
        {},
    ],
)
def test_a_cookie_changes_nothing_unless_our_own_page_sent_it(
    house: House, keys: dict[str, str], headers: dict[str, str]
) -> None:
    cookie = {"cookie": cookie_of(sign_in(house, keys["teacher"]))}
    for path in ("/v1/predict", "/v1/predict/batch", "/v1/overrides"):
        answer = house.ask("POST", path, value=TEXT, headers={**cookie, **headers})
        assert (answer.status_code, "Another site" in answer.text) == (403, True)
    for method, value in (("POST", {"key": keys["teacher"]}), ("DELETE", None)):
        answer = house.ask(method, "/session", value=value, headers={**cookie, **headers})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
    own = {**cookie, "origin": "http://127.0.0.1:3000"}
    assert house.ask("POST", "/v1/predict", value=TEXT, headers=own).status_code == 200
    keyed = house.ask("POST", "/v1/predict", value=TEXT, headers=headers, key=keys["teacher"])
    assert keyed.status_code == 200, "a program that shows its key is no browser that is being used"


def test_a_role_that_the_key_has_not_the_session_has_not(house: House, keys: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(house, keys["reader"]))
    assert house.ask("GET", "/v1/card", headers={"cookie": cookie}).status_code == 200
    refused = house.ask("POST", "/v1/predict", value=TEXT, headers={"cookie": cookie, **OWN})
    assert (refused.status_code, "`grade`" in refused.text) == (403, True)


def test_revoking_the_key_ends_its_sessions(house: House, keys: dict[str, str], tmp_path: Path) -> None:
    cookie = {"cookie": cookie_of(sign_in(house, keys["teacher"]))}
    assert house.ask("GET", "/v1/card", headers=cookie).status_code == 200
    with edited(tmp_path / "access.json") as stored:
        stored[:] = [replace(key, revoked=now_utc()) for key in stored]
    assert house.ask("GET", "/v1/card", headers=cookie).status_code == 401


def test_what_is_no_key_signs_nobody_in(house: House, keys: dict[str, str]) -> None:
    for key in (keys["ended"], "", "hr_", "x" * 900, "a.b.c"):
        answer = sign_in(house, key)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    values: list[object] = [[], "a", None, {"key": 7}, {}, {"Key": keys["teacher"]}]
    for value in values:
        answer = house.ask(
            "POST", "/session", headers={**OWN, "content-type": "application/json"}, body=str(value).encode()
        )
        assert answer.status_code == 400
    assert sign_in(house, "x" * 2_000).status_code == 413
    assert house.ask("PUT", "/session", headers=OWN).status_code == 405


def test_signing_out_takes_the_cookie_away(house: House, keys: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(house, keys["teacher"]))
    answer = house.ask("DELETE", "/session", headers={"cookie": cookie, **OWN})
    assert answer.headers["set-cookie"].startswith("homeroom-session=; Path=/; Max-Age=0")


def test_only_what_was_signed_here_counts_and_no_longer_than_a_day_at_school(tmp_path: Path) -> None:
    file, now = tmp_path / "access.json", 1_800_000_000.0
    make_key(file, "teacher")
    make_key(file, "other")
    ring = KeyRing(file)
    teacher, other = ring._keys.values()
    sessions = Sessions(ring, b"secret", lambda: now)
    cookie = sessions.cookie(teacher, secure=False).partition(";")[0]
    value = cookie.partition("=")[2]
    key_id, until, mac = value.split(".")
    assert sessions.key_of(cookie, secure=False) == teacher
    assert Sessions(ring, b"secret", lambda: now).key_of(cookie, secure=False) == teacher, "another worker"
    assert Sessions(ring, b"another", lambda: now).key_of(cookie, secure=False) is None
    assert Sessions(ring, None, lambda: now).key_of(cookie, secure=False) is None
    for forged in (
        f"{other.id}.{until}.{mac}",
        f"{key_id}.{int(until) + 1}.{mac}",
        f"{key_id}.{until}.{'0' * 64}",
        f"{key_id}.{until}.",
        f"{key_id}.{until}",
        f"{key_id}.-1.{mac}",
        f"{key_id}.{'9' * 5000}.{mac}",
        f"{key_id}.\u0661.{mac}",
        "..",
        "",
    ):
        assert sessions.key_of(f"homeroom-session={forged}", secure=False) is None
    assert sessions.key_of(f"{cookie}; {cookie}", secure=False) is None, "two: somebody slipped one in"
    assert sessions.key_of(f"{cookie}; x={'y' * 9000}", secure=False) is None
    now += LASTS_S - 1
    assert sessions.key_of(cookie, secure=False) == teacher
    now += 1
    assert sessions.key_of(cookie, secure=False) is None


@pytest.mark.parametrize("path", ["/", "/api", "/card"])
def test_a_page_without_a_key_is_the_sign_in_page_under_a_strict_policy(house: House, path: str) -> None:
    answer = house.ask("GET", path, headers=HTML)
    assert answer.status_code == 401
    assert "Your key" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    for name in ("sign-in.js", "session.js", "dom.js", "style.css", "icon.svg"):
        assert house.ask("GET", f"/page/{name}").status_code == 200
    assert house.ask("GET", path).headers["content-type"] == "application/json", "a program is told in JSON"


def test_where_there_are_no_keys_nobody_signs_in(grading_folder: Path) -> None:
    with open_house(ServiceSettings(release=grading_folder)) as house:
        assert house.ask("GET", "/session").json() == {"client": None, "roles": []}
        assert sign_in(house, "hr_").status_code == 404
        assert "Paste the student" in house.ask("GET", "/", headers=HTML).text


def test_a_key_that_does_not_arrive_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin, "LONGEST_WAIT_S", 0.05)
    make_key(tmp_path / "access.json", "anna")
    ring = KeyRing(tmp_path / "access.json")
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(5)
        raise AssertionError("it waits")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"content-type", b"application/json")]
    scope: Scope = {"type": "http", "method": "POST", "scheme": "http", "path": "/session", "headers": headers}
    asyncio.run(signin.answer_session(scope, receive, send, ring, Sessions(ring, None)))
    assert sent[0]["status"] == 408
