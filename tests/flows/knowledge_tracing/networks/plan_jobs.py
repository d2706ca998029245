"""Trains the attention model of knowledge tracing, whole or split by its plan: `plan_jobs.py FOLDER`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import trainer as L
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from flows.knowledge_tracing.networks.plan import plan
from trainer.strategies import ModelParallelStrategy

DEVICES = int(os.environ.get("JOB_DEVICES", "2"))
TENSOR = int(os.environ.get("JOB_TENSOR", "2"))


class Recording(DeepKnowledgeTracing):
    """Keeps the loss over the global batch of each step."""

    losses: list[float] = []  # noqa: RUF012 - one model in each process

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(self.all_gather(loss.detach()).mean().item())
        return loss


def data(model: DeepKnowledgeTracing, windows: int) -> list[dict[str, Any]]:
    inputs = model.export_inputs(windows, 9, seed=4)
    inputs["mask"] = inputs["scored"] = torch.ones(windows, 9, dtype=torch.bool)
    return [{name: value[index] for name, value in inputs.items()} for index in range(windows)]


def train(folder: Path, tensor: int, dropout: float) -> dict[str, Any]:
    L.seed_everything(5, verbose=False)
    network = {"network": "attention", "width": 16, "hidden": 24, "heads": 4, "blocks": 2, "dropout": dropout,
               "unknown_share": dropout / 10}  # fmt: skip
    model = Recording(items=12, skills=7, max_skills=3, network=network)
    Recording.losses.clear()
    strategy = ModelParallelStrategy(
        tensor_parallel_size=tensor, plan=plan, data_parallel="ddp", save_distributed_checkpoint=False
    )
    trainer = L.Trainer(
        accelerator="cpu", devices=DEVICES, strategy=strategy if DEVICES > 1 else "auto", max_epochs=2, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, gradient_clip_val=1.0,
        default_root_dir=folder, num_sanity_val_steps=0,
    )  # fmt: skip
    shares = DEVICES // tensor if DEVICES > 1 else 1
    train: Any = data(model, 40)  # a list is as good as a Dataset
    check: Any = data(model, 7)
    trainer.fit(model, DataLoader(train, batch_size=8 // shares), DataLoader(check, batch_size=2))
    trainer.save_checkpoint(folder / "model.ckpt")
    state = torch.load(folder / "model.ckpt", weights_only=True)["state_dict"]
    return {
        "losses": list(Recording.losses),
        "metrics": {name: value.item() for name, value in trainer.callback_metrics.items()},
        "weights": {name: value.flatten().tolist() for name, value in state.items()},
        "heads": model.network.retriever.attention.heads,  # type: ignore[union-attr]  # the attention network
    }


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    found = {"all": train(place, DEVICES, 0.2), "groups": train(place, TENSOR, 0.0)}
    (place / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
