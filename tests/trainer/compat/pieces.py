"""What the scripts are made of: the two packages, hooks that are noted, a model, data, and what is seen of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Api(NamedTuple):
    """One of the two packages."""

    L: Any
    callbacks: ModuleType
    Logger: type[Any]
    CombinedLoader: type[Any]


Seen = dict[str, Any]
HOOKS = [
    "setup",
    "teardown",
    "on_fit_start",
    "on_fit_end",
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_train_start",
    "on_train_end",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_end",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_test_start",
    "on_test_end",
    "on_test_epoch_start",
    "on_test_epoch_end",
    "on_test_batch_start",
    "on_test_batch_end",
    "on_predict_start",
    "on_predict_end",
    "on_predict_epoch_start",
    "on_predict_epoch_end",
    "on_predict_batch_start",
    "on_predict_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_save_checkpoint",
    "on_load_checkpoint",
]
MODULE_HOOKS = [name for name in HOOKS if "sanity" not in name] + [
    "prepare_data",
    "configure_model",
    "configure_optimizers",
    "training_step",
    "validation_step",
    "test_step",
    "predict_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "lr_scheduler_step",
    "configure_gradient_clipping",
    "on_before_batch_transfer",
    "transfer_batch_to_device",
    "on_after_batch_transfer",
    "on_validation_model_eval",
    "on_validation_model_train",
    "on_test_model_eval",
    "on_test_model_train",
    "on_predict_model_eval",
    "on_validation_model_zero_grad",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
]


def noting(base: type[Any], names: list[str], calls: list[str], mark: str) -> type[Any]:
    """Return a subclass of `base` that notes the calls of `names` and passes them on."""

    def note(name: str) -> Callable[..., Any]:
        def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append(f"{mark}.{name}")
            return getattr(super(kind, self), name)(*args, **kwargs)

        return hook

    kind = type(base.__name__, (base,), {name: note(name) for name in names})
    return kind


def row_logger(api: Api, rows: list[Any]) -> Any:
    """Return a logger that keeps its rows."""

    class Rows(api.Logger):  # type: ignore[misc,name-defined]  # a class of either package
        name = "rows"
        version = 0

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            rows.append((step, {name: float(value) for name, value in metrics.items()}))

        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            pass

    return Rows()


def make_trainer(api: Api, folder: Path, rows: list[Any], **options: Any) -> Any:
    defaults: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": row_logger(api, rows),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": folder,
        "log_every_n_steps": 1,
        "max_epochs": 2,
    }
    return api.L.Trainer(**(defaults | options))


def data(samples: int = 24, seed: int = 7) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(samples, 4, generator=generator)
    return TensorDataset(features, features.sum(1, keepdim=True))


def loader(samples: int = 24, batch_size: int = 4, **options: Any) -> DataLoader[Any]:
    return DataLoader(data(samples), batch_size=batch_size, **options)


def regression(api: Api) -> type[Any]:
    """Return the class of a small model with dropout, a scheduler and metrics in every stage."""

    class Regression(api.L.LightningModule):  # type: ignore[misc,name-defined]  # a class of either package
        def __init__(self, lr: float = 0.05) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.25), nn.Linear(6, 1))

        def forward(self, features: Tensor) -> Any:
            return self.net(features)

        def loss(self, batch: Any) -> Tensor:
            features, target = batch
            return functional.mse_loss(self(features), target)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            return loss

        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val_loss", self.loss(batch))

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log_dict({"test_loss": self.loss(batch), "constant": 2.0})

        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return self(batch[0])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams["lr"])
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    return Regression


def seen_of(trainer: Any, model: Any, rows: list[Any], **more: Any) -> Seen:
    return {
        "rows": rows,
        "metrics": {name: float(value) for name, value in trainer.callback_metrics.items()},
        "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "global_step": trainer.global_step,
        "current_epoch": trainer.current_epoch,
        **more,
    }
