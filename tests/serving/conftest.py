"""Bundles that several test modules read and none changes."""

from pathlib import Path

import pytest

from serving.bundle import Bundle, load_bundle
from tests.serving.bundles import write_bundle


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
