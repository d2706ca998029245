"""What tests of several flows share: a store with a second release."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flows.operations import run_request
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.conftest import Released


@pytest.fixture(scope="session")
def second_release(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a store in which a second release serves, and that release's version."""
    home = tmp_path_factory.mktemp("second")
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=released.settings.keys)
    shutil.copytree(released.untouched, settings.store)
    request = replace(released.summary.request, overrides=(*released.summary.request.overrides, "train.max_epochs=1"))
    second = run_request(request, settings).outcome.release
    ReleaseRegistry(settings.open_store()).promote(second, "by hand")
    return home / "store", second.version
