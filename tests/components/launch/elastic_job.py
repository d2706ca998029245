"""What the processes of the elastic tests train: `elastic_job FOLDER`, with its settings in JOB_SETTINGS as JSON.

Each sample pushes a weight of its own by exactly one per epoch, so that the final weights say how often it was seen;
the other weights depend on the order of everything.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import trainer as L
from components.train.agreement import Agreement
from components.train.job import Job
from trainer.callbacks import ModelCheckpoint
from trainer.data.global_batch import share_of_batch

SAMPLES, BATCH = 128, 16


class Ledger(L.LightningModule):
    """Counts the samples exactly: sums of powers of two."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.dropout = dropout
        self.seen = torch.nn.Parameter(torch.zeros(SAMPLES, 1))
        self.layer = torch.nn.Linear(4, 4)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        index, x = batch
        ordered = torch.nn.functional.dropout(self.layer(x), self.dropout).tanh().square().mean()
        loss: Tensor = -self.seen[index].sum() / len(index) + ordered
        self.log("order", ordered.detach(), on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        own = {"params": [self.seen], "lr": float(BATCH)}
        return torch.optim.SGD([own, {"params": list(self.layer.parameters()), "lr": 0.5}], lr=0.5)


class Diary(L.Callback):
    """Writes each step with its time, and makes it last as long as asked."""

    def __init__(self, folder: Path, step_s: float) -> None:
        self.folder = folder
        self.step_s = step_s

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        time.sleep(self.step_s)
        line = json.dumps([time.time(), trainer.global_step, trainer.world_size])
        with (self.folder / f"steps-{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{line}\n")


def data() -> TensorDataset:
    x = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(2))
    return TensorDataset(torch.arange(SAMPLES), x)


def make_trainer(folder: Path, settings: dict[str, Any], **options: Any) -> L.Trainer:
    every = settings.get("every", 4)
    kept = ModelCheckpoint(folder / "kept", every_n_train_steps=every, save_last=True, save_on_exception=True)
    usual: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": settings.get("epochs", 4),
        "callbacks": [kept, Diary(folder, settings.get("step_s", 0.05))],
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    return L.Trainer(**{**usual, **options})


def main() -> None:
    folder, settings = Path(sys.argv[1]), json.loads(os.environ["JOB_SETTINGS"])
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    L.seed_everything(7, verbose=False)
    trainer = make_trainer(
        folder,
        settings,
        devices=int(os.environ["LOCAL_WORLD_SIZE"]),
        num_nodes=int(os.environ["GROUP_WORLD_SIZE"]),
        strategy=settings.get("strategy", "ddp"),
        max_steps=settings.get("max_steps", -1),
    )
    share = share_of_batch(settings.get("batch", BATCH), world)
    model = Ledger(settings.get("dropout", 0.25))
    loader = DataLoader(data(), batch_size=share.batch_size, shuffle=True)
    if settings.get("config_of_rank"):
        config = {"seed": 1, "rate": rank}
        trainer.callbacks.append(Agreement(Job(package="tests", dataset="", folder="", config=config)))
    trainer.fit(model, loader, ckpt_path="last")
    trainer.save_checkpoint(folder / "final.ckpt", weights_only=True)


if __name__ == "__main__":
    main()
