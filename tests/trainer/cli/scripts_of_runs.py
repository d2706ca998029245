"""Scripts: optimizers, seeds, saved configurations, and what a command runs."""
# mypy: disable-error-code="misc, valid-type, name-defined, no-any-return"
# The classes below belong to a package that is chosen when this file is imported, so nothing is known of their bases.

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.trainer.cli.pieces import (
    PACKAGE,
    QUIET,
    SHORT,
    Data,
    Injected,
    L,
    Linked,
    Model,
    Plain,
    Seen,
    captured,
    cli,
    plain,
    script,
    seen_of,
    write,
)

# Optimizers


@script
def optimizers_by_name(folder: Path) -> Seen:
    args = ["--optimizer=Adam", "--optimizer.lr=0.1", "--lr_scheduler=ExponentialLR", "--lr_scheduler.gamma=0.5"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = seen_of(cli.LightningCLI(Model, Data, args=["fit", *SHORT, *args]))
    overrides = [str(one.message) for one in caught if "will be overridden" in str(one.message)]
    return seen | {"warned": overrides}


@script
def plateau(folder: Path) -> Seen:
    args = ["--optimizer=SGD", "--optimizer.lr=0.1", f"--lr_scheduler={PACKAGE}.cli.ReduceLROnPlateau",
            "--lr_scheduler.monitor=loss", "--lr_scheduler.factor=0.2"]  # fmt: skip
    command = cli.LightningCLI(Plain, Data, args=["fit", *SHORT, *args])
    return seen_of(command) | {"monitor": command.trainer.lr_scheduler_configs[0].monitor}


@script
def chosen_optimizers(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_optimizer_args(torch.optim.Adam)
            parser.add_lr_scheduler_args(torch.optim.lr_scheduler.ExponentialLR)
            parser.set_defaults({"lr_scheduler.gamma": 0.25})

        @staticmethod
        def configure_optimizers(module: Any, optimizer: Any, lr_scheduler: Any = None) -> Any:
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}

    command = Command(Plain, Data, args=["fit", *SHORT, "--optimizer.lr=0.3"])
    return seen_of(command) | {"interval": command.trainer.lr_scheduler_configs[0].interval}


@script
def several_kinds(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_optimizer_args((torch.optim.SGD, torch.optim.Adam))

    return seen_of(Command(Plain, Data, args=["fit", *SHORT, "--optimizer=SGD", "--optimizer.lr=0.2"]))


@script
def linked_optimizers(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_optimizer_args(torch.optim.Adam, nested_key="first", link_to="model.one")
            parser.add_lr_scheduler_args((torch.optim.lr_scheduler.StepLR,), nested_key="second", link_to="model.two")

    args = ["--first.lr=0.1", "--second=StepLR", "--second.step_size=3"]
    return seen_of(Command(Linked, Data, args=["fit", *SHORT, *args]))


@script
def injected_optimizers(folder: Path) -> Seen:
    default = seen_of(cli.LightningCLI(Injected, Data, auto_configure_optimizers=False, args=["fit", *SHORT]))
    args = ["--model.optimizer=Adam", "--model.optimizer.lr=0.05", "--model.scheduler=StepLR",
            "--model.scheduler.step_size=4"]  # fmt: skip
    command = cli.LightningCLI(Injected, Data, auto_configure_optimizers=False, args=["fit", *SHORT, *args])
    again = Injected.load_from_checkpoint(command.trainer.checkpoint_callback.best_model_path)
    made = again.configure_optimizers()
    return {
        "default": default,
        "chosen": seen_of(command),
        "again": [type(made[0][0]).__name__, made[0][0].param_groups[0]["lr"], type(made[1][0]).__name__],
        "has": [name for name in ("optimizer", "lr_scheduler") if name in command.config["fit"]],
    }


@script
def too_many_optimizers(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_optimizer_args(torch.optim.Adam, nested_key="first")
            parser.add_optimizer_args(torch.optim.SGD, nested_key="second")

    seen = captured(lambda: Command(Plain, Data, args=["fit", *SHORT, "--first.lr=0.1", "--second.lr=0.1"]))
    return {"misconfigured": "MisconfigurationException" in seen["code"]}


# Seeds


@script
def seeds(folder: Path) -> Seen:
    def seed_of(args: list[str], **options: Any) -> Any:
        os.environ.pop("PL_GLOBAL_SEED", None)
        command = cli.LightningCLI(Model, Data, run=False, args=args, **options)
        return [command.config["seed_everything"], os.environ.get("PL_GLOBAL_SEED"), command.model.state_dict()]

    return plain(
        {
            "default": seed_of([]),
            "given": seed_of(["--seed_everything=3"]),
            "other default": seed_of([], seed_everything_default=11),
            "none": seed_of([], seed_everything_default=False)[:2],
            "turned off": seed_of(["--seed_everything=false"])[:2],
        }
    )


# Saved configurations


@script
def an_earlier_configuration(folder: Path) -> Seen:
    def again(**options: Any) -> str:
        args = ["fit", *SHORT, "--trainer.logger.version=0"]
        return captured(lambda: cli.LightningCLI(Model, Data, args=args, **options))["code"]

    return {
        "first": again(),
        "second": again(),
        "overwrite": again(save_config_kwargs={"overwrite": True}),
        "other name": again(save_config_kwargs={"config_filename": "mine.yaml"}),
        "none": again(save_config_callback=None),
        "files": sorted(path.name for path in (folder / "lightning_logs" / "version_0").glob("*.yaml")),
    }


@script
def several_files(folder: Path) -> Seen:
    model = write(folder / "model.yaml", {"lr": 0.3})
    whole = write(folder / "all.yaml", {"model": model, "data": {"batch_size": 4}})
    args = ["fit", *SHORT, f"--config={whole}"]
    command = cli.LightningCLI(Model, Data, args=args, save_config_kwargs={"multifile": True})
    return {key: seen_of(command)[key] for key in ("files", "hparams")}


@script
def a_way_of_saving(folder: Path) -> Seen:
    class Save(cli.SaveConfigCallback):
        def save_config(self, trainer: Any, pl_module: Any, stage: Any) -> None:
            Path("saved.yaml").write_text(self.parser.dump(self.config))
            Path("stage").write_text(str(getattr(stage, "value", stage)))

    options = {"save_to_log_dir": False}
    command = cli.LightningCLI(Model, Data, save_config_callback=Save, save_config_kwargs=options, args=["fit", *SHORT])
    useless = captured(lambda: cli.LightningCLI(Model, Data, save_config_kwargs=options, args=["fit", *SHORT]))
    saved = yaml.safe_load(Path("saved.yaml").read_text())
    none_left_out = {key: value for key, value in saved["trainer"].items() if value is not None}
    return plain(
        {
            "saved": saved | {"trainer": none_left_out},
            "stage": Path("stage").read_text(),
            "files": sorted(path.name for path in Path(command.trainer.log_dir).glob("*.yaml")),
            "useless": "ValueError" in useless["code"],
        }
    )


@script
def a_dry_run_saves_nothing(folder: Path) -> Seen:
    cli.LightningCLI(Model, Data, args=["fit", *QUIET, "--trainer.fast_dev_run=1"])
    return {"files": sorted(str(path) for path in folder.rglob("config.yaml"))}


# Running


@script
def hooks_and_subcommands(folder: Path) -> Seen:
    order: list[str] = []

    class Own(L.Trainer):
        def tune(self, model: L.LightningModule, datamodule: L.LightningDataModule, depth: int = 1) -> None:
            """Look around.

            Args:
                model: a model.
                datamodule: data.
                depth: how far.
            """
            order.append(f"tune {type(model).__name__} {depth}")

    class Command(cli.LightningCLI):
        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {**cli.LightningCLI.subcommands(), "tune": {"model", "datamodule"}}

        def before_instantiate_classes(self) -> None:
            order.append(f"before classes {hasattr(self, 'model')}")

        def after_instantiate_classes(self) -> None:
            order.append(f"after classes {hasattr(self, 'trainer')}")

        def before_fit(self) -> None:
            order.append("before fit")

        def after_fit(self) -> None:
            order.append("after fit")

        def before_tune(self) -> None:
            order.append("before tune")

        def validate(self, **kwargs: Any) -> None:
            order.append(f"validate {sorted(kwargs)}")

    Command(Model, Data, trainer_class=Own, args=["fit", *SHORT])
    Command(Model, Data, trainer_class=Own, args=["tune", *SHORT, "--depth=3"])
    Command(Model, Data, trainer_class=Own, args=["validate", *SHORT])
    names = {name: sorted(skipped) for name, skipped in cli.LightningCLI.subcommands().items()}
    return {"order": order, "subcommands": names}


@script
def only_objects(folder: Path) -> Seen:
    command = cli.LightningCLI(Model, Data, run=False, args=[*SHORT, "--model.lr=0.3"])
    before = [command.subcommand, command.trainer.global_step, "subcommand" in command.config]
    command.trainer.fit(command.model, command.datamodule)
    return seen_of(command) | {"before": before}


@script
def steps_overridden(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_default_arguments_to_parser(self, parser: Any) -> None:
            super().add_default_arguments_to_parser(parser)
            parser.add_argument("--note", type=int, default=2)

        def instantiate_classes(self) -> None:
            super().instantiate_classes()
            self.model.note = self.config["note"]

        def instantiate_trainer(self, **kwargs: Any) -> Any:
            return super().instantiate_trainer(max_epochs=4, **kwargs)

    command = Command(Model, Data, run=False, args=["--note=6", *SHORT])
    return {"note": command.model.note, "epochs": command.trainer.max_epochs}


@script
def classes_by_path(folder: Path) -> Seen:
    made = cli.instantiate_class(
        (), {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 1}}
    )
    other = cli.instantiate_class(0.25, {"class_path": "torch.nn.Dropout"})
    return {"made": tuple(made.weight.shape), "other": other.p}
