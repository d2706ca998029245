"""A command line from end to end: what is read, built, saved and run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import trainer as L
from tests.trainer.cli.pieces import SHORT, Data, Deep, Injected, Linked, Model, Plain, Shifted
from trainer.errors import MisconfigurationException

pytest.importorskip("jsonargparse")

from trainer.cli import LightningArgumentParser, LightningCLI, ReduceLROnPlateau, SaveConfigCallback


def build(*args: str, model: Any = Model, data: Any = Data, cls: Any = LightningCLI, **options: Any) -> Any:
    """Return a command line that only built its objects."""
    return cls(model, data, run=False, args=list(args), **{"save_config_callback": None, **options})


def test_a_subcommand_runs_with_what_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    command = LightningCLI(Model, Data, args=["fit", *SHORT, "--model.lr=0.5", "--data.batch_size=4"])
    assert (command.subcommand, command.trainer.global_step) == ("fit", 2)
    assert isinstance(command.datamodule, Data)
    assert (command.model.hparams.lr, command.datamodule.batch_size) == (0.5, 4)
    saved = yaml.safe_load(Path("lightning_logs/version_0/config.yaml").read_text())
    assert (saved["model"]["lr"], saved["data"]["batch_size"], saved["seed_everything"]) == (0.5, 4, 0)
    assert saved["trainer"]["callbacks"] is None
    assert "Seed set to 0" in capsys.readouterr().out


def test_the_saved_configuration_repeats_the_run() -> None:
    first = LightningCLI(Model, Data, args=["fit", *SHORT, "--model.lr=0.5", "--seed_everything=7"])
    again = LightningCLI(Model, Data, args=["fit", "--config=lightning_logs/version_0/config.yaml"])
    assert again.config["fit"]["model"] == first.config["fit"]["model"]
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_command_line_is_taken_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["any.py", "--model.lr=0.75"])
    assert LightningCLI(Model, Data, run=False).model.lr == 0.75
    with pytest.warns(UserWarning, match="The command line is not read"):
        assert build("--model.lr=0.5").model.lr == 0.5


def test_wrong_arguments_end_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        build("--trainer.epochs=1")
    assert end.value.code == 2
    assert "--trainer.epochs=1" in capsys.readouterr().err


def test_streaming_is_nothing_for_a_command_line() -> None:
    class Command(LightningCLI):
        def predict(self, **kwargs: Any) -> None:
            self.arguments = kwargs

    command = Command(Model, Data, args=["predict", *SHORT, "--return_predictions=false"])
    assert set(command.arguments) == {"model", "datamodule", "return_predictions", "ckpt_path", "weights_only"}
    assert command.arguments["return_predictions"] is False


def test_the_configuration_chooses_the_classes() -> None:
    command = build(
        f"--model={Model.__module__}.Deep",
        "--model.depth=5",
        f"--data={Model.__module__}.Shifted",
        "--data.shift=2",
        model=None,
        data=None,
    )
    assert isinstance(command.model, Deep)
    assert isinstance(command.datamodule, Shifted)
    assert command.config["model"]["class_path"] == f"{Deep.__module__}.Deep"
    assert (command.model.depth, command.config["data"]["init_args"]["shift"]) == (5, 2.0)


def test_a_seed_comes_first() -> None:
    torch.manual_seed(11)
    expected = torch.nn.Linear(3, 1).weight
    command = build(seed_everything_default=11)
    assert torch.equal(command.model.layer.weight, expected)
    assert command.config["seed_everything"] == 11
    assert build("--seed_everything=false").config["seed_everything"] is False


# Callbacks


def names_of(command: Any) -> list[str]:
    return [type(callback).__name__ for callback in command.trainer.callbacks]


def test_callbacks_come_from_three_places() -> None:
    class Command(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_lightning_class_args(L.callbacks.EarlyStopping, "early")
            parser.set_defaults({"early.monitor": "loss"})

    args = ["--trainer.callbacks=Timer", "--trainer.callbacks.duration=00:01:00:00", "--early.patience=9",
            "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]  # fmt: skip
    command = build(
        *args, cls=Command, trainer_defaults={"callbacks": L.callbacks.LearningRateMonitor(), "max_epochs": 4}
    )
    assert names_of(command) == ["Timer", "EarlyStopping", "LearningRateMonitor", "ModelCheckpoint"]
    assert command.trainer.early_stopping_callback.patience == 9
    assert command.trainer.max_epochs == 4
    with_config = build(*args, cls=Command, save_config_callback=SaveConfigCallback)
    assert names_of(with_config) == ["Timer", "EarlyStopping", "SaveConfigCallback", "ModelCheckpoint"]
    assert "SaveConfigCallback" not in names_of(
        build("--trainer.fast_dev_run=1", save_config_callback=SaveConfigCallback)
    )


def test_a_trainer_without_callbacks_gets_none() -> None:
    class Bare(L.Trainer):
        def __init__(self, max_epochs: int = 1) -> None:
            super().__init__(max_epochs=max_epochs, accelerator="cpu", logger=False)

    with pytest.warns(UserWarning, match="takes no `callbacks`"):
        command = build("--trainer.max_epochs=3", trainer_class=Bare)
    assert command.trainer.max_epochs == 3


def test_other_classes_are_refused() -> None:
    class Command(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_lightning_class_args(torch.nn.Linear, "layer")

    with pytest.raises(MisconfigurationException, match=r"below `layer`.*add_class_arguments"):
        build(cls=Command)


# Optimizers


def test_optimizers_on_the_command_line_replace_the_models() -> None:
    args = ["--optimizer=Adam", "--optimizer.lr=0.02", "--lr_scheduler=StepLR", "--lr_scheduler.step_size=3"]
    with pytest.warns(UserWarning, match=r"`Model.configure_optimizers` will be overridden by `LightningCLI.configure"):
        model = build(*args).model
    (optimizer,), (scheduler,) = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.param_groups[0]["lr"], scheduler.step_size) == (0.02, 3)
    assert isinstance(build().model.configure_optimizers(), torch.optim.SGD)


@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "trainer.cli.ReduceLROnPlateau"])
def test_the_plateau_scheduler_watches_its_metric(name: str) -> None:
    args = ["--optimizer=SGD", "--optimizer.lr=0.1", f"--lr_scheduler={name}",
            "--lr_scheduler.monitor=loss", "--lr_scheduler.patience=4"]  # fmt: skip
    configured = build(*args, model=Plain).model.configure_optimizers()
    scheduler = configured["lr_scheduler"]["scheduler"]
    assert isinstance(scheduler, ReduceLROnPlateau)
    assert (configured["lr_scheduler"]["monitor"], scheduler.patience) == ("loss", 4)


def test_optimizers_are_injected() -> None:
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05", "--model.scheduler=StepLR",
            "--model.scheduler.step_size=4"]  # fmt: skip
    command = build(*args, model=Injected, auto_configure_optimizers=False)
    (optimizer,), (scheduler,) = command.model.configure_optimizers()
    assert (type(optimizer), optimizer.param_groups[0]["lr"]) == (torch.optim.Adam, 0.05)
    assert scheduler.step_size == 4
    assert "optimizer" not in command.config


@pytest.mark.filterwarnings(
    "ignore:[\\s\\S]*a tuple is serialized as list"
)  # Adam's betas, below a type that says nothing
def test_descriptions_of_optimizers_are_linked_to_the_model() -> None:
    class Command(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_optimizer_args(torch.optim.Adam, nested_key="first", link_to="model.one")

    command = build("--first.lr=0.3", model=Linked, cls=Command)
    assert command.model.one["class_path"] == "torch.optim.adam.Adam"
    assert command.model.one["init_args"]["lr"] == 0.3


def test_several_automatic_optimizers_are_refused() -> None:
    class Command(LightningCLI):
        def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
            parser.add_optimizer_args(torch.optim.Adam, nested_key="first")
            parser.add_optimizer_args(torch.optim.SGD, nested_key="second")

    with pytest.raises(MisconfigurationException, match=r"\['first', 'second', 'lr_scheduler'\].*link_to"):
        build("--first.lr=0.1", "--second.lr=0.1", cls=Command)


# Saved configurations


def test_an_earlier_configuration_is_not_overwritten() -> None:
    args = ["fit", *SHORT, "--trainer.logger.version=0"]
    LightningCLI(Model, Data, args=args)
    path = Path("lightning_logs/version_0/config.yaml")
    before = path.read_text()
    with pytest.raises(RuntimeError, match=r"expected .*config.yaml to NOT exist"):
        LightningCLI(Model, Data, args=[*args, "--model.lr=0.5"])
    assert path.read_text() == before
    LightningCLI(Model, Data, args=[*args, "--model.lr=0.5"], save_config_kwargs={"overwrite": True})
    assert yaml.safe_load(path.read_text())["model"]["lr"] == 0.5


def test_a_configuration_is_saved_elsewhere_too() -> None:
    class Save(SaveConfigCallback):
        def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
            trainer.logger.log_hyperparams({"lr": self.config["model"]["lr"], "stage": stage})  # type: ignore[union-attr]

    command = LightningCLI(Model, Data, save_config_callback=Save, args=["fit", *SHORT, "--model.lr=0.5"])
    folder = Path(command.trainer.log_dir or "")
    assert yaml.safe_load((folder / "hparams.yaml").read_text())["stage"] == "fit"
    assert (folder / "config.yaml").is_file()
    with pytest.raises(ValueError, match="saves the configuration nowhere"):
        SaveConfigCallback(command.parser, command.config, save_to_log_dir=False)


# Class paths of Lightning


def test_class_paths_of_lightning_are_ours(tmp_path: Path) -> None:
    config = {
        "trainer": {
            "callbacks": [
                {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "loss"}},
                {"class_path": "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"},
            ],
            "logger": {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "."}},
            "strategy": {"class_path": "DDPStrategy"},
        },
    }
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(config))
    args = ["--config=theirs.yaml", "--trainer.callbacks+=lightning.pytorch.callbacks.Timer"]
    command = build(*args)
    paths = [one["class_path"] for one in command.config["trainer"]["callbacks"]]
    assert paths == ["trainer.callbacks.EarlyStopping", "trainer.callbacks.ModelCheckpoint", "trainer.callbacks.Timer"]
    assert type(command.trainer.loggers[0]) is L.loggers.CSVLogger
    assert type(command.trainer.strategy) is L.strategies.DDP


def test_class_paths_that_only_lightning_has_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build("--trainer.callbacks=lightning.pytorch.callbacks.NothingLikeIt")
    assert "lightning.pytorch.callbacks.NothingLikeIt" in capsys.readouterr().err
