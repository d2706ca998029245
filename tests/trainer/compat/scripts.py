"""User-style scripts, written once for either import. Each returns what a user could see of its run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.compat.pieces import (
    HOOKS,
    MODULE_HOOKS,
    Api,
    Seen,
    data,
    loader,
    make_trainer,
    noting,
    regression,
    seen_of,
)


def every_stage(api: Api, folder: Path) -> Seen:
    """Fit with validation, then validate, test and predict, noting every hook of callback and module."""
    calls: list[str] = []
    rows: list[Any] = []
    model = noting(regression(api), MODULE_HOOKS, calls, "module")()
    watcher = noting(api.L.Callback, HOOKS, calls, "callback")()
    trainer = make_trainer(api, folder, rows, callbacks=[watcher], gradient_clip_val=0.5, limit_val_batches=2)
    trainer.fit(model, loader(shuffle=True), loader(8))
    validated = trainer.validate(model, loader(8), verbose=False)
    tested = trainer.test(model, loader(8), verbose=False)
    predicted = trainer.predict(model, loader(8))
    return seen_of(trainer, model, rows, calls=calls, validated=validated, tested=tested, predicted=predicted)


def gan(api: Api, folder: Path) -> Seen:
    """Two optimizers stepped by hand, one toggled at a time."""

    class Gan(api.L.LightningModule):  # type: ignore[misc,name-defined]  # a class of either package
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.critic = nn.Linear(2, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))

        def training_step(self, batch: Any, batch_idx: int) -> None:
            real, _ = batch
            first, second = self.optimizers()
            noise = torch.randn(len(real), 2)
            self.toggle_optimizer(first)
            generated = self.critic(self.generator(noise))
            loss = functional.binary_cross_entropy_with_logits(generated, torch.ones_like(generated))
            self.log("generator", loss, prog_bar=True)
            first.zero_grad()
            self.manual_backward(loss)
            first.step()
            self.untoggle_optimizer(first)
            self.toggle_optimizer(second)
            judged = self.critic(torch.cat([real, self.generator(noise).detach()]))
            truth = torch.cat([torch.ones(len(real), 1), torch.zeros(len(real), 1)])
            loss = functional.binary_cross_entropy_with_logits(judged, truth)
            self.log("critic", loss)
            second.zero_grad()
            self.manual_backward(loss)
            self.clip_gradients(second, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
            second.step()
            self.untoggle_optimizer(second)

        def on_train_epoch_end(self) -> None:
            for scheduler in self.lr_schedulers():
                scheduler.step()

        def configure_optimizers(self) -> Any:
            optimizers = [torch.optim.Adam(part.parameters(), lr=0.02) for part in (self.generator, self.critic)]
            return optimizers, [torch.optim.lr_scheduler.ExponentialLR(one, 0.9) for one in optimizers]

    rows: list[Any] = []
    model, trainer = Gan(), make_trainer(api, folder, rows)
    trainer.fit(model, loader(shuffle=True))
    rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
    return seen_of(trainer, model, rows, rates=rates)


def transfer_learning(api: Api, folder: Path) -> Seen:
    """A frozen backbone, thawed after an epoch by adding a parameter group."""

    class Transfer(regression(api)):  # type: ignore[misc]  # a class of either package
        def configure_optimizers(self) -> Any:
            self.net[0].requires_grad_(False)
            return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1)

        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 1:
                self.net[0].requires_grad_(True)
                self.optimizers().add_param_group({"params": list(self.net[0].parameters()), "lr": 0.01})

    rows: list[Any] = []
    model, trainer = Transfer(), make_trainer(api, folder, rows, max_epochs=3)
    before = model.net[0].weight.detach().clone()
    trainer.fit(model, loader(), loader(8))
    moved = not torch.equal(before, model.net[0].weight)
    return seen_of(trainer, model, rows, moved=moved, groups=len(trainer.optimizers[0].param_groups))


def several_loaders(api: Api, folder: Path) -> Seen:
    """A dict of training loaders of unlike length, two validation loaders, and combinations of another mode."""
    shapes: list[Any] = []

    class Several(regression(api)):  # type: ignore[misc]  # a class of either package
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            shapes.append({name: None if part is None else len(part[0]) for name, part in batch.items()})
            losses = [self.loss(part) for part in batch.values() if part is not None]
            self.log("train_loss", torch.stack(losses).sum(), batch_size=4)
            return torch.stack(losses).sum()

    rows: list[Any] = []
    model, trainer = Several(), make_trainer(api, folder, rows)
    loaders = {"long": loader(20, 4, shuffle=True), "short": loader(6, 2, shuffle=True)}
    trainer.fit(model, loaders, [loader(8), loader(4)])
    batches = (trainer.num_training_batches, trainer.num_val_batches)
    for mode in ("min_size", "max_size"):
        make_trainer(api, folder, rows, max_epochs=1).fit(model, api.CombinedLoader(loaders, mode))
    return seen_of(trainer, model, rows, shapes=shapes, batches=batches)


def iterable_data(api: Api, folder: Path) -> Seen:
    """A stream without a length, limited in one trainer and run to its end in another."""

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            yield from (data()[index] for index in range(24))

    rows: list[Any] = []
    model = regression(api)()
    limited = make_trainer(api, folder, rows, limit_train_batches=3, val_check_interval=2, check_val_every_n_epoch=None)
    limited.fit(model, DataLoader(Stream(), batch_size=4), DataLoader(Stream(), batch_size=8))
    trainer = make_trainer(api, folder, rows, max_steps=8, max_epochs=-1)
    trainer.fit(model, DataLoader(Stream(), batch_size=4), DataLoader(Stream(), batch_size=8))
    seen = seen_of(trainer, model, rows, limited=limited.global_step)
    # Stopped by max_steps in the middle of its second epoch, Lightning counts the epoch as done; ours goes on in it.
    del seen["current_epoch"]
    return seen


def lbfgs(api: Api, folder: Path) -> Seen:
    """An optimizer that evaluates the closure several times."""

    class Lbfgs(regression(api)):  # type: ignore[misc]  # a class of either package
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 1)

        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.5, max_iter=3)

    rows: list[Any] = []
    model, trainer = Lbfgs(), make_trainer(api, folder, rows)
    trainer.fit(model, loader(), loader(8))
    return seen_of(trainer, model, rows)


def own_loop(api: Api, folder: Path) -> Seen:
    """Steps shaped through hooks: skipped batches, an own optimizer step with warm-up, an epoch cut short."""
    losses: list[float] = []

    class Own(regression(api)):  # type: ignore[misc]  # a class of either package
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 1:
                return None
            return {"loss": self.loss(batch), "extra": batch_idx}

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return -1 if self.current_epoch == 1 and batch_idx == 3 else None

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            losses.append(-1.0 if not outputs else float(outputs["loss"]))

        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (self.trainer.global_step + 1)
            optimizer.step(closure=optimizer_closure)

        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
            optimizer.zero_grad(set_to_none=False)

    rows: list[Any] = []
    model, trainer = Own(), make_trainer(api, folder, rows, max_epochs=3)
    trainer.fit(model, loader())
    return seen_of(trainer, model, rows, losses=losses)


def with_torchmetrics(api: Api, folder: Path) -> Seen:
    """Metric objects, logged themselves and in a collection."""
    from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection

    class Measured(regression(api)):  # type: ignore[misc]  # a class of either package
        def __init__(self) -> None:
            super().__init__()
            self.train_mae = MeanAbsoluteError()
            self.val_metrics = MetricCollection([MeanAbsoluteError(), MeanSquaredError()], prefix="val_")

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            prediction = self(batch[0])
            self.train_mae(prediction, batch[1])
            self.log("train_mae", self.train_mae, on_step=True, on_epoch=True)
            return functional.mse_loss(prediction, batch[1])

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.val_metrics.update(self(batch[0]), batch[1])
            self.log_dict(self.val_metrics)

    rows: list[Any] = []
    model, trainer = Measured(), make_trainer(api, folder, rows)
    trainer.fit(model, loader(22), loader(10))
    return seen_of(trainer, model, rows)


def resume(api: Api, folder: Path) -> Seen:
    """A fit of one epoch, saved, and continued for another by a new trainer; what the file holds for all to see."""
    rows: list[Any] = []
    first = make_trainer(api, folder, rows, max_epochs=1)
    model = regression(api)()
    model.net[2].p = 0.0  # ours goes on with the saved random state, Lightning with the one of the new process
    first.fit(model, loader(), loader(8))
    path = folder / "first.ckpt"
    first.save_checkpoint(path)
    saved = torch.load(path, weights_only=False)
    model, trainer = regression(api)(), make_trainer(api, folder, rows)
    model.net[2].p = 0.0
    trainer.fit(model, loader(), loader(8), ckpt_path=path)
    public = {key: saved[key] for key in ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers")}
    public["hyper_parameters"] = dict(saved["hyper_parameters"])
    loaded = regression(api).load_from_checkpoint(path, lr=0.5)
    return seen_of(trainer, model, rows, saved=public, lr=loaded.hparams["lr"])


def ema(api: Api, folder: Path) -> Seen:
    """An exponential average of the weights: validated, kept in the checkpoint, and the model's own in the end."""
    validated: list[list[float]] = []

    class Averaged(regression(api)):  # type: ignore[misc]  # a class of either package
        def on_validation_epoch_end(self) -> None:
            validated.append(self.net[0].weight.flatten().tolist())

    rows: list[Any] = []
    averaging = api.callbacks.EMAWeightAveraging(decay=0.75, update_every_n_steps=2)
    model = Averaged()
    trainer = make_trainer(
        api, folder, rows, callbacks=[averaging], num_sanity_val_steps=0, max_epochs=3, val_check_interval=3
    )
    running: list[Any] = []
    averaging_end = averaging.on_train_end

    def on_train_end(trainer: Any, pl_module: Any) -> None:
        running.append({name: tensor.clone() for name, tensor in pl_module.state_dict().items()})
        trainer.save_checkpoint(folder / "ema.ckpt")
        averaging_end(trainer, pl_module)

    averaging.on_train_end = on_train_end
    trainer.fit(model, loader(), loader(8))
    saved = torch.load(folder / "ema.ckpt", weights_only=False)
    public = {key: saved[key] for key in ("state_dict", "current_model_state", "averaging_state")}
    loaded = Averaged.load_from_checkpoint(folder / "ema.ckpt")
    return seen_of(
        trainer, model, rows, validated=validated, running=running, saved=public, loaded=dict(loaded.state_dict())
    )


def predict_writer(api: Api, folder: Path) -> Seen:
    """Predictions written by a callback: after each batch, and all together, with the indices of their samples."""
    written: list[Any] = []

    class Writer(api.callbacks.BasePredictionWriter):  # type: ignore[misc,name-defined]  # a class of either package
        def write_on_batch_end(
            self,
            trainer: Any,
            pl_module: Any,
            prediction: Any,
            batch_indices: Any,
            batch: Any,
            batch_idx: int,
            dataloader_idx: int,
        ) -> None:
            written.append(["batch", dataloader_idx, batch_idx, list(batch_indices), prediction.flatten().tolist()])

        def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
            torch.save({"predictions": predictions, "indices": batch_indices}, folder / "all.pt")
            written.append(["epoch", batch_indices])

    class Predicting(regression(api)):  # type: ignore[misc]  # a class of either package
        def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
            return self(batch[0])

    rows: list[Any] = []
    model = Predicting()
    trainer = make_trainer(api, folder, rows, max_epochs=1, callbacks=[Writer(write_interval="batch_and_epoch")])
    trainer.fit(model, loader())
    returned = [trainer.predict(model, loader(10), return_predictions=False)]
    files = [torch.load(folder / "all.pt", weights_only=False)]
    returned.append(trainer.predict(model, [loader(6, shuffle=True), loader(5)]))
    files.append(torch.load(folder / "all.pt", weights_only=False))
    return seen_of(trainer, model, rows, written=written, files=files, returned=returned)


SCRIPTS = {
    script.__name__: script
    for script in (
        every_stage, gan, transfer_learning, several_loaders, iterable_data, lbfgs, own_loop, with_torchmetrics, resume,
        ema, predict_writer,
    )
}  # fmt: skip
