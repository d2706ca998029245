"""The benchmark of the bootstrap, small: scikit-learn's values, at least ten times its speed, little memory."""

import json
import subprocess
import sys
from pathlib import Path


def test_resampling_is_ten_times_as_fast_as_the_plain_loop_and_gives_its_values(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bootstrap", "--resamples=100", "--loop=2", "--pairs=2", f"--json={out}"],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())
    assert figures["ratio"] >= 10
    assert figures["largest_difference"] <= 1e-9
    assert figures["peak_mb"] < 1_000
