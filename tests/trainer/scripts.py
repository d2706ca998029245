"""Scripts that a test runs in processes of their own, and what each of them left as `rank-N.json`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Ranks = list[dict[str, Any]]


def run_script(
    script: Path,
    *arguments: str,
    devices: int,
    torchrun: bool = False,
    timeout: float = 120,
    variables: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a script, which finds the number of processes in JOB_DEVICES; torchrun or its own strategy starts them."""
    command = [sys.executable]
    if torchrun:
        command += ["-m", "torch.distributed.run", f"--nproc-per-node={devices}", "--standalone"]
    own = {
        "PYTHONPATH": str(ROOT),
        "JOB_DEVICES": str(devices),
        "OMP_NUM_THREADS": "1",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    return subprocess.run(
        [*command, str(script), *arguments],
        env={**os.environ, **own, **(variables or {})}, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def ranks_of(folder: Path, pattern: str = "rank-*.json") -> Ranks:
    """Return what each process left in `folder`, in order of rank."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(pattern))]


def ended_well(done: "subprocess.CompletedProcess[str]") -> None:
    """See that a script ended without an error."""
    assert done.returncode == 0, done.stderr[-5000:]
