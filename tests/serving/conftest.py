"""Bundles that several test modules read and none changes, and servers that follow a log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.store import Store
from components.testing import S3Server
from serving.bundle import Bundle, load_bundle
from serving.settings import ServiceSettings
from tests.serving.bundles import write_bundle
from tests.serving.following import Bench
from tests.serving.releasing import APPLICATION


@pytest.fixture(scope="session")
def tracing_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an unsigned knowledge-tracing bundle."""
    folder = tmp_path_factory.mktemp("bundles") / "tracing"
    write_bundle(folder)
    return folder


@pytest.fixture(scope="session")
def tracing(tracing_folder: Path) -> Bundle:
    """Return that bundle, loaded."""
    return load_bundle(tracing_folder)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Return a server without a release that follows an empty log."""
    store = Store(tmp_path / "store")
    settings = ServiceSettings(serve_store=str(tmp_path / "store"), serve_application=APPLICATION)
    found = Bench(store, settings, tmp_path / "status")
    yield found
    found.server.close()


@pytest.fixture
def slow_settings(tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    """Return settings of a server that follows a log on S3, and does not wait long for it."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("CONNECT_S", "READ_S", "TOTAL_S"):
        monkeypatch.setenv(f"HOMEROOM_S3_{name}", "1.5")
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    s3.make_bucket("follow")
    return ServiceSettings(
        serve_store="s3://follow/store", serve_application=APPLICATION, serve_cache=tmp_path / "server-cache"
    )
