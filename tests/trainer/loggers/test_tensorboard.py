"""The TensorBoard logger, read back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.loggers import TensorBoardLogger

pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra `tensorboard`)")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def events(folder: str | Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return reader


def scalars(logger: TensorBoardLogger, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in events(logger.log_dir).Scalars(name)]


def test_a_fit_writes_what_it_logged(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    trainer = make_trainer(tmp_path, max_epochs=2, logger=logger, log_every_n_steps=2)
    model = LoggingRegression()
    trainer.fit(model, regression_loader(), regression_loader())
    steps = scalars(logger, "train_loss_step")
    assert [step for step, _ in steps] == [1, 3, 5, 7, 9, 11]
    assert scalars(logger, "epoch")[-1][1] == 1.0
    assert scalars(logger, "val_loss")[-1] == pytest.approx((11, float(trainer.callback_metrics["val_loss"])))
    assert trainer.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text())["lr"] == 0.05


def test_values_of_every_kind_and_a_prefix(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, prefix="tmp")
    logger.log_metrics({"a": 1, "b": torch.tensor([0.5]), "c": {"x": 1.0, "y": torch.tensor(2)}}, 10)
    logger.log_metrics({"a": 2.0})
    logger.finalize("success")
    assert scalars(logger, "tmp-a")[0] == (10, 1.0)
    assert scalars(logger, "tmp-b") == [(10, 0.5)]
    with pytest.raises(ValueError, match=r"'d' as a number.*'text'"):
        logger.log_metrics({"d": "text"}, 0)
    with pytest.raises(ValueError, match="tensor of one element"):
        logger.log_metrics({"d": torch.zeros(3)}, 0)


def test_the_experiment_has_everything_logged_before(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    calls = []
    logger.experiment.add_scalar = lambda *arguments: calls.append(arguments)
    for step in range(50):
        logger.log_metrics({"a": float(step)}, step)
    assert logger.experiment is not None
    assert calls == [("a", float(step), step) for step in range(50)]


@pytest.mark.parametrize("step_idx", [5, None])
def test_hyperparameters_with_and_without_metrics(tmp_path: Path, step_idx: int | None) -> None:
    logger = TensorBoardLogger(tmp_path)
    params = {"lr": 0.1, "net": {"width": 4, "acts": ["tanh"]}, "drop": None, "kind": Regression}
    logger.log_hyperparams(params, {"accuracy": torch.tensor(0.75)}, step_idx)
    logger.finalize("success")
    assert scalars(logger, "accuracy") == [(step_idx or 0, 0.75)]
    found = events(logger.log_dir).PluginTagToContent("hparams")
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    start = HParamsPluginData.FromString(found["_hparams_/session_start_info"]).session_start_info.hparams
    assert start["lr"].number_value == 0.1
    assert start["net/width"].number_value == 4.0
    assert start["net/acts"].string_value == "['tanh']"
    assert yaml.safe_load((Path(logger.log_dir) / "hparams.yaml").read_text())["net"] == params["net"]


def test_the_default_metric_of_hyperparameters(tmp_path: Path) -> None:
    with_default = TensorBoardLogger(tmp_path, version="a")
    with_default.log_hyperparams({"lr": 0.1})
    with_default.finalize("success")
    assert scalars(with_default, "hp_metric") == [(0, -1.0)]
    without = TensorBoardLogger(tmp_path, version="b", default_hp_metric=False)
    without.log_hyperparams({"lr": 0.1})
    without.log_metrics({"a": 1.0}, 0)
    without.finalize("success")
    assert events(without.log_dir).Tags()["scalars"] == ["a"]
    one = TensorBoardLogger(tmp_path, version="c")
    one.log_hyperparams({"lr": 0.1}, 7)
    one.finalize("success")
    assert scalars(one, "hp_metric") == [(0, 7.0)]


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN", "seven")
    logger = TensorBoardLogger(tmp_path, name="exp", version="$RUN", sub_dir="train")
    assert logger.log_dir == str(tmp_path / "exp" / "seven" / "train")
    assert (logger.name, logger.save_dir, logger.sub_dir) == ("exp", str(tmp_path), "train")
    (tmp_path / "exp" / "version_4").mkdir(parents=True)
    (tmp_path / "exp" / "version_x").mkdir()
    assert TensorBoardLogger(tmp_path, name="exp").version == 5
    assert TensorBoardLogger(tmp_path, name=None).root_dir == f"{tmp_path}/"


@pytest.mark.filterwarnings("ignore:.*:torch.jit.TracerWarning")
def test_the_graph(tmp_path: Path) -> None:
    class WithExample(LoggingRegression):
        example_input_array = torch.zeros(1, 4)

    logger = TensorBoardLogger(tmp_path, log_graph=True)
    model = WithExample(dropout=0.5)
    make_trainer(tmp_path, max_epochs=1, logger=logger).fit(model, regression_loader())
    graph = events(logger.log_dir).Graph()
    assert any("Linear" in node.name for node in graph.node)
    silent = TensorBoardLogger(tmp_path, version="none")
    silent.log_graph(model)
    silent.finalize("success")
    assert not Path(silent.log_dir).exists()
    missing = TensorBoardLogger(tmp_path, version="missing", log_graph=True)
    with pytest.warns(UserWarning, match="Got nothing as `example_input_array`"):
        missing.log_graph(Regression())


def test_nothing_is_lost_when_a_run_fails(tmp_path: Path) -> None:
    class Failing(LoggingRegression):
        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            if batch_idx == 4:
                raise RuntimeError("on purpose")
            return super().training_step(batch, batch_idx)

    logger = TensorBoardLogger(tmp_path)
    trainer = make_trainer(tmp_path, max_epochs=1, logger=logger, log_every_n_steps=1)
    with pytest.raises(RuntimeError, match="on purpose"):
        trainer.fit(Failing(), regression_loader())
    assert [step for step, _ in scalars(logger, "train_loss_step")] == [0, 1, 2, 3]


def test_the_same_events_as_lightning(tmp_path: Path) -> None:
    theirs_module = pytest.importorskip("lightning.pytorch.loggers", reason="lightning is not installed")
    ours = TensorBoardLogger(tmp_path / "ours", prefix="p")
    theirs = theirs_module.TensorBoardLogger(tmp_path / "theirs", prefix="p")
    for logger in (ours, theirs):
        logger.log_hyperparams({"lr": 0.1, "layers": [1, 2], "net": {"act": "tanh"}}, {"score": 0.5})
        logger.log_metrics({"loss": torch.tensor(0.25), "acc": 0.5}, 3)
        logger.finalize("success")
    one, other = events(ours.log_dir), events(theirs.log_dir)
    assert sorted(one.Tags()["scalars"]) == sorted(other.Tags()["scalars"])
    for name in one.Tags()["scalars"]:
        assert [(e.step, e.value) for e in one.Scalars(name)] == [(e.step, e.value) for e in other.Scalars(name)]
    left, right = (reader.PluginTagToContent("hparams") for reader in (one, other))
    assert left.keys() == right.keys()
    assert Path(ours.log_dir).relative_to(tmp_path / "ours") == Path(theirs.log_dir).relative_to(tmp_path / "theirs")


def test_the_trainer_accepts_several(tmp_path: Path) -> None:
    loggers = [TensorBoardLogger(tmp_path / "tb"), L.loggers.CSVLogger(tmp_path / "csv")]
    trainer = make_trainer(tmp_path, max_epochs=1, logger=loggers, log_every_n_steps=1)
    trainer.fit(LoggingRegression(), regression_loader())
    rows = (tmp_path / "csv" / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert len(scalars(loggers[0], "train_loss_step")) == 6  # type: ignore[arg-type]  # the first is TensorBoard's
    assert len(rows) == 1 + 6 + 1  # header, steps, the epoch's mean
