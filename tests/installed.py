"""Made-up distributions on the path, as pip would leave them."""

from pathlib import Path

import pytest


def install(monkeypatch: pytest.MonkeyPatch, site: Path, distribution: str, entry_points: dict[str, str]) -> None:
    """Put a distribution 1.0 with applications (name -> target) into the folder `site`, and that on the path."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entry_points.items())
    (info / "entry_points.txt").write_text(f"[homeroom.apps]\n{lines}")
    monkeypatch.syspath_prepend(str(site))
