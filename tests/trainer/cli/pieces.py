"""Models, data and helpers of the scripts of command lines, for either import, and the list of the scripts."""
# mypy: disable-error-code="misc, valid-type, name-defined, no-any-return"
# The classes below belong to a package that is chosen when this file is imported, so nothing is known of their bases.

import io
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PACKAGE = os.environ.get("SCRIPTS_RUN_UNDER", "trainer")
L: Any = import_module(PACKAGE)
cli: Any = import_module(f"{PACKAGE}.cli")
callbacks: Any = import_module(f"{PACKAGE}.callbacks")

Seen = dict[str, Any]
SCRIPTS: dict[str, Callable[[Path], Seen]] = {}


def script(function: Callable[[Path], Seen]) -> Callable[[Path], Seen]:
    """Add a script to the list."""
    SCRIPTS[function.__name__] = function
    return function


class Model(L.LightningModule):
    """A linear layer.

    Args:
        width: of the input.
        lr: of SGD.
        activation: what comes after.
    """

    def __init__(self, width: int = 3, lr: float = 0.1, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(width, 1)
        self.activation = nn.Identity() if activation is None else activation
        self.lr = lr

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.activation(self.layer(batch[0])).pow(2).mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.layer(batch[0]).mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.layer(batch[0]).mean())

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Deep(Model):
    def __init__(self, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = depth


class Plain(Model):
    """Leaves its optimizer to the command line."""

    configure_optimizers = L.LightningModule.configure_optimizers


class Holder(Model):
    """A model that holds another."""

    def __init__(self, inner: L.LightningModule, width: int = 3) -> None:
        super().__init__(width=width)
        self.inner = inner


class Data(L.LightningDataModule):
    def __init__(self, width: int = 3, batch_size: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.width, self.batch_size = width, batch_size
        self.num_features = width

    def train_dataloader(self) -> Any:
        features = torch.linspace(-1, 1, 8 * self.width).reshape(8, self.width)
        return DataLoader(TensorDataset(features), batch_size=self.batch_size)

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Shifted(Data):
    def __init__(self, shift: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Injected(Plain):
    """Makes its optimizer and scheduler from what the command line says."""

    def __init__(
        self,
        optimizer: cli.OptimizerCallable = lambda p: torch.optim.SGD(p, lr=0.25),
        scheduler: cli.LRSchedulerCallable = torch.optim.lr_scheduler.ConstantLR,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.make, self.schedule = optimizer, scheduler

    def configure_optimizers(self) -> Any:
        optimizer = self.make(self.parameters())
        return [optimizer], [self.schedule(optimizer)]


class Linked(Plain):
    """Gets the descriptions of two optimizers."""

    def __init__(self, one: dict[str, Any], two: dict[str, Any] = {}) -> None:  # noqa: B006 - what a user may write
        super().__init__()
        self.save_hyperparameters()
        self.one, self.two = one, two

    def configure_optimizers(self) -> Any:
        optimizer = cli.instantiate_class(self.parameters(), self.one)
        return [optimizer], [cli.instantiate_class(optimizer, self.two)] if self.two else []


def make_model(width: int = 3, factor: int = 2) -> Model:
    """Return a model.

    Args:
        width: of the input.
        factor: of the learning rate.
    """
    return Model(width=width, lr=0.1 * factor)


QUIET = [
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.logger.class_path=CSVLogger",
    "--trainer.logger.init_args.save_dir=.",
]
SHORT = [*QUIET, "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]


def seen_of(command: Any) -> Seen:
    """Return what a finished command line shows of itself."""
    folder = Path(command.trainer.log_dir or ".")
    names = ("config.yaml", "model.yaml", "hparams.yaml") if command.subcommand in (None, "fit") else ("config.yaml",)
    files = {
        path.name: yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml")) if path.name in names
    }
    return plain(
        {
            "config": command.config,
            "files": files,
            "hparams": dict(command.model.hparams),
            "data_hparams": {} if command.datamodule is None else dict(command.datamodule.hparams),
            "weights": {name: tensor.clone() for name, tensor in command.model.state_dict().items()},
            "model": type(command.model).__name__,
            "data": type(command.datamodule).__name__,
            "callbacks": [type(callback).__name__ for callback in command.trainer.callbacks],
            "optimizers": [
                (type(optimizer).__name__, {k: v for k, v in optimizer.param_groups[0].items() if k != "params"})
                for optimizer in command.trainer.optimizers
            ],
            "schedulers": [type(config.scheduler).__name__ for config in command.trainer.lr_scheduler_configs],
            "steps": command.trainer.global_step,
        }
    )


def plain(value: Any) -> Any:
    """Return nested dicts, lists, tensors and texts, without the names of either package's modules."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items() if key != "__path__"}
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, bool | int | float | torch.Tensor | None):
        return value
    if isinstance(value, Path) or type(value).__module__.startswith("jsonargparse"):
        return Path(str(value)).name
    return str(value).replace("lightning.pytorch.", "trainer.").replace("lightning.fabric.", "trainer.")


def captured(run: Callable[[], Any]) -> Seen:
    """Return what a command prints and how it exits."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run()
            code = "returned"
        except SystemExit as end:
            code = f"exit {end.code}"
        except Exception as error:
            code = " ".join(kind.__name__ for kind in type(error).__mro__)
    return {"out": out.getvalue(), "err": err.getvalue(), "code": code}


def write(path: Path, content: Any) -> str:
    """Write YAML and return its path."""
    path.write_text(yaml.safe_dump(content))
    return str(path)
