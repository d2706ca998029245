"""Two hundred hostile requests run nothing, open nothing and connect to nothing; malformed ones break nothing."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from serving.settings import ServiceSettings
from tests.serving.access.house import House, make_key, open_house
from tests.serving.access.payloads import payloads
from tests.serving.access.test_middleware import TEXT

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The `__get_pydantic_core_schema__`:DeprecationWarning"),
]
CANARY = "Xylophon4711"
"""In every text of a generated request, and in no answer that refuses one."""


def test_two_hundred_hostile_requests_run_open_and_fetch_nothing(grading_folder: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert len({payload.name for payload in payloads(tmp_path / "marker", url)}) >= 200
        command = [sys.executable, "-m", "tests.serving.access.hostile", str(grading_folder), str(tmp_path), url]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        with pytest.raises(TimeoutError):
            listening.accept()
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["sent"] >= 200
    assert found["happened"] == []
    assert not (tmp_path / "marker").exists()
    assert [status for status in found["statuses"] if int(status) >= 500] == []
    assert (found["after"], found["ready"]) == (200, 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".access.json.lock", "access.json", "kept"]


def test_the_marker_would_be_written_where_one_ran(tmp_path: Path) -> None:
    import pickle

    probes = [one for one in payloads(tmp_path / "marker", "http://127.0.0.1:9") if one.name.startswith("pickle")]
    assert len(probes) >= 50
    pickle.loads(probes[0].body)
    assert (tmp_path / "marker").exists()


def texts_in(value: Any) -> list[str]:
    """Return the texts of a JSON value."""
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in texts_in(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts_in(one)]
    return [value] if isinstance(value, str) else []


def planted(value: Any, named: set[str]) -> Any:
    """Return a JSON value with the canary in each of its texts, and in each key that is no field's name."""
    if isinstance(value, dict):
        return {key if key in named else key + CANARY: planted(one, named) for key, one in value.items()}
    if isinstance(value, list):
        return [planted(one, named) for one in value]
    return value + CANARY if isinstance(value, str) else value


def check(house: House, key: str, case: Any, named: set[str]) -> None:
    """Send a generated request: no 5xx, a documented status, a failure in its form, nothing of the request in it."""
    given = case.as_transport_kwargs(base_url="http://127.0.0.1:3000")
    headers = [(name, str(value)) for name, value in (given.get("headers") or {}).items() if str(value).isascii()]
    headers = [
        (name, value) for name, value in headers if name.lower() not in {"authorization", "content-length", "host"}
    ]
    body = given.get("data")
    if "json" in given:
        body = json.dumps(planted(given["json"], named)).encode()
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    answer = house.ask(case.method, case.formatted_path, key=key, headers=headers, body=body)
    status = answer.status_code
    shown = case.operation.definition.raw["responses"]
    assert status < 500, (case.method, case.path, answer.text)
    assert str(status) in shown or f"{status // 100}XX" in shown, (case.path, status)
    if status < 400:
        return
    failure = answer.json()
    assert set(failure) == {"error", "status", "problems"}
    assert failure["status"] == status
    assert not [text for text in texts_in(failure) if CANARY in text]


def send_malformed(folder: Path, scratch: Path, count: int) -> None:
    key = make_key(scratch / "access.json", "school", rate=1e6, burst=1_000_000)
    chosen = ServiceSettings(release=folder, serve_keys=scratch / "access.json", serve_overrides=scratch / "kept")
    with open_house(chosen) as house:
        page = house.ask("GET", "/docs.json", key=key).json()
        named = set(texts_in(page))  # a field's name is no secret
        schema = schemathesis.openapi.from_dict(page)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        ours = [one for one in operations if one.path.startswith("/v1/")]
        assert len(ours) == 6
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        cases = st.one_of([one.as_strategy(generation_mode=mode) for one in ours for mode in modes])
        sent = 0

        @settings(
            max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(cases)
        def send(case: Any) -> None:
            nonlocal sent
            sent += 1
            check(house, key, case, named)

        send()
        assert sent >= count * 0.9
        assert house.ask("POST", "/v1/predict", key=key, value=TEXT).status_code == 200
        assert house.ask("GET", "/readyz").status_code == 200


def test_five_hundred_malformed_requests_break_nothing(grading_folder: Path, tmp_path: Path) -> None:
    send_malformed(grading_folder, tmp_path, 500)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_hundred_thousand_malformed_requests_break_nothing(grading_folder: Path, tmp_path: Path) -> None:
    send_malformed(grading_folder, tmp_path, 100_000)
