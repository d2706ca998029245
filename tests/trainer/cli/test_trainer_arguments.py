"""Every argument of the trainer on the command line, and every class that ships with it by its name alone."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import yaml

import trainer as L
from tests.trainer.cli.pieces import Data, Model
from trainer.arguments import ARGUMENTS

pytest.importorskip("jsonargparse")

from trainer.cli import LightningCLI

# One value of each argument, as it is typed, and what the trainer is given.
VALUES: dict[str, tuple[str, Any]] = {
    "accelerator": ("cpu", "cpu"),
    "devices": ("[0]", [0]),
    "num_nodes": ("2", 2),
    "strategy": ("ddp", "ddp"),
    "precision": ("bf16-mixed", "bf16-mixed"),
    "logger": ("false", False),
    "callbacks": ("null", None),
    "fast_dev_run": ("3", 3),
    "max_epochs": ("3", 3),
    "min_epochs": ("2", 2),
    "max_steps": ("7", 7),
    "min_steps": ("5", 5),
    "max_time": ("00:01:00:00", "00:01:00:00"),
    "limit_train_batches": ("2", 2),
    "limit_val_batches": ("0.5", 0.5),
    "limit_test_batches": ("3", 3),
    "limit_predict_batches": ("0", 0),
    "overfit_batches": ("2", 2),
    "val_check_interval": ("100", 100),
    "check_val_every_n_epoch": ("null", None),
    "num_sanity_val_steps": ("-1", -1),
    "log_every_n_steps": ("5", 5),
    "enable_checkpointing": ("false", False),
    "enable_progress_bar": ("true", True),
    "enable_model_summary": ("null", None),
    "accumulate_grad_batches": ("4", 4),
    "gradient_clip_val": ("0.5", 0.5),
    "gradient_clip_algorithm": ("value", "value"),
    "deterministic": ("warn", "warn"),
    "benchmark": ("true", True),
    "inference_mode": ("false", False),
    "use_distributed_sampler": ("false", False),
    "profiler": ("simple", "simple"),
    "detect_anomaly": ("true", True),
    "plugins": ("null", None),
    "sync_batchnorm": ("true", True),
    "barebones": ("true", True),
    "enable_autolog_hparams": ("false", False),
    "reload_dataloaders_every_n_epochs": ("2", 2),
    "default_root_dir": ("runs", "runs"),
    "model_registry": ("null", None),
    "suggest_integrations": ("null", None),
}


class Recording(L.Trainer):
    """A trainer that is not built, so that combinations that make no sense can be given."""

    given: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.given = kwargs
        if not kwargs:
            super().__init__(*args, **kwargs)  # where the arguments are found


def test_every_argument_is_tried() -> None:
    parameters = inspect.signature(L.Trainer).parameters
    assert set(VALUES) == {argument.name for argument in ARGUMENTS}
    assert set(VALUES) >= {name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}


def test_every_argument_arrives_as_it_was_meant() -> None:
    args = [f"--trainer.{name}={text}" for name, (text, _) in VALUES.items()]
    command = LightningCLI(Model, Data, trainer_class=Recording, run=False, args=args, save_config_callback=None)
    given = command.trainer.given  # type: ignore[attr-defined]  # of the class above
    expected = {name: value for name, (_, value) in VALUES.items()}
    assert {name: given[name] for name in expected if name != "callbacks"} == {
        name: value for name, value in expected.items() if name != "callbacks"
    }
    assert [type(given[name]) for name in ("limit_train_batches", "limit_val_batches")] == [int, float]


def test_help_describes_every_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        LightningCLI(Model, Data, args=["fit", "--help"])
    shown = capsys.readouterr().out
    assert [name for name in VALUES if f"--trainer.{name}" not in shown] == []
    assert "clip gradients to this size" in " ".join(shown.split())


def test_what_lightning_has_and_this_trainer_refuses_is_refused_when_it_has_a_value() -> None:
    with pytest.raises(L.errors.MisconfigurationException, match="Nothing is uploaded"):
        LightningCLI(Model, Data, run=False, args=["--trainer.model_registry=mine"])


def shipped(package: Any, base: type) -> list[str]:
    """Return the names of the classes of a package that can be built."""
    found = []
    for name in package.__all__:
        member = getattr(package, name)
        if isinstance(member, type) and issubclass(member, base) and not inspect.isabstract(member):
            found.append(name)
    return found


# What has no default; a value for it.
NEEDED = {
    "BackboneFinetuning": "",
    "BasePredictionWriter": "",
    "EarlyStopping": "--trainer.callbacks.monitor=loss",
    "CSVLogger": "--trainer.logger.save_dir=.",
    "TensorBoardLogger": "--trainer.logger.save_dir=.",
    "StochasticWeightAveraging": "--trainer.callbacks.swa_lrs=0.1",
    "ThroughputMonitor": "--trainer.callbacks.batch_size_fn=builtins.len",
    "GradientAccumulationScheduler": '--trainer.callbacks.scheduling={"0": 2}',
}


@pytest.mark.parametrize(
    ("argument", "package", "base"),
    [
        ("callbacks", L.callbacks, L.Callback),
        ("logger", L.loggers, L.loggers.Logger),
        ("profiler", L.profilers, L.profilers.Profiler),
        ("strategy", L.strategies, L.strategies.Strategy),
    ],
)
def test_every_shipped_class_is_known_by_its_name(
    argument: str, package: Any, base: type, capsys: pytest.CaptureFixture[str]
) -> None:
    names = shipped(package, base)
    assert names
    for name in names:
        args = [f"--trainer.{argument}={name}"] + [text for text in [NEEDED.get(name, "")] if text]
        with pytest.raises(SystemExit) as end:
            LightningCLI(Model, Data, run=False, args=[*args, "--print_config"])
        shown = capsys.readouterr()
        assert end.value.code == 0, (name, shown.err)
        chosen = yaml.safe_load(shown.out)["trainer"][argument]
        chosen = chosen[0] if isinstance(chosen, list) else chosen
        module, _, found = chosen["class_path"].rpartition(".")
        assert module in (package.__name__, "trainer")  # the place that users import it from
        assert getattr(package, found) is getattr(package, name)


def test_more_than_a_named_class(tmp_path: Any) -> None:
    args = [
        "--trainer.accelerator=cpu",
        "--trainer.logger+=CSVLogger",
        "--trainer.logger.save_dir=a",
        "--trainer.logger+=CSVLogger",
        "--trainer.logger.save_dir=b",
        "--trainer.plugins+=TorchCheckpointIO",
        "--trainer.plugins+=MixedPrecision",
        "--trainer.plugins.precision=bf16-mixed",
        "--trainer.plugins.device=cpu",
        "--trainer.profiler=PyTorchProfiler",
        "--trainer.profiler.row_limit=7",
        "--trainer.strategy=DDPStrategy",
        "--trainer.strategy.find_unused_parameters=true",
    ]
    command = LightningCLI(Model, Data, run=False, args=args, save_config_callback=None)
    made: Any = command.trainer
    assert [logger.save_dir for logger in made.loggers] == ["a", "b"]
    assert type(made.plugins.checkpoint_io).__name__ == "TorchCheckpointIO"
    assert made.precision == "bf16-mixed"
    assert made.strategy.find_unused_parameters is True
    assert type(made.profiler).__name__ == "PyTorchProfiler"
