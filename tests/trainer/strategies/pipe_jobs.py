"""What the tests of pipelines run in several processes: `pipe_jobs.py FOLDER NAME ...`; names are functions here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.strategies.parity_jobs import data
from tests.trainer.strategies.parity_pipe import Piped, Residual
from trainer.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.strategies import PipelineStrategy, Strategy
from trainer.strategies.pipeline import line

DEVICES = int(os.environ.get("JOB_DEVICES", "1"))


def make(folder: Path, strategy: Strategy | None = None, **options: Any) -> L.Trainer:
    defaults: dict[str, Any] = {
        "accelerator": "cpu", "devices": DEVICES, "logger": False, "enable_progress_bar": False, "max_epochs": 2,
        "enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": folder,
        "num_sanity_val_steps": 0, "log_every_n_steps": 1,
    }  # fmt: skip
    if DEVICES > 1 or strategy is not None:
        defaults["strategy"] = strategy or PipelineStrategy(microbatches=4)
    L.seed_everything(5, verbose=False)
    return L.Trainer(**(defaults | options))


def loader(size: int = 48, batch_size: int = 8, shuffle: bool = True) -> DataLoader[Any]:
    return DataLoader(data(size), batch_size=batch_size, shuffle=shuffle)


def numbers(trainer: L.Trainer) -> dict[str, float]:
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def ragged(folder: Path) -> dict[str, Any]:
    """The last batch of an epoch has 5 samples, which four microbatches cannot share."""
    trainer, model = make(folder), Piped("chain", "adam")
    trainer.fit(model, loader(21), loader(13, 4, shuffle=False))
    predicted = trainer.predict(model, loader(13, 5, shuffle=False))
    assert predicted is not None
    return {
        "losses": model.losses,
        "metrics": numbers(trainer),
        "shapes": [list(part.shape) for part in predicted],
        "predicted": torch.cat(predicted).flatten().tolist(),
    }


def bytes_held(folder: Path) -> dict[str, Any]:
    """Bytes of parameters, gradients and optimizer state."""
    trainer, model = make(folder), Piped("chain", "adam")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer.fit(model, loader())
    [optimizer] = trainer.optimizers
    states = [value for held in optimizer.state.values() for value in held.values() if value.dim()]
    tensors = {"parameters": list(model.parameters()), "states": states,
               "gradients": [p.grad for p in model.parameters() if p.grad is not None]}  # fmt: skip
    held = {name: sum(t.untyped_storage().nbytes() for t in found) for name, found in tensors.items()}
    return held | {
        "names": list(before) == list(model.state_dict()),
        "groups": len(optimizer.param_groups[0]["params"]),
    }


def carried(folder: Path) -> dict[str, Any]:
    """A boolean mask between stages, sent as versions of torch want it that expect a gradient for everything."""
    before = line.CARRIES
    line.CARRIES = not before and DEVICES > 1
    try:
        trainer, model = make(folder), Piped("masked", "adam")
        trainer.fit(model, loader(), loader(13, 4))
    finally:
        line.CARRIES = before
    return {"losses": model.losses, "metrics": numbers(trainer)}


class Thawing(Piped):
    """Its first layers are frozen in the first epoch."""

    def on_train_epoch_start(self) -> None:
        for layer in list(self.net.children())[:5]:
            layer.requires_grad_(self.current_epoch > 0)

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.02)


def thawing(folder: Path) -> dict[str, Any]:
    trainer, model = make(folder, gradient_clip_val=0.5), Thawing("chain", "adam")
    trainer.fit(model, loader())
    return {"losses": model.losses}


class Itself(L.LightningModule):
    """Its own layers, the default `predict_step`, and a batch that is a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(5, 2)

    def pipeline_layers(self) -> list[Any]:
        return [self.first, torch.tanh, self.second]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.tanh(self.first(x)))
        return out

    def training_step(self, batch: Tensor) -> Tensor:
        loss = self(batch).square().mean()
        self.log("loss", loss)
        return loss  # type: ignore[no-any-return]  # torch's modules are untyped when called

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def itself(folder: Path) -> dict[str, Any]:
    trainer, model = make(folder), Itself()
    rows = data(32).tensors[0]
    batches: Any = DataLoader(rows, batch_size=8)  # type: ignore[arg-type]  # a tensor is a data set
    trainer.fit(model, batches)
    metrics = numbers(trainer)
    predicted = trainer.predict(model, batches)
    assert predicted is not None
    return {"metrics": metrics, "predicted": torch.cat(predicted).flatten().tolist()}


class Trimming(Piped):
    """Cuts its batches by their values, so that shapes change."""

    def loss(self, batch: Any) -> Tensor:
        keep = int((batch[0][:, 0] > 0).sum()) + 1
        return nn.functional.mse_loss(self.net(batch[0][:keep]), batch[1][:keep])


class Average:
    """A metric object: the mean of what it was given."""

    def __init__(self) -> None:
        self.reset()

    def update(self, values: Tensor) -> None:
        self.total += float(values.sum())
        self.count += values.numel()

    def compute(self) -> float:
        return self.total / self.count

    def reset(self) -> None:
        self.total, self.count = 0.0, 0


class Watched(Piped):
    """Logs what callbacks watch, and a metric object."""

    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.average = Average()
        self.seen: list[Tensor] = []
        self.example_input_array = torch.ones(2, 6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss(batch)
        self.average.update(batch[1])
        self.log("average", self.average, on_step=False, on_epoch=True)
        self.log("weighted", loss, batch_size=3, on_epoch=True)
        self.log("train_loss", loss, prog_bar=True)
        return {"loss": loss}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        out = self.net(batch[0])
        self.seen.append((out - batch[1]).square().mean())

    def on_validation_epoch_end(self) -> None:
        self.log("val_loss", torch.stack(self.seen).mean() + 0.1 * self.current_epoch)
        self.seen.clear()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.01)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}


def watched(folder: Path) -> dict[str, Any]:
    """Callbacks decide the same everywhere."""
    stopping = EarlyStopping("val_loss", patience=1)
    best = ModelCheckpoint(folder / "best", monitor="train_loss", every_n_train_steps=2, save_top_k=2,
                           filename="{step}")  # fmt: skip
    trainer = make(folder, max_epochs=6, callbacks=[stopping, best], enable_checkpointing=True,
                   enable_model_summary=True)  # fmt: skip
    model = Watched()
    trainer.fit(model, loader(), loader(13, 4, shuffle=False))
    return {
        "losses": model.losses,
        "metrics": numbers(trainer),
        "epoch": trainer.current_epoch,
        "best": [Path(path).name for path in sorted(best.best_k_models)],
        "score": float(best.best_model_score or 0),
        "rate": trainer.optimizers[0].param_groups[0]["lr"],
    }


class Dropping(Piped):
    """Draws random numbers, in layers and in its step."""

    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Dropout(0.3), Residual(12), nn.Dropout(0.3), nn.Linear(12, 1))

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        noise = torch.rand_like(x)
        return nn.functional.mse_loss(self.net(x + noise), y + noise.sum(1, keepdim=True))


def resumed(folder: Path) -> dict[str, Any]:
    """A fit that goes on, from inside a window and from an epoch's end, against one that was never stopped."""
    options: dict[str, Any] = {"accumulate_grad_batches": 4, "max_epochs": 3}
    trainer, whole = make(folder, **options), Dropping()
    trainer.fit(whole, loader())
    found: dict[str, Any] = {"whole": whole.losses}
    for name, steps in (("window", 9), ("epoch", 12)):
        first = make(folder, **(options | {"max_epochs": -1}), callbacks=[StopAt(steps)])
        model = Dropping()
        first.fit(model, loader())
        first.save_checkpoint(folder / f"{name}.ckpt")
        trainer, second = make(folder, **options), Dropping()
        trainer.fit(second, loader(), ckpt_path=folder / f"{name}.ckpt")
        found[name] = [*model.losses, *second.losses]
    return found


class StopAt(L.Callback):
    """Stops a fit after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *rest: Any) -> None:
        self.left -= 1
        trainer.should_stop = self.left <= 0


class Noisy(L.LightningModule):
    """Learns to return the noise that its step draws; a layer that is the identity has a loss of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Dropout(0.0), nn.Linear(6, 6, bias=False))
        for layer in (self.net[0], self.net[2]):
            layer.weight.data = torch.eye(6)
        self.found: list[float] = []

    def loss(self, batch: Any) -> Tensor:
        noise = torch.randn_like(batch[0])
        return nn.functional.mse_loss(self.net(noise), noise)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.found.append(self.loss(batch).item())

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.found.append(float(outputs["loss"]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def noisy(folder: Path) -> dict[str, Any]:
    trainer, model = make(folder, max_epochs=1), Noisy()
    trainer.fit(model, loader(), loader(13, 4))
    return {"found": model.found, "state": torch.get_rng_state().sum().item()}


def checkpoint(folder: Path) -> dict[str, Any]:
    """One epoch, then a file; the second epoch follows from files of other runs, see the test."""
    path = os.environ.get("JOB_FROM")
    ema = EMAWeightAveraging(decay=0.5)
    trainer = make(folder, max_epochs=1 if path is None else 2, callbacks=[ema], gradient_clip_val=0.5)
    model = Piped("masked", "adam")
    trainer.fit(model, loader(), ckpt_path=path)
    trainer.save_checkpoint(folder / "made.ckpt")
    trainer.save_checkpoint(folder / "weights.ckpt", weights_only=True)
    return {"losses": model.losses}


def reload(folder: Path) -> dict[str, Any]:
    """A model that is split already takes a whole checkpoint."""
    trainer, model = make(folder, max_epochs=1), Piped("chain", "adam")
    trainer.fit(model, loader())
    trainer.save_checkpoint(folder / "model.ckpt")
    before = trainer.validate(model, loader(13, 4), verbose=False)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, loader())
    after = trainer.validate(model, loader(13, 4), verbose=False)
    back = trainer.validate(model, loader(13, 4), verbose=False, ckpt_path=folder / "model.ckpt")
    return {"values": [found[0]["val_loss"] for found in (before, after, back)]}


def unplain(folder: Path) -> dict[str, Any]:
    """A file cannot hold what the optimizer of the second stage has."""
    trainer, model = make(folder, max_epochs=1), Piped("chain", "adam")
    trainer.fit(model, loader())
    if os.environ["RANK"] == "1":
        next(iter(trainer.optimizers[0].state.values()))["made_in"] = folder
    try:
        trainer.save_checkpoint(folder / "made.ckpt")
    except CheckpointError as error:
        return {"error": str(error)}
    return {}


# What is refused


class Tied(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.net = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 1))
        self.net[2].weight = self.net[0].weight


class Normed(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))


class Counting(nn.Module):
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.linear(x)
        return out


class Statistics(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.net = nn.Sequential(Counting(), Counting(), nn.Linear(6, 1))


class Manual(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.automatic_optimization = False


class Quasi(Piped):
    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters())


class Outside(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.scale = nn.Parameter(torch.ones(1))


class Twice(Piped):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.loss(batch) + self.loss(batch)


class Never(Piped):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return next(self.parameters()).sum()


class Shallow(Piped):
    def __init__(self) -> None:
        super().__init__("chain", "adam")
        self.net = nn.Sequential(nn.Linear(6, 1))


REFUSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "tied": (Tied, {}),
    "batch norm": (Normed, {}),
    "manual": (Manual, {}),
    "closure": (lambda: Quasi("chain", "adam"), {}),
    "outside": (Outside, {}),
    "few layers": (Shallow, {}),
    "not divided": (lambda: Piped("chain", "adam"), {"strategy": {"microbatches": 3}}),
    "few microbatches": (lambda: Piped("chain", "adam"), {"strategy": {"microbatches": 1}}),
    "processes": (lambda: Piped("chain", "adam"), {"strategy": {"data_parallel_size": 3}}),
    "points": (lambda: Piped("chain", "adam"), {"strategy": {"split_points": ["net.9"]}}),
    "statistics": (Statistics, {}),
    "no sequence": (lambda: Piped("chain", "adam"), {"strategy": {"layers": "net.0"}}),
}
"""Refused on every process alike."""

FAILING: dict[str, type[Piped]] = {"twice": Twice, "shapes": Trimming}
"""Found out by one process, in the first batch."""


def refused(folder: Path) -> dict[str, Any]:
    found = {}
    for name, (model, options) in REFUSED.items():
        strategy = PipelineStrategy(**options.get("strategy", {"microbatches": 4}))
        trainer = make(folder, strategy, max_epochs=1)
        try:
            trainer.fit(model(), loader())
        except MisconfigurationException as error:
            found[name] = str(error)
    return found


def failing(folder: Path) -> dict[str, Any]:
    trainer = make(folder, max_epochs=1)
    trainer.fit(FAILING[os.environ["JOB_FAILING"]]("chain", "adam"), loader())
    return {}


if __name__ == "__main__":
    place, names = Path(sys.argv[1]), sys.argv[2:]
    results = {}
    for name in names:
        inside = place / name
        inside.mkdir(parents=True, exist_ok=True)
        results[name] = globals()[name](inside)
    (place / f"rank-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(results))
