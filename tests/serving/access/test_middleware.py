"""The door, in process around the whole service: who gets in where, and how everybody else is told."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.access.rules import ROLES_OF
from serving.settings import ServiceSettings
from tests.serving.access.house import House, make_key, open_house

# Both come from inside bentoml 1.4.39, once, at its import.
pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning"),
]
LET_IN = {200, 201}
UNMEASURED = {200, 500}
"""What /metrics answers here: BentoML measures only below its own supervisor; test_server.py has it there."""
TEXT = {"prompt": "a", "text": "word " * 12}
CORRECTION = {
    "id": "0" * 32,
    "release": "grading-000000000000",
    "prompt": "a",
    "text": "A text.",
    "score": 4.0,
    "reason": "It is better.",
    "teacher": "T",
}


@dataclass
class Door:
    """A service with keys."""

    house: House
    keys: dict[str, str]


@pytest.fixture(scope="module")
def door(grading_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    file = folder / "access.json"
    keys = {
        role: make_key(file, f"only-{role}", role, rate=1e6, burst=1_000_000) for role in ("grade", "override", "read")
    }
    keys["all"] = make_key(file, "all", rate=1e6, burst=1_000_000)
    keys["slow"] = make_key(file, "slow", "grade", rate=0.01, burst=3)
    keys["ended"] = make_key(file, "ended", age=timedelta(days=2), lifetime=timedelta(days=1))
    settings = ServiceSettings(release=grading_folder, serve_keys=file, serve_overrides=folder / "kept")
    with open_house(settings) as house:
        yield Door(house, keys)


CASES: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/predict", TEXT, "grade"),
    ("POST", "/v1/predict/batch", [TEXT], "grade"),
    ("POST", "/v1/overrides", CORRECTION, "override"),
    ("GET", "/v1/version", None, "read"),
    ("GET", "/v1/card", None, "read"),
    ("GET", "/v1/grading", None, "read"),
    ("GET", "/v1/openapi.json", None, "read"),
    ("GET", "/metrics", None, "read"),
    ("GET", "/docs.json", None, "read"),
    ("GET", "/schema.json", None, "read"),
    ("GET", "/", None, "read"),
    ("GET", "/api", None, "read"),
]


def said(answer: Any, status: int) -> str:
    """Return the sentence of a failure after checking its form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "status", "problems"}
    assert body["status"] == status
    assert isinstance(body["error"], str)
    return str(body["error"])


@pytest.mark.parametrize(("method", "path", "value", "role"), CASES, ids=[case[1] for case in CASES])
def test_each_route_needs_its_role_and_no_other_will_do(
    door: Door, method: str, path: str, value: Any, role: str
) -> None:
    for name, key in door.keys.items():
        if name in {"slow", "ended"}:
            continue
        answer = door.house.ask(method, path, key=key, value=value)
        if name in {role, "all"}:
            assert answer.status_code in (UNMEASURED if path == "/metrics" else LET_IN), answer.text
        else:
            assert f"the role `{role}`" in said(answer, 403)
            assert f'scope="{role}"' in answer.headers["www-authenticate"]
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    nobody = door.house.ask(method, path, value=value)
    said(nobody, 401)
    assert nobody.headers["www-authenticate"] == 'Bearer realm="homeroom"'


def test_every_route_of_the_service_is_in_the_rules(door: Door) -> None:
    page = door.house.ask("GET", "/docs.json", key=door.keys["all"]).json()
    open_to_all = {"/livez", "/readyz", "/healthz"}
    assert set(page["paths"]) - open_to_all <= set(ROLES_OF)
    assert set(page["paths"]) >= {path for path in ROLES_OF if path.startswith("/v1/") and path != "/v1/openapi.json"}


def test_what_is_not_listed_needs_a_key_too_and_more_roles_to_change(door: Door) -> None:
    for path in ("/nothing", "/v1/nothing", "/v1/predict/", "/v1//overrides", "/docs", "/v1/docs"):
        said(door.house.ask("GET", path), 401)
        said(door.house.ask("POST", path, key=door.keys["grade"], value=TEXT), 403)
    assert door.house.ask("GET", "/v1/nothing", key=door.keys["read"]).status_code == 404


def test_health_is_for_everybody_and_says_nothing(door: Door) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        answer = door.house.ask("GET", path, headers={"host": "any.name"})
        yes = {"/readyz": '{"ready":true,"release":null,"reason":"","behind":""}'}
        assert (answer.status_code, answer.text.strip()) == (200, yes.get(path, ""))


@pytest.mark.parametrize("path", ["/metrics", "/v1/version"])
def test_counts_and_versions_are_for_this_machine_without_a_key(door: Door, path: str) -> None:
    let_in = UNMEASURED if path == "/metrics" else LET_IN
    assert door.house.ask("GET", path, client="127.0.0.1").status_code in let_in
    assert door.house.ask("GET", path, client="::1").status_code in let_in
    said(door.house.ask("GET", path, client="127.0.0.1", key="hr_wrong"), 401)
    said(door.house.ask("GET", "/v1/card", client="127.0.0.1"), 401)
    # A machine that asks its own address from that address is this machine; another is not.
    own = "http://10.9.9.9:3000"
    assert door.house.ask("GET", path, client="10.9.9.9", server=own).status_code in let_in
    said(door.house.ask("GET", path, client="10.9.9.8", server=own), 401)


@pytest.mark.parametrize("path", ["/metrics", "/v1/version"])
@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_at_this_machine_passes_on_is_from_elsewhere(door: Door, path: str, name: str) -> None:
    # uvicorn believes proxies at 127.0.0.1 alone, and one that adds nothing passes on what the client itself said.
    asked = {name: "127.0.0.1"}
    for client, server in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("10.9.9.9", "10.9.9.9")):
        answer = door.house.ask("GET", path, client=client, server=f"http://{server}:3000", headers=asked)
        said(answer, 401)


def test_a_key_that_does_not_count_is_told_the_same_whatever_is_wrong_with_it(door: Door) -> None:
    good = door.keys["grade"]
    prefix, key_id, secret = good.split("_", 2)
    other = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    wrong = [
        door.keys["ended"],
        f"{prefix}_{key_id}_{other}",
        f"{prefix}_{'0' * 12}_{secret}",
        good[:-1],
        good + "x",
        good.upper(),
        "hr_",
        "",
        "é",
        "x" * 100_000,
        "a.b.c",
    ]
    told = set()
    for key in wrong:
        answer = door.house.ask("POST", "/v1/predict", value=TEXT, headers=[("authorization", f"Bearer {key}")])
        told.add((said(answer, 401), answer.headers["www-authenticate"]))
    assert len(told) == 1
    for header in (f"Basic {good}", good, f"Bearer{good}"):
        said(door.house.ask("POST", "/v1/predict", value=TEXT, headers={"authorization": header}), 401)
    assert door.house.ask("POST", "/v1/predict", value=TEXT, headers={"authorization": f"bearer {good}"}).is_success


def test_more_than_the_burst_is_429_with_the_time_to_wait(door: Door) -> None:
    answers = [door.house.ask("POST", "/v1/predict", key=door.keys["slow"], value=TEXT) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert "0.01 times a second, 3 times at once" in said(answers[3], 429)
    assert 90 <= int(answers[3].headers["retry-after"]) <= 100  # a token every 100 s
    assert door.house.ask("POST", "/v1/predict", key=door.keys["grade"], value=TEXT).status_code == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/overrides", "/livez", "/metrics", "/nothing", "/session", "/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_only_json_is_taken_on_every_route(door: Door, path: str, method: str) -> None:
    for kind in (
        "application/vnd.bentoml+pickle",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "",
    ):
        answer = door.house.ask(
            method, path, key=door.keys["all"], headers={"content-type": kind}, body=json.dumps(TEXT).encode()
        )
        assert "application/json" in said(answer, 415)
    twice = [("content-type", "application/json"), ("content-type", "application/vnd.bentoml+pickle")]
    said(door.house.ask(method, path, key=door.keys["all"], headers=twice, body=b"{}"), 415)


def test_json_may_name_its_charset(door: Door) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        answer = door.house.ask(
            "POST",
            "/v1/predict",
            key=door.keys["grade"],
            headers={"content-type": kind},
            body=json.dumps(TEXT).encode(),
        )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:3000", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("[::1]:3000", True),
        ("rebound.example", False),
        ("rebound.example:3000", False),
        ("localhost.rebound.example", False),
        ("127.0.0.1.rebound.example", False),
        ("", False),
        ("10.1.2.3", False),
    ],
)
def test_on_loopback_only_loopback_names_are_answered(door: Door, host: str, allowed: bool) -> None:
    answer = door.house.ask("GET", "/v1/version", key=door.keys["read"], headers={"host": host})
    if allowed:
        assert answer.status_code == 200
    else:
        assert "HOMEROOM_SERVE_HOSTS" in said(answer, 421)
        assert host == "" or host not in answer.text


def test_a_header_that_counts_is_refused_twice(door: Door) -> None:
    keys = [("authorization", f"Bearer {door.keys[name]}") for name in ("read", "grade")]
    said(door.house.ask("POST", "/v1/predict", value=TEXT, headers=keys), 400)


def test_websockets_are_refused(door: Door) -> None:
    sent: list[Any] = []

    async def talk() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/v1/predict", "headers": [], "query_string": b"", "extensions": {}}
        await door.house.app(scope, receive, send)

    door.house.run(talk)
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_the_openapi_page_says_who_may_ask_and_how_one_is_refused(door: Door) -> None:
    for path, prefix in (("/docs.json", "/v1"), ("/v1/openapi.json", "")):
        page = door.house.ask("GET", path, key=door.keys["read"]).json()
        assert page["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        for route, role in (("/predict", "grade"), ("/overrides", "override")):
            shown = page["paths"][prefix + route]["post"]
            assert shown["security"] == [{"key": []}, {"session": []}]
            assert shown["x-homeroom-roles"] == [role]
            assert {"200" if route == "/predict" else "201", "401", "403", "415", "429"} <= set(shown["responses"])
            for status in ("401", "403", "415", "429"):
                schema = shown["responses"][status]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Failure"}
            assert "retry-after" in shown["responses"]["429"]["headers"]


def test_a_server_of_one_district_answers_no_other(grading_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "access.json"
    keys = {name: make_key(file, name or "none", district=name) for name in ("north", "south", None)}
    settings = ServiceSettings(release=grading_folder, serve_keys=file, serve_district="north")
    with open_house(settings) as house:
        assert house.ask("POST", "/v1/predict", key=keys["north"], value=TEXT).status_code == 200
        for name in ("south", None):
            assert "another district" in said(house.ask("POST", "/v1/predict", key=keys[name], value=TEXT), 403)


def test_without_keys_only_this_machine_is_answered_unless_it_is_opened(grading_folder: Path) -> None:
    here, out = "http://127.0.0.1:3000", "http://192.0.2.7:3000"
    with open_house(ServiceSettings(release=grading_folder)) as house:
        assert house.ask("POST", "/v1/predict", value=TEXT, server=here).status_code == 200
        assert "HOMEROOM_SERVE_OPEN" in said(house.ask("POST", "/v1/predict", value=TEXT, server=out), 403)
        assert "HOMEROOM_SERVE_OPEN" in said(house.ask("GET", "/", server=out), 403)
        assert house.ask("GET", "/readyz", server=out).status_code == 200
        assert said(house.ask("GET", "/v1/version", headers={"host": "rebound.example"}), 421)
    opened = ServiceSettings(release=grading_folder, serve_open=True, serve_hosts="grades.example, 192.0.2.7")
    with open_house(opened) as house:
        assert house.ask("POST", "/v1/predict", value=TEXT, server=out).status_code == 200
        assert house.ask("GET", "/v1/version", server=out, headers={"host": "grades.example:443"}).status_code == 200
        assert said(house.ask("GET", "/v1/version", server=out, headers={"host": "rebound.example"}), 421)


def test_settings_or_keys_that_cannot_be_read_lock_the_door(grading_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "access.json").write_text("{")
    settings = ServiceSettings(release=grading_folder, serve_keys=tmp_path / "access.json")
    with open_house(settings) as house:
        for method, path, value, _ in CASES:
            said(house.ask(method, path, value=value), 503)
        said(house.ask("GET", "/readyz"), 503)
        assert house.ask("GET", "/livez").status_code == 200
        assert house.ask("GET", "/v1/version", client="127.0.0.1").status_code == 200
