"""The checks of `gpu_checks.py`: each alone on a GPU where there is one, and all on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.trainer.gpu_checks import CHECKS

ROOT = Path(__file__).parents[2]


def run(*names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.trainer.gpu_checks", *names], cwd=ROOT, env=os.environ, capture_output=True,
        text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")
@pytest.mark.parametrize("name", CHECKS)
def test_on_a_gpu(name: str) -> None:
    done = run(name)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout == f"{name}: ok on cuda\n"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which is better")
def test_the_checks_work_on_a_cpu() -> None:
    done = run()
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.splitlines() == [f"{name}: ok on cpu" for name in CHECKS]
