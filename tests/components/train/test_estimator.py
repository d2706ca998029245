"""A model that is fitted at once: it leaves what a trained one leaves, and a figure that is no number is refused."""

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from components.errors import TrainingFailedError
from components.train.fit import fit
from components.train.job import HISTORY_FILE, MODEL_FILE, Job, Result
from trainer.seed import isolated_rng

APP = """
from components.app import Application

APP = Application(
    name="fitted_at_once", title="", package="fitted_at_once", config=object,
    train_config="components.train.config:TrainConfig", data="fitted_at_once.app:nothing",
    model="fitted_at_once.app:Chooser", scorer="", encoder="",
)


class Chooser:
    @staticmethod
    def for_training(folder, config):
        from fitted_at_once.line import LineFit
        return LineFit()
"""
LINE = '''
"""Least squares through the origin."""
import json
import torch
from components.train.estimator import Fitted
from trainer import LightningModule


class Line(LightningModule):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.register_buffer("slope", torch.zeros(()))


class LineFit:
    def estimate(self, dataset, say):
        x, y = json.loads((dataset / "points.json").read_text())
        say("two points")
        line = Line("metres")
        line.slope.fill_(sum(a * b for a, b in zip(x, y)) / (sum(a * a for a in x) or float("nan")))
        error = sum((b - line.slope.item() * a) ** 2 for a, b in zip(x, y))
        return Fitted(module=line, metrics={"fit": -error, "points": len(x)}, best_metric="fit")
'''


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    package = tmp_path / "path" / "fitted_at_once"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("app", APP), ("line", LINE)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # what `seed_everything` sets is undone with it
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    importlib.invalidate_caches()
    (tmp_path / "job").mkdir()
    threads = torch.get_num_threads()
    with isolated_rng():
        yield Job(package="fitted_at_once", dataset=str(tmp_path), folder=str(tmp_path / "job"), config={})
    torch.set_num_threads(threads)
    for name in [n for n in sys.modules if n.partition(".")[0] == "fitted_at_once"]:
        del sys.modules[name]


def test_what_is_fitted_at_once_is_kept_as_what_is_trained(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "points.json").write_text("[[1, 2], [2, 5]]")
    result = fit(job)
    slope = (1 * 2 + 2 * 5) / (1 + 4)  # normal equation by hand
    error = (2 - slope) ** 2 + (5 - 2 * slope) ** 2
    assert result == Result.read(Path(job.folder))
    assert (result.epochs, result.optimizer_steps, result.parameters, result.best_metric) == (1, 0, 1, "fit")
    assert result.best_value == pytest.approx(-error)
    with (Path(job.folder) / HISTORY_FILE).open() as stream:
        [row] = csv.DictReader(stream)
    assert (row["epoch"], row["points"]) == ("1.0", "2.0")
    line = importlib.import_module("fitted_at_once.line").Line.load_from_checkpoint(Path(job.folder) / MODEL_FILE)
    assert line.slope.item() == pytest.approx(slope)
    assert line.hparams["unit"] == "metres"
    assert capsys.readouterr().out.splitlines() == ["two points", f"fitted: fit {-error:.4f}"]


def test_a_fit_without_a_number_is_refused_and_leaves_nothing(job: Job, tmp_path: Path) -> None:
    (tmp_path / "points.json").write_text("[[0], [1]]")
    with pytest.raises(TrainingFailedError, match="Fitting ended with fit = nan on the validation split"):
        fit(job)
    assert list(Path(job.folder).iterdir()) == []
