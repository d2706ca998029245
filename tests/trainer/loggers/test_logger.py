"""What all loggers have in common, and those that are not there."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import trainer.loggers
from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.loggers import CSVLogger, DummyLogger, Logger, rank_zero_experiment
from trainer.loggers.params import flattened, simple, write_hparams


class Minimal(Logger):
    """The least a user writes."""

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "minimal"

    @property
    def version(self) -> int:
        return 3

    @property
    @rank_zero_experiment
    def experiment(self) -> str:
        return "real"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


def test_a_users_logger_needs_three_things(tmp_path: Path) -> None:
    logger = Minimal()
    trainer_ = make_trainer(tmp_path, max_epochs=1, logger=logger, log_every_n_steps=3)
    trainer_.fit(LoggingRegression(), regression_loader())
    assert [step for step, row in logger.rows if "train_loss_step" in row] == [2, 5]
    assert (logger.save_dir, logger.root_dir, logger.log_dir) == (None, None, None)
    assert trainer_.log_dir == str(tmp_path)


def test_the_experiment_is_real_on_rank_zero_only(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Minimal()
    assert logger.experiment == "real"
    values = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    other: Any = logger.experiment
    assert other.add_image("a", 3) is None
    assert other[0].add_scalar("b") is None
    csv = CSVLogger("somewhere")
    csv.log_metrics({"a": 1.0}, 0)
    csv.log_hyperparams({"a": 1})
    csv.save()
    assert not Path("somewhere").exists()


def test_a_dummy_takes_everything() -> None:
    logger: Any = DummyLogger()
    assert logger.log_metrics({"a": 1}, step=2) is None
    assert logger[0].experiment.add_image("a") is None
    assert logger.anything_at_all(1, b=2) is None
    assert (logger.name, logger.version, logger.save_dir) == ("", "", None)


@dataclass
class Sizes:
    width: int = 4


def test_nested_hyperparameters_become_flat() -> None:
    given = {"dl": [{"a": 1, "c": 3}, {"b": 2}], "l": [1, 2], 5: {"x": Namespace(y=1)}, "s": Sizes(), "n": None}
    expected = {"dl/0/a": 1, "dl/0/c": 3, "dl/1/b": 2, "l": [1, 2], "5/x/y": 1, "s/width": 4, "n": None}
    assert flattened(given) == expected
    kept = simple({"a": torch.tensor(1.5).numpy(), "b": True, "c": [1], "d": torch.nn.ReLU})
    assert kept == {"a": 1.5, "b": True, "c": "[1]", "d": "<class 'torch.nn.modules.activation.ReLU'>"}


def test_hyperparameters_as_yaml_read_back_equal(tmp_path: Path) -> None:
    plain = {
        "lr": 1e-05, "big": 1e16, "n": 3, "yes": False, "none": None, "text": 'a: "b" #c\nd', "umlaut": "ü",
        "list": [1.5, "x", None], "nested": {"a b": {"c": [True]}}, "inf": float("inf"), "a: b": "", "1": "one",
    }  # fmt: skip
    write_hparams(tmp_path / "h.yaml", {**plain, "path": Path("x/y"), "tensor": torch.tensor([1, 2])})
    read = yaml.safe_load((tmp_path / "h.yaml").read_text(encoding="utf-8"))
    assert read == {**plain, "path": "x/y", "tensor": [1, 2]}
    write_hparams(tmp_path / "empty.yaml", {})
    assert yaml.safe_load((tmp_path / "empty.yaml").read_text()) == {}


@pytest.mark.parametrize("name", ["NeptuneLogger", "CometLogger", "LitLogger"])
def test_absent_loggers_say_what_to_use(name: str) -> None:
    with pytest.raises(ImportError, match=rf"has no {name}: .* Use \w+Logger"):
        getattr(trainer.loggers, name)


@pytest.mark.parametrize(
    ("logger", "module"), [("TensorBoardLogger", "tensorboard"), ("MLFlowLogger", "mlflow"), ("WandbLogger", "wandb")]
)
def test_a_missing_package_is_named(logger: str, module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("trainer.loggers.missing.find_spec", lambda name: None)
    options = {} if module == "mlflow" else {"save_dir": tmp_path}
    with pytest.raises(ModuleNotFoundError, match=rf"{logger} needs the package {module}.*pip install {module}"):
        getattr(trainer.loggers, logger)(**options)


def test_importing_the_loggers_imports_none_of_their_packages() -> None:
    import subprocess

    code = "import sys, trainer.loggers; print([n for n in ('tensorboard', 'mlflow', 'wandb') if n in sys.modules])"
    root = str(Path(trainer.loggers.__file__).parents[2])
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
