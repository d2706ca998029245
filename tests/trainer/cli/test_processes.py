"""A script with a command line on two processes: one configuration is saved, and every process reads the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("jsonargparse")
ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
from tests.trainer.cli.pieces import Data, Model
from trainer.cli import LightningCLI

if __name__ == "__main__":
    command = LightningCLI(Model, Data)
    rank, config = command.trainer.global_rank, command.config["fit"]
    open(f"rank{rank}", "w").write(f"{command.trainer.global_step} {config['seed_everything']} {config['model']['lr']}")
"""


@pytest.mark.soak
@pytest.mark.multiprocess
def test_two_processes_run_one_command_line(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SCRIPT)
    (tmp_path / "config.yaml").write_text("model: {lr: 0.25}\ntrainer: {max_epochs: 1, enable_progress_bar: false}\n")
    command = [sys.executable, "main.py", "fit", "--config=config.yaml", "--seed_everything=5",
               "--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp",
               "--trainer.logger=CSVLogger", "--trainer.logger.save_dir=.", "--trainer.logger.version=0"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    first = run()
    assert first.returncode == 0, first.stderr[-3000:]
    # 8 samples in batches of 2 over two processes.
    assert [(tmp_path / f"rank{rank}").read_text() for rank in (0, 1)] == ["2 5 0.25"] * 2
    saved = yaml.safe_load((tmp_path / "lightning_logs" / "version_0" / "config.yaml").read_text())
    assert (saved["model"]["lr"], saved["trainer"]["devices"]) == (0.25, "2")
    again = run()
    assert again.returncode != 0
    assert "to NOT exist" in again.stderr
