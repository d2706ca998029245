"""What `homeroom serve` and `homeroom build` say of a release that people have not approved, or that the gate stops."""

from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.gate.override import today_utc
from components.store import Store
from flows.cli.cautions import caution
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.flows.test_approving import homeroom, said, waits
from tests.flows.test_override import PASS, STOP, release


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HOMEROOM_KEYS", str(tmp_path / "keys"))
    return Settings().open_store()


def test_a_release_that_waits_is_said_to(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found, decision = waits(store, "aa", needs=2)
    assert caution(store, found) is None
    assert capsys.readouterr().err == (
        f"warning: {found.version} needs the approval of 2 and has 0, for which it waits until {decision.until}: for a "
        "look, not for students\n"
    )


def test_one_that_waited_too_long_is_a_no(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, decision = waits(store, "aa")
    later = date.fromisoformat(decision.until) + timedelta(days=1)
    monkeypatch.setattr("components.gate.override.today_utc", lambda: later)
    assert later > today_utc()
    caution(store, found)
    told = capsys.readouterr().err
    assert f"was to be approved until {decision.until} and was not, which is a no: for a look" in told


def test_an_approved_one_and_one_that_needs_nobody_are_served_in_silence(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = waits(store, "aa")
    said("approvers", "add", "a.mensah")
    said("approve", "aa", "--by", "a.mensah", "--reason", "looked at the groups")
    other = release(store, "bb", [PASS])
    capsys.readouterr()
    assert caution(store, found) is None
    assert caution(store, other) is None
    assert capsys.readouterr().err == ""


def test_a_stopped_one_that_also_waits_is_said_to_do_both(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found, _ = waits(store, "aa", findings=[STOP])
    caution(store, found)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(found.version)[0] for line in told] == ["warning: ", "warning: the gate stops "]
    assert "no override was given" in told[1]


def test_serve_and_build_say_it_and_go_on(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = waits(store, "aa")
    started: list[Path] = []

    def start(served: Path, *_: object, **__: object) -> SimpleNamespace:
        started.append(served)
        raise KeyboardInterrupt  # it would serve now

    monkeypatch.setattr("serving.run.start", start)
    monkeypatch.setattr("serving.build.write_build_context", lambda folder, to, *_, **__: started.append(to))
    for words in (("serve", found.version), ("build", found.version, "--to", str(tmp_path / "image"))):
        result = homeroom(*words)
        assert f"warning: {found.version} needs the approval of 1 and has 0" in result.output
    assert started == [store.folder(found), tmp_path / "image"]
    assert ReleaseRegistry(store).current(found.application) is None
