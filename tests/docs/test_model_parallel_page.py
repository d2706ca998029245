"""docs/how-to/model-parallel.md: its script runs in two processes, its large model in one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trainer as L
from tests.docs.pages import Page
from trainer.checkpoints import load_checkpoint
from trainer.strategies import ModelParallelStrategy

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.soak
@pytest.mark.multiprocess
@pytest.mark.slow
def test_the_script_runs(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(Page.named("model-parallel").blocks[0], encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("12 steps, loss ")
    assert done.stdout.strip().endswith("a share of (16, 8)")
    weights = load_checkpoint(tmp_path / "model.ckpt")["state_dict"]
    assert weights["net.1.up.weight"].shape == (32, 8)


def test_the_large_model_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = Page.named("model-parallel").run_all()
    strategy = ModelParallelStrategy(1, 1, plan=names["plan"])
    fit = L.Trainer(accelerator="cpu", devices=1, strategy=strategy, max_epochs=1, logger=False,
                    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    x = torch.ones(8, 4)
    torch.manual_seed(2)
    expected = names["Model"]().state_dict()
    torch.manual_seed(2)
    model = names["Large"]()
    data = torch.utils.data.TensorDataset(x, x[:, :1])
    monkeypatch.setattr(names["Model"], "configure_optimizers", lambda self: torch.optim.SGD(self.parameters(), lr=0.0))
    fit.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
    for name, value in expected.items():
        assert torch.equal(model.state_dict()[name].full_tensor(), value), name
