"""What every test shares: the education data, and an environment of its own."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import s3fs

from components.testing import S3Server
from flows import contract
from flows.contract import answers, sequences, writing
from flows.contract.released import own_settings
from tests.once import made_once


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of the education data; unset is a skip, set wrongly is a failure."""
    named = os.environ.get("HOMEROOM_DATA")
    if not named:
        pytest.skip("HOMEROOM_DATA is not set; it names the folder of the education data")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"HOMEROOM_DATA={named} is no folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _ordinary_signals() -> None:
    """Let signals do what they usually do: `nohup` and shells' background jobs have some ignored, children too."""
    for one in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(one) is signal.SIG_IGN:
            signal.signal(one, signal.default_int_handler if one is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _own_places(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep every test out of the user's own store and keys."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOMEROOM_STORE", str(home / "store"))
    monkeypatch.setenv("HOMEROOM_KEYS", str(home / "keys"))
    monkeypatch.setenv("HOMEROOM_CACHE", str(home / "cache"))
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.setenv("BENTOML_DO_NOT_TRACK", "True")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """Serve S3 on the loopback; tests take `s3`, which it is without the faults of another test."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Server]:
    """Return an S3 server that has no faults yet. Its buckets are the session's: other tests made some."""
    s3_server.clear()
    s3_server.injected.clear()
    s3_server.requests.clear()
    yield s3_server
    s3_server.clear()


@pytest.fixture
def s3_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Return an S3 server that everything finds that is not told of another."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # cached by arguments, not by the endpoint in the environment
    yield s3
    s3fs.S3FileSystem.clear_instance_cache()


@dataclass(frozen=True)
class Released(contract.Released):
    """A finished run of an application on made-up data."""

    untouched: Path
    """A copy of the store as the run left it: other tests add to the store itself, and nothing may add to this."""


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Run the whole chain once for all tests that look at its result.

    Tests may add to the store; take `untouched` to know all that is in it.
    """
    return _release(tmp_path_factory, "released", "small")


@pytest.fixture(scope="session")
def released_attention(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released` does, of the attention network."""
    return _release(tmp_path_factory, "released-attention", "attention")


@pytest.fixture(scope="session")
def released_essays(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released` does, of essay grading on simulated writing."""
    return _release(tmp_path_factory, "released-essays", "small", "essay_grading", writing)


@pytest.fixture(scope="session")
def released_neural_essays(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released_essays` does, of the neural grader."""
    return _release(tmp_path_factory, "released-neural-essays", "neural", "essay_grading", writing)


@pytest.fixture(scope="session")
def released_answers(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released` does, of short answers on simulated ones."""
    return _release(tmp_path_factory, "released-answers", "small", "short_answer", answers)


@pytest.fixture(scope="session")
def released_pooled_answers(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released_answers` does, of one model over all questions that decides on labels."""
    return _release(tmp_path_factory, "released-pooled-answers", "pooled", "short_answer", answers)


def _release(
    factory: pytest.TempPathFactory,
    name: str,
    config: str,
    application: str = "knowledge_tracing",
    kind: ModuleType = sequences,
) -> Released:
    def make(home: Path) -> contract.Released:
        settings = own_settings(home)
        logs = kind.made_up_data(settings.open_store(), home)
        made = contract.release_application(application, logs, settings, config=config, overrides=kind.OVERRIDES)
        shutil.copytree(settings.store, home / "untouched")
        return made

    made = made_once(factory, name, make)
    logs = made.own / made.value.logs.relative_to(made.first)
    return Released(own_settings(made.own), logs, made.value.summary, made.own / "untouched")
