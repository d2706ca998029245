"""The same command lines under both imports: configurations, saved files, weights, hyperparameters, one by one."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.compat.test_compat import compare

pytest.importorskip("jsonargparse")
ROOT = Path(__file__).resolve().parents[3]

# Lightning's development version has it, its release does not.
ONLY_HERE = "suggest_integrations"


@pytest.mark.slow
@pytest.mark.timeout(600)  # two packages, forty command lines each
@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.soak)])
def test_every_script_does_the_same_in_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed, so there is nothing to compare with")
    from tests.trainer.cli import scripts

    for name in [name for name in os.environ if name.startswith("PL_")]:
        monkeypatch.delenv(name)
    environment = {**os.environ, "SCRIPTS_RUN_UNDER": "lightning.pytorch", "PYTHONPATH": str(ROOT)}
    # Imported, not run by its name: its classes have to be where a configuration finds them.
    start = "from tests.trainer.cli.scripts import main; main()"
    command = [sys.executable, "-c", start, str(tmp_path / "theirs"), str(tmp_path / "theirs.pt"), str(every)]
    with (tmp_path / "output").open("w") as output:
        lightning = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        with warnings.catch_warnings():
            # `fit` without `configure_optimizers`, a model that overrides, and the like: the same in both.
            warnings.simplefilter("ignore")
            ours = scripts.run_all(tmp_path / "ours", every)
        assert lightning.wait(timeout=500) == 0, (tmp_path / "output").read_text()[-3000:]
    finally:
        lightning.kill()
    theirs = torch.load(tmp_path / "theirs.pt")
    assert ours.keys() == theirs.keys()
    different = [bad for name in ours for bad in compare(ours[name], theirs[name], name) if ONLY_HERE not in bad]
    assert different == []


@pytest.mark.slow
def test_a_configuration_that_lightning_saved_is_read(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed, so there is nothing to compare with")
    from tests.trainer.cli.pieces import Plain
    from trainer.cli import LightningCLI, ReduceLROnPlateau
    from trainer.plugins import AsyncCheckpointIO

    saved = """
import sys
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
sys.argv = ["any.py"]
args = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=logs", "--trainer.accelerator=cpu",
        "--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=loss", "--trainer.precision=32",
        "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_last=true", "--trainer.max_epochs=3",
        "--trainer.profiler=SimpleProfiler", "--trainer.plugins=AsyncCheckpointIO",
        "--optimizer=Adam", "--optimizer.lr=0.1",
        "--lr_scheduler=lightning.pytorch.cli.ReduceLROnPlateau", "--lr_scheduler.monitor=loss"]
command = LightningCLI(BoringModel, run=False, args=args, save_config_callback=None)
command.parser.save(command.config, "config.yaml", skip_none=False)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", saved], cwd=tmp_path, check=True, capture_output=True)
    text = (tmp_path / "config.yaml").read_text()
    assert "class_path: lightning.pytorch.callbacks.EarlyStopping" in text
    command = LightningCLI(Plain, run=False, args=["--config=config.yaml"], save_config_callback=None)
    assert {type(callback).__module__.partition(".")[0] for callback in command.trainer.callbacks} == {"trainer"}
    assert isinstance(command.trainer.plugins.checkpoint_io, AsyncCheckpointIO)
    assert (command.trainer.max_epochs, command.trainer.precision) == (3, "32-true")
    assert command.config["optimizer"]["init_args"]["lr"] == 0.1
    configured: Any = command.model.configure_optimizers()
    assert isinstance(configured["lr_scheduler"]["scheduler"], ReduceLROnPlateau)
