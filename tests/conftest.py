"""What every test shares: the education data, and an environment of its own."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import s3fs

from components.secrets import SecretKey, write_key
from components.simulate.config import SimulateConfig
from components.simulate.stage import simulate
from components.simulate.writing_config import SimulateWritingConfig
from components.simulate.writing_stage import simulate_writing
from components.stage import Runner
from components.testing import S3Server
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary


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
class Released:
    """A finished run of the small knowledge-tracing application on a simulated district."""

    settings: Settings
    logs: Path
    summary: RunSummary
    untouched: Path
    """A copy of the store as the run left it: other tests add to the store itself, and nothing may add to this."""


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Run the whole chain once for all tests that look at its result.

    Tests may add to the store; take `untouched` to know all that is in it.
    """
    return _release(tmp_path_factory.mktemp("released"), "small")


@pytest.fixture(scope="session")
def released_attention(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released` does, of the attention network."""
    return _release(tmp_path_factory.mktemp("released-attention"), "attention")


@pytest.fixture(scope="session")
def released_essays(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released` does, of essay grading on simulated writing."""
    return _release_essays(tmp_path_factory.mktemp("released-essays"), "small")


@pytest.fixture(scope="session")
def released_neural_essays(tmp_path_factory: pytest.TempPathFactory) -> Released:
    """Return what `released_essays` does, of the neural grader."""
    return _release_essays(tmp_path_factory.mktemp("released-neural-essays"), "neural")


def _release_essays(home: Path, config: str) -> Released:
    settings = _settings(home)
    store = settings.open_store()
    writing = Runner(store)(simulate_writing, SimulateWritingConfig(students=330, prompts=2, seed=1))
    logs = home / "essays.parquet"
    shutil.copyfile(store.folder(writing) / "responses.parquet", logs)
    request = RunRequest(
        application="essay_grading",
        data=(str(logs),),
        config=config,
        overrides=(
            "evaluate.resamples=50",
            "fairness.resamples=50",
            # some 60 held-out students: chance alone makes gaps, and tests of other things need a release
            "fairness.max_dsm=0.5",
            "fairness.max_qwk_gap=0.5",
            "evaluate.on_fail=flag",
        ),
    )
    return _released(home, settings, logs, request)


def _settings(home: Path) -> Settings:
    # Pseudonyms decide who is held out: with a new key, every session would test other students.
    write_key(home / "keys" / "pseudonym.key", SecretKey(bytes(range(32))))
    return Settings(store=str(home / "store"), cache=home / "cache", keys=home / "keys")


def _released(home: Path, settings: Settings, logs: Path, request: RunRequest) -> Released:
    summary = run_request(request, settings)
    shutil.copytree(settings.store, home / "untouched")
    return Released(settings, logs, summary, home / "untouched")


def _release(home: Path, config: str) -> Released:
    settings = _settings(home)
    store = settings.open_store()
    district = Runner(store)(simulate, SimulateConfig(students=240, seed=1))
    logs = home / "district.parquet"
    shutil.copyfile(store.folder(district) / "answers.parquet", logs)
    request = RunRequest(
        application="knowledge_tracing",
        data=(str(logs),),
        config=config,
        overrides=(
            "train.max_epochs=3",
            "evaluate.resamples=50",
            "fairness.resamples=50",
            # 48 held-out students: chance alone makes gaps, and tests of other things need a release
            "fairness.max_auc_gap=0.3",
            "fairness.max_calibration_gap=0.3",
        ),
    )
    return _released(home, settings, logs, request)
