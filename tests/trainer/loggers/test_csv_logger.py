"""The CSV logger: rows are appended, columns added."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from trainer.loggers import CSVLogger


def lines(logger: CSVLogger) -> list[str]:
    return (Path(str(logger.log_dir)) / "metrics.csv").read_text().splitlines()


def test_rows_are_appended(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=2)
    logger.log_metrics({"loss": 0.5}, 0)
    assert not Path(str(logger.log_dir)).exists()
    logger.log_metrics({"loss": 0.25}, 1)
    assert lines(logger) == ["loss,step", "0.5,0", "0.25,1"]
    inode = (Path(str(logger.log_dir)) / "metrics.csv").stat().st_ino
    logger.log_metrics({"loss": 0.125}, 2)
    logger.save()
    assert lines(logger)[-1] == "0.125,2"
    assert (Path(str(logger.log_dir)) / "metrics.csv").stat().st_ino == inode


def test_a_new_metric_becomes_a_column(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="run")
    logger.log_metrics({"loss": 1.0}, 0)
    logger.save()
    logger.log_metrics({"acc": 0.5}, 1)
    logger.log_metrics({"loss": 2.0, "acc": 0.75}, 2)
    logger.finalize("finished")
    assert lines(logger) == ["run-acc,run-loss,step", ",1.0,0", "0.5,,1", "0.75,2.0,2"]


def test_each_run_has_the_next_free_version(tmp_path: Path) -> None:
    for expected in range(3):
        logger = CSVLogger(tmp_path, name="exp")
        logger.log_hyperparams({"a": 1, "path": tmp_path})
        assert logger.version == expected
        assert logger.log_dir == str(tmp_path / "exp" / f"version_{expected}")
    named = CSVLogger(tmp_path, name="exp", version="best")
    assert named.log_dir == str(tmp_path / "exp" / "best")


def test_a_run_that_goes_on_keeps_its_rows(tmp_path: Path) -> None:
    for step in range(2):
        logger = CSVLogger(tmp_path, version=0)
        logger.log_metrics({"loss": float(step)}, step)
        logger.save()
    assert lines(logger) == ["loss,step", "0.0,0", "1.0,1"]


def test_users_may_pass_tensors_and_no_step(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="runs", version="a")
    halves: dict[str, Any] = {"loss": torch.tensor(0.5)}
    quarters: dict[str, Any] = {"loss": torch.tensor([0.25])}
    logger.log_metrics(halves, step=7)
    logger.log_metrics(quarters)
    logger.save()
    assert (tmp_path / "runs" / "a" / "metrics.csv").read_text().splitlines() == ["loss,step", "0.5,7", "0.25,1"]
    assert logger.root_dir == str(tmp_path / "runs")


def test_no_name_is_no_folder(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name=None)
    logger.log_metrics({"a": 1.0})
    logger.save()
    assert [path.name for path in tmp_path.iterdir()] == ["version_0"]


def test_the_experiment_holds_rows_until_they_are_saved(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"test": 1.0}, step=0)
    assert logger.experiment.metrics == [{"step": 0, "test": 1.0}]
    logger.save()
    assert logger.experiment.metrics == []
    logger.log_hyperparams({"a": 1})
    logger.log_hyperparams(Namespace(b="x"))
    text = (Path(logger.experiment.log_dir) / logger.experiment.NAME_HPARAMS_FILE).read_text()
    assert text == 'a: 1\nb: "x"\n'
