"""Settings of the command line's tests: no arguments of the test runner's own."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["any.py"])
