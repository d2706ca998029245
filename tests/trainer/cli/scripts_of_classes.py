"""Scripts: what is read, which classes are named, what is linked, and models built again."""
# mypy: disable-error-code="misc, valid-type, name-defined, no-any-return"
# The classes below belong to a package that is chosen when this file is imported, so nothing is known of their bases.

import os
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.trainer.cli.pieces import (
    QUIET,
    SHORT,
    Data,
    Deep,
    L,
    Model,
    Seen,
    callbacks,
    captured,
    cli,
    make_model,
    plain,
    script,
    seen_of,
    write,
)

PIECES = Model.__module__
"""Where a configuration finds the classes."""


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
        f"--model={PIECES}.Deep",
        "--model.depth=4",
        "--model.lr=0.3",
        f"--data={PIECES}.Shifted",
        "--data.shift=2",
    ]
    return seen_of(cli.LightningCLI(args=args))


@script
def subclasses(folder: Path) -> Seen:
    args = [*SHORT, f"--model.class_path={PIECES}.Deep", "--model.init_args.depth=4", f"--data={PIECES}.Data"]
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

    return seen_of(Command(args=["fit", *SHORT, f"--model={PIECES}.Deep", f"--data={PIECES}.Data", "--data.width=4"]))


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
        args=["fit", *SHORT, f"--model={PIECES}.Deep", "--model.depth=4", f"--data={PIECES}.Shifted"]
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
        args=["fit", *SHORT, f"--model={PIECES}.Deep", "--model.depth=4", f"--data={PIECES}.Data"]
    )
    path = command.trainer.checkpoint_callback.best_model_path
    args = ["test", *QUIET, f"--model={PIECES}.Deep", f"--ckpt_path={path}", f"--data={PIECES}.Data"]
    again = seen_of(cli.LightningCLI(args=args))
    return {key: again[key] for key in ("hparams", "weights", "model")}


@script
def without_support_for_checkpoints(folder: Path) -> Seen:
    command = cli.LightningCLI(Model, Data, load_from_checkpoint_support=False, args=["fit", *SHORT, "--model.lr=0.3"])
    return seen_of(command)
