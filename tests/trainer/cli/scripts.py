"""Command lines of user-style scripts, written once for either import. Each returns what its user could see."""
# mypy: disable-error-code="misc, valid-type, name-defined, no-any-return"
# The classes below belong to a package that is chosen when this file is imported, so nothing is known of their bases.

import io
import os
import sys
import warnings
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


# Reading


@script
def fit(folder: Path) -> Seen:
    return seen_of(cli.LightningCLI(Model, Data, args=["fit", *SHORT, "--model.lr=0.5", "--data.batch_size=4"]))


@script
def every_stage(folder: Path) -> Seen:
    seen = {}
    for stage in ("validate", "test", "predict"):
        command = cli.LightningCLI(Model, Data, args=[stage, *QUIET])
        seen[stage] = seen_of(command) | {"metrics": {k: float(v) for k, v in command.trainer.callback_metrics.items()}}
    return seen


@script
def configurations_merge(folder: Path) -> Seen:
    one = write(folder / "one.yaml", {"model": {"lr": 0.3, "width": 5}, "trainer": {"max_epochs": 7}})
    two = write(folder / "two.yaml", {"model": {"lr": 0.4}, "data": {"width": 5}})
    args = ["fit", *SHORT, f"--config={one}", f"--config={two}", "--data.batch_size=1"]
    return seen_of(cli.LightningCLI(Model, Data, args=args))


@script
def a_configuration_before_the_subcommand(folder: Path) -> Seen:
    whole = write(folder / "all.yaml", {"fit": {"model": {"lr": 0.3}}, "test": {"model": {"lr": 0.7}}})
    return seen_of(cli.LightningCLI(Model, Data, args=[f"--config={whole}", "fit", *SHORT, "--model.width=3"]))


@script
def parts_from_files(folder: Path) -> Seen:
    model = write(folder / "model.yaml", {"lr": 0.3})
    trainer = write(folder / "trainer.yaml", {"max_epochs": 1, "callbacks": [{"class_path": "LearningRateMonitor"}]})
    args = ["fit", f"--trainer={trainer}", *SHORT, f"--model={model}"]
    return seen_of(cli.LightningCLI(Model, Data, args=args))


@script
def print_config(folder: Path) -> Seen:
    seen = captured(lambda: cli.LightningCLI(Model, Data, args=["fit", *SHORT, "--print_config"]))
    return {"config": plain(yaml.safe_load(seen["out"])), "code": seen["code"]}


@script
def help_tells(folder: Path) -> Seen:
    main = captured(lambda: cli.LightningCLI(Model, Data, args=["--help"]))
    sub = captured(lambda: cli.LightningCLI(Model, Data, args=["fit", "--help"]))
    of_class = captured(lambda: cli.LightningCLI(Model, Data, args=["fit", "--trainer.callbacks.help=EarlyStopping"]))
    wanted = ["--model.width", "--model.activation.help", "--data.batch_size", "--optimizer", "--lr_scheduler.help",
              "--seed_everything", "--print_config", "--ckpt_path", "--trainer.max_epochs", "-c CONFIG"]  # fmt: skip
    return {
        "codes": [main["code"], sub["code"], of_class["code"]],
        "subcommands": [name for name in ("fit", "validate", "test", "predict") if name in main["out"]],
        "found": [name for name in wanted if name in sub["out"]],
        "of_class": "--trainer.callbacks.init_args.patience" in of_class["out"] or "--patience" in of_class["out"],
    }


@script
def arguments_as_dict(folder: Path) -> Seen:
    trainer = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 0, "accelerator": "cpu", "devices": 1,
               "enable_progress_bar": False, "enable_model_summary": False,
               "logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "."}}}  # fmt: skip
    args = {"subcommand": "fit", "fit": {"model": {"lr": 0.2}, "trainer": trainer}}
    return seen_of(cli.LightningCLI(Model, Data, args=args))


@script
def environment(folder: Path) -> Seen:
    variables = {
        "PL_FIT__MODEL__LR": "0.7",
        "PL_FIT__TRAINER__MAX_EPOCHS": "1",
        "PL_FIT__CONFIG": yaml.safe_dump({"data": {"batch_size": 8}}),
    }
    os.environ.update(variables)
    try:
        return seen_of(cli.LightningCLI(Model, Data, args=["fit", *SHORT], parser_kwargs={"default_env": True}))
    finally:
        for name in variables:
            del os.environ[name]


@script
def parser_options(folder: Path) -> Seen:
    write(folder / "defaults.yaml", {"model": {"lr": 0.9}})
    options = {"fit": {"default_config_files": ["defaults.yaml"]}, "description": "What this does"}
    command = cli.LightningCLI(Model, Data, args=["fit", *SHORT], parser_kwargs=options)
    return seen_of(command) | {"description": command.parser.description, "default_env": command.parser.default_env}


@script
def wrong_arguments(folder: Path) -> Seen:
    lines = {
        "unknown": ["--trainer.epochs=1"],
        "type": ["--trainer.max_epochs=many"],
        "unknown callback": ["--trainer.callbacks=Nothing"],
        "a model's": ["--model.depth=3"],
        "no subcommand": [],
        "unknown subcommand": ["train"],
    }
    return {
        name: captured(lambda line=line, run="subcommand" in name: cli.LightningCLI(Model, Data, args=line, run=run))[
            "code"
        ]
        for name, line in lines.items()
    }


# Classes


@script
def any_model(folder: Path) -> Seen:
    args = [
        "fit",
        *SHORT,
        f"--model={__name__}.Deep",
        "--model.depth=4",
        "--model.lr=0.3",
        f"--data={__name__}.Shifted",
        "--data.shift=2",
    ]
    return seen_of(cli.LightningCLI(args=args))


@script
def subclasses(folder: Path) -> Seen:
    args = [*SHORT, f"--model.class_path={__name__}.Deep", "--model.init_args.depth=4", f"--data={__name__}.Data"]
    return seen_of(
        cli.LightningCLI(Model, Data, subclass_mode_model=True, subclass_mode_data=True, args=["fit", *args])
    )


@script
def a_model_without_data(folder: Path) -> Seen:
    class Own(Model):
        def train_dataloader(self) -> Any:
            return Data().train_dataloader()

    return seen_of(cli.LightningCLI(Own, args=["fit", *SHORT]))


@script
def functions_instead_of_classes(folder: Path) -> Seen:
    return seen_of(cli.LightningCLI(make_model, Data, args=["fit", *SHORT, "--model.factor=3"]))


@script
def callbacks_and_loggers_by_name(folder: Path) -> Seen:
    args = [
        "--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=loss", "--trainer.callbacks.patience=9",
        "--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks.logging_interval=epoch",
        "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=loss", "--trainer.callbacks.save_top_k=2",
        "--trainer.profiler=SimpleProfiler", "--trainer.profiler.dirpath=.", "--trainer.profiler.filename=p",
        "--trainer.plugins=TorchCheckpointIO",
    ]  # fmt: skip
    seen = captured(lambda: cli.LightningCLI(Model, Data, args=["fit", *args, "--print_config"]))
    trainer = yaml.safe_load(seen["out"])["trainer"]
    chosen = {name: trainer[name] for name in ("callbacks", "profiler", "plugins", "logger")}
    return plain({"chosen": chosen, "run": seen_of(cli.LightningCLI(Model, Data, args=["fit", *SHORT, *args[:8]]))})


@script
def callbacks_that_are_always_there(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_lightning_class_args(callbacks.EarlyStopping, "early")
            parser.set_defaults({"early.monitor": "loss", "early.patience": 5})

    defaults = {"max_epochs": 3, "callbacks": [callbacks.Timer(), callbacks.LearningRateMonitor()]}
    args = ["fit", *[arg for arg in SHORT if "max_epochs" not in arg], "--early.patience=2",
            "--trainer.callbacks=LambdaCallback"]  # fmt: skip
    command = Command(Model, Data, trainer_defaults=defaults, args=args)
    return seen_of(command) | {"patience": command.trainer.early_stopping_callback.patience}


@script
def trainers_of_their_own(folder: Path) -> Seen:
    class Own(L.Trainer):
        def __init__(self, *args: Any, note: str = "none", **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.note = note

    command = cli.LightningCLI(Model, Data, trainer_class=Own, args=["fit", *SHORT, "--trainer.note=mine"])
    other = command.instantiate_trainer(max_epochs=9)
    return seen_of(command) | {"note": command.trainer.note, "other": [other.max_epochs, type(other).__name__]}


# Links and objects that are given


@script
def links(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_argument("--name", default="nobody")
            parser.link_arguments("data.batch_size", "model.lr", compute_fn=lambda size: size / 100)
            parser.link_arguments("data.num_features", "model.width", apply_on="instantiate")

    return seen_of(Command(Model, Data, args=["fit", *SHORT, "--data.width=4", "--name=somebody"]))


@script
def links_to_subclasses(folder: Path) -> Seen:
    class Command(cli.LightningCLI):
        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.link_arguments("data.init_args.batch_size", "model.init_args.depth")
            parser.link_arguments("data.num_features", "model.init_args.width", apply_on="instantiate")

    return seen_of(
        Command(args=["fit", *SHORT, f"--model={__name__}.Deep", f"--data={__name__}.Data", "--data.width=4"])
    )


@script
def objects_in_the_model(folder: Path) -> Seen:
    return seen_of(cli.LightningCLI(Model, Data, args=["fit", *SHORT, "--model.activation=torch.nn.LeakyReLU",
                                                       "--model.activation.negative_slope=0.3"]))  # fmt: skip


@script
def built_again_from_a_checkpoint(folder: Path) -> Seen:
    args = ["--model.activation=torch.nn.LeakyReLU", "--model.activation.negative_slope=0.3", "--model.width=4"]
    command = cli.LightningCLI(Model, Data, args=["fit", *SHORT, *args, "--data.width=4"])
    path = command.trainer.checkpoint_callback.best_model_path
    again = Model.load_from_checkpoint(path)
    other = Model.load_from_checkpoint(path, lr=0.75)
    data = Data.load_from_checkpoint(path)
    with torch.serialization.safe_globals([]):
        saved = torch.load(path, weights_only=True)
    return plain(
        {
            "slopes": [again.activation.negative_slope, other.activation.negative_slope],
            "lr": [again.lr, other.lr],
            "width": data.width,
            "saved": saved["hyper_parameters"],
            "saved_data": saved["datamodule_hyper_parameters"],
            "weights": again.state_dict(),
        }
    )


@script
def any_model_built_again(folder: Path) -> Seen:
    command = cli.LightningCLI(
        args=["fit", *SHORT, f"--model={__name__}.Deep", "--model.depth=4", f"--data={__name__}.Shifted"]
    )
    path = command.trainer.checkpoint_callback.best_model_path
    again = L.LightningModule.load_from_checkpoint(path)
    exact = Deep.load_from_checkpoint(path)
    return {"again": [type(again).__name__, again.depth], "exact": [type(exact).__name__, exact.depth]}


@script
def a_checkpoint_tells_the_model(folder: Path) -> Seen:
    command = cli.LightningCLI(Model, Data, args=["fit", *SHORT, "--model.width=4", "--data.width=4"])
    path = command.trainer.checkpoint_callback.best_model_path
    args = ["validate", *QUIET, f"--ckpt_path={path}", "--data.width=4"]
    again = seen_of(cli.LightningCLI(Model, Data, args=args))
    return {key: again[key] for key in ("hparams", "weights")}


@script
def a_checkpoint_of_any_model(folder: Path) -> Seen:
    command = cli.LightningCLI(
        args=["fit", *SHORT, f"--model={__name__}.Deep", "--model.depth=4", f"--data={__name__}.Data"]
    )
    path = command.trainer.checkpoint_callback.best_model_path
    args = ["test", *QUIET, f"--model={__name__}.Deep", f"--ckpt_path={path}", f"--data={__name__}.Data"]
    again = seen_of(cli.LightningCLI(args=args))
    return {key: again[key] for key in ("hparams", "weights", "model")}


@script
def without_support_for_checkpoints(folder: Path) -> Seen:
    command = cli.LightningCLI(Model, Data, load_from_checkpoint_support=False, args=["fit", *SHORT, "--model.lr=0.3"])
    return seen_of(command)


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


def run_all(folder: Path) -> dict[str, Seen]:
    """Return what every script shows, each in a folder of its own."""
    seen: dict[str, Seen] = {}
    for name, function in SCRIPTS.items():
        seen[name] = run(function, folder / name)
    return seen


def run(function: Callable[[Path], Seen], folder: Path) -> Seen:
    """Run one script inside `folder`."""
    folder.mkdir(parents=True)
    os.chdir(folder)
    sys.argv = ["any.py"]
    torch.manual_seed(1)
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return function(folder)


def main() -> None:
    """Run every script in the folder that is the first argument, and write what they show to the second."""
    folder, result = sys.argv[1:]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.save(run_all(Path(folder)), result)
