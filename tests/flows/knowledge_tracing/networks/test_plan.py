"""The plan beside the attention network: its losses, metrics and checkpoints are those of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
JOBS = Path(__file__).with_name("plan_jobs.py")


def run(folder: Path, devices: int) -> list[dict[str, Any]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JOB_DEVICES": str(devices), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(JOBS), str(folder)],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    return [json.loads(path.read_text()) for path in sorted(folder.glob("rank-*.json"))]


# Four heads on all processes, with dropout, and on groups of two.
@pytest.mark.parametrize(("devices", "own_heads"), [(2, (2, 2)), pytest.param(4, (1, 2), marks=pytest.mark.soak)])
@pytest.mark.multiprocess
@pytest.mark.slow
def test_split_attention_has_the_losses_of_one_process(
    tmp_path: Path, devices: int, own_heads: tuple[int, int]
) -> None:
    [alone] = run(tmp_path / "1", 1)
    ranks = run(tmp_path / "several", devices)
    assert len(ranks) == devices
    for rank in ranks:
        for name, heads in zip(("all", "groups"), own_heads, strict=True):
            many, one = rank[name], alone[name]
            assert many["heads"] == heads
            assert len(one["losses"]) == 10
            assert many["losses"] == pytest.approx(one["losses"], abs=1e-5), name
            assert many["metrics"] == pytest.approx(one["metrics"], abs=1e-5), name
            for key, weights in one["weights"].items():
                if not key.endswith("key_norm.bias"):  # it adds the same to every score of a softmax: rounding errors
                    assert many["weights"][key] == pytest.approx(weights, abs=1e-4), (name, key)
