"""The MLflow logger on a real tracking store in SQLite."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.checkpoints import load_checkpoint
from trainer.errors import LoggingError
from trainer.loggers import MLFlowLogger
from trainer.strategies import SingleDeviceStrategy

pytest.importorskip("mlflow", reason="mlflow is not installed (extra `mlflow`)")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture(scope="module")
def fresh_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store without runs: MLflow takes seconds to make its tables, so that is done once."""
    folder = tmp_path_factory.mktemp("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert MLFlowLogger("first", save_dir=folder).experiment_id is not None
    return folder / "mlflow.db"


@pytest.fixture
def save_dir(tmp_path: Path, fresh_store: Path) -> Path:
    (tmp_path / "runs").mkdir()
    shutil.copy(fresh_store, tmp_path / "runs" / "mlflow.db")
    return tmp_path / "runs"


def history(logger: MLFlowLogger, name: str) -> list[tuple[int, float]]:
    found = logger.experiment.get_metric_history(logger.run_id, name)
    return sorted((metric.step, metric.value) for metric in found)


def run_of(logger: MLFlowLogger) -> Any:
    return logger.experiment.get_run(logger.run_id)


def test_a_fit_is_in_the_store(tmp_path: Path, save_dir: Path) -> None:
    logger = MLFlowLogger("exp", run_name="first", save_dir=save_dir, tags={"a": "b"})
    trainer = make_trainer(tmp_path, max_epochs=2, logger=logger, log_every_n_steps=2, enable_checkpointing=True)
    trainer.fit(LoggingRegression(), regression_loader(), regression_loader())
    assert [step for step, _ in history(logger, "train_loss_step")] == [1, 3, 5, 7, 9, 11]
    assert history(logger, "val_loss")[-1] == pytest.approx((11, float(trainer.callback_metrics["val_loss"])))
    run = run_of(logger)
    assert (run.info.status, run.info.run_name, run.data.tags["a"]) == ("FINISHED", "first", "b")
    assert run.data.params["lr"] == "0.05"
    assert (logger.name, logger.version) == (run.info.experiment_id, run.info.run_id)
    assert logger.save_dir == str(save_dir)
    assert Path(trainer.checkpoint_callback.best_model_path).parent == (  # type: ignore[union-attr]  # there is one
        save_dir / str(logger.name) / str(logger.version) / "checkpoints"
    )


def test_a_failed_run_is_whole_and_says_so(tmp_path: Path, save_dir: Path) -> None:
    class Failing(LoggingRegression):
        def on_train_epoch_end(self) -> None:
            raise RuntimeError("on purpose")

    logger = MLFlowLogger("exp", save_dir=save_dir)
    with pytest.raises(RuntimeError, match="on purpose"):
        make_trainer(tmp_path, max_epochs=1, logger=logger, log_every_n_steps=1).fit(Failing(), regression_loader())
    assert len(history(logger, "train_loss_step")) == 6
    assert run_of(logger).info.status == "FAILED"


def test_many_rows_go_in_few_calls(save_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = MLFlowLogger("exp", save_dir=save_dir, prefix="tmp")
    client = logger.experiment
    send, sizes = client.log_batch, []

    def counting(run_id: str, metrics: list[Any], **options: Any) -> None:
        sizes.append(len(metrics))
        send(run_id, metrics=metrics, **options)

    monkeypatch.setattr(client, "log_batch", counting)
    for step in range(1500):
        logger.log_metrics({"loss": torch.tensor(step / 2)}, step)
    logger.save()
    assert sum(sizes) == 1500
    assert len(sizes) < 100
    assert max(sizes) <= 1000
    assert history(logger, "tmp-loss") == [(step, step / 2) for step in range(1500)]


def test_a_server_that_is_away_for_a_while_loses_nothing(save_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = MLFlowLogger("exp", save_dir=save_dir)
    client = logger.experiment

    def away(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patch:
        patch.setattr(client, "log_batch", away)
        logger.log_metrics({"loss": 1.0}, 0)
        logger.save()
        with pytest.raises(LoggingError, match=r"MLFlowLogger could not write.*ConnectionError: away; 1 rows"):
            logger.finalize("success")
    logger.finalize("success")
    assert history(logger, "loss") == [(0, 1.0)]


def test_names_params_and_text(save_dir: Path) -> None:
    logger = MLFlowLogger("exp", save_dir=save_dir)
    with pytest.warns(RuntimeWarning, match="val@loss is kept as valloss"):
        logger.log_metrics({"val@loss": 1.0, "text": "no"}, 3)
    assert history(logger, "valloss") == [(3, 1.0)]
    assert "text" not in run_of(logger).data.metrics
    logger.log_hyperparams({f"p{number}": {"x": number} for number in range(150)} | {"long": "y" * 7000})
    params = run_of(logger).data.params
    assert params["p149/x"] == "149"
    assert len(params["long"]) == 6000


def test_a_run_goes_on_by_its_identity(save_dir: Path) -> None:
    first = MLFlowLogger("exp", save_dir=save_dir)
    first.log_metrics({"loss": 1.0}, 0)
    first.finalize("success")
    again = MLFlowLogger(save_dir=save_dir, run_id=first.run_id)
    again.log_metrics({"loss": 0.5}, 1)
    again.finalize("success")
    assert again.experiment_id == first.experiment_id
    assert history(again, "loss") == [(0, 1.0), (1, 0.5)]


@pytest.mark.parametrize("log_model", [True, "all"])
def test_checkpoints_are_kept(tmp_path: Path, save_dir: Path, log_model: Any) -> None:
    logger = MLFlowLogger("exp", save_dir=save_dir, log_model=log_model)
    trainer = make_trainer(tmp_path, max_epochs=2, logger=logger, enable_checkpointing=True)
    trainer.fit(LoggingRegression(), regression_loader())
    kept = [entry.path for entry in logger.experiment.list_artifacts(logger.run_id)]
    expected = ["epoch=1-step=12"] if log_model is True else ["epoch=0-step=6", "epoch=1-step=12"]
    assert kept == expected
    folder = Path(logger.experiment.download_artifacts(logger.run_id, "epoch=1-step=12", str(tmp_path)))
    assert sorted(path.name for path in folder.iterdir()) == ["aliases.txt", "epoch=1-step=12.ckpt", "metadata.yaml"]
    assert yaml.safe_load((folder / "metadata.yaml").read_text())["original_filename"] == "epoch=1-step=12.ckpt"
    assert (folder / "aliases.txt").read_text() == "['latest', 'best']"


def test_sharded_checkpoints_are_kept(tmp_path: Path, save_dir: Path) -> None:
    logger = MLFlowLogger("exp", save_dir=save_dir, log_model=True)
    strategy = SingleDeviceStrategy(state_dict_type="sharded")
    trainer = make_trainer(tmp_path, max_epochs=1, logger=logger, enable_checkpointing=True, strategy=strategy)
    trainer.fit(LoggingRegression(), regression_loader())
    kept = logger.experiment.download_artifacts(logger.run_id, "epoch=0-step=6/epoch=0-step=6.ckpt", str(tmp_path))
    assert load_checkpoint(kept)["global_step"] == 6


def test_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert MLFlowLogger().save_dir is None
    assert MLFlowLogger(tracking_uri=f"file:{tmp_path}").save_dir == str(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert MLFlowLogger().save_dir == "./mlruns"
    assert not (tmp_path / "mlruns").exists()  # making a logger writes nothing
