"""The plan beside the attention network: its losses, metrics and checkpoints are those of one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script

ROOT = Path(__file__).parents[4]
JOBS = Path(__file__).with_name("plan_jobs.py")


def run(folder: Path, devices: int) -> Ranks:
    ended_well(run_script(JOBS, str(folder), devices=devices, timeout=280))
    return ranks_of(folder)


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
