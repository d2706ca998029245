"""Runs in processes of torch.multiprocessing: the numbers of one, what comes back, and quick failures."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessRaisedException

import trainer as L
from tests.trainer.models import (
    LoggingRegression,
    assert_equal_weights,
    make_trainer,
    regression_loader,
    weights_of,
)
from tests.trainer.strategies.spawn_jobs import double, fit_and_test
from trainer.errors import MisconfigurationException, RankFailedError
from trainer.launching.spawning import ProcessFailedError, run_in_processes
from trainer.strategies import DDP, DDPStrategy

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.multiprocess


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return fit_and_test(tmp_path_factory.mktemp("alone"), "auto", devices=1)


def check(found: dict[str, Any], alone: dict[str, Any]) -> None:
    assert found["weights"] == pytest.approx(alone["weights"], abs=1e-6)
    # The mean over both processes, except for the last step's value, which is this process's own.
    for name in ("val_loss", "train_loss_epoch", "train_loss"):
        assert found["metrics"][name] == pytest.approx(alone["metrics"][name], abs=1e-6)
    assert found["score"] == pytest.approx(alone["score"], abs=1e-6)
    assert found["tested"][0]["test_loss"] == pytest.approx(alone["tested"][0]["test_loss"], abs=1e-6)
    for name in ("best", "logged", "steps", "state", "seen", "is_own", "log_dir"):
        assert found[name] == alone[name], name
    assert found["state"][0] == "finished"
    assert found["is_own"]


def test_forked_processes_have_the_numbers_of_one_and_hand_them_back(tmp_path: Path, alone: dict[str, Any]) -> None:
    check(fit_and_test(tmp_path, "ddp_fork"), alone)
    assert not dict(os.environ).get("RANK")  # nothing of the processes' place stays here


def run_script(job: str, folder: Path, strategy: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    script = str(Path(__file__).with_name("spawn_jobs.py"))
    return subprocess.run(
        [sys.executable, script, job, str(folder), strategy],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_spawned_processes_have_the_numbers_of_one_and_hand_them_back(tmp_path: Path, alone: dict[str, Any]) -> None:
    process = run_script("train", tmp_path, "ddp_spawn")
    assert process.returncode == 0, process.stderr
    check(json.loads((tmp_path / "found.json").read_text()), alone)


@pytest.mark.parametrize("start", ["ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_names_choose_the_start_method(start: str, tmp_path: Path) -> None:
    for ending, finds in (
        ("", False),
        ("_find_unused_parameters_false", False),
        ("_find_unused_parameters_true", True),
    ):
        strategy = make_trainer(tmp_path, devices=2, strategy=start + ending).strategy
        assert isinstance(strategy, DDPStrategy)
        assert strategy.find_unused_parameters is finds
        assert strategy.start_method == ("spawn" if start == "ddp_spawn" else "fork")
    with pytest.raises(ValueError, match="'teleport' is not available"):
        DDP(start_method="teleport")  # type: ignore[arg-type]  # that is what is refused


def test_a_notebook_gets_forked_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert make_trainer(tmp_path, devices=2).strategy.start_method == "fork"
    assert make_trainer(tmp_path, devices=1).strategy.start_method == "popen"


class Unused(LoggingRegression):
    def __init__(self) -> None:
        super().__init__()
        self.never = nn.Linear(2, 2)


def test_unused_parameters_are_found(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork_find_unused_parameters_true", max_epochs=1)
    trainer.fit(Unused(), regression_loader())
    assert trainer.global_step == 3


class Failing(LoggingRegression):
    how = "raise"

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.global_rank == 1 and batch_idx == 1:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("rank one divides by zero")
        if self.how == "hang" and batch_idx == 1:
            time.sleep(100)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(
    ("how", "message"),
    [("raise", "ZeroDivisionError: rank one divides"), ("hang", "ZeroDivisionError"), ("kill", "killed by signal 9")],
)
def test_the_first_failure_ends_the_run_with_its_traceback(tmp_path: Path, how: str, message: str) -> None:
    model, trainer = Failing(), make_trainer(tmp_path, devices=2, strategy="ddp_fork")
    model.how = how
    started = time.monotonic()
    with pytest.raises(ProcessRaisedException, match="Rank 1 failed first") as caught:
        trainer.fit(model, regression_loader())
    assert time.monotonic() - started < 30
    assert isinstance(caught.value, RankFailedError)
    assert message in str(caught.value)
    assert trainer.interrupted
    assert multiprocessing.active_children() == []


def test_sigterm_ends_all_after_a_batch(tmp_path: Path) -> None:
    process = run_script("terminate", tmp_path, "ddp_fork")
    assert process.returncode == 143, process.stderr
    assert (tmp_path / "ended").exists()


def test_what_cannot_be_pickled_is_named(tmp_path: Path) -> None:
    class Local(LoggingRegression):
        pass

    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_spawn")
    with pytest.raises(MisconfigurationException, match=r"Got .the module Local: Can't pickle local object"):
        trainer.fit(Local(), regression_loader())
    quiet = L.callbacks.LambdaCallback(on_fit_end=lambda *arguments: None)
    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_spawn", callbacks=quiet)
    with pytest.raises(MisconfigurationException, match=r"Got .the callback LambdaCallback: Can't pickle"):
        trainer.fit(LoggingRegression(), regression_loader())


class Writer(L.callbacks.BasePredictionWriter):
    def write_on_batch_end(self, trainer: Any, module: Any, prediction: Tensor, indices: Any, *others: Any) -> None:
        torch.save((indices, prediction), Path(trainer.default_root_dir) / f"{trainer.global_rank}-{others[1]}.pt")


def test_predictions_stay_in_their_processes_and_can_be_written(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork", callbacks=Writer("batch"))
    model, loader = LoggingRegression(), regression_loader(5, 2)
    with pytest.raises(MisconfigurationException, match="`return_predictions`"):
        trainer.predict(model, loader, return_predictions=True)
    with pytest.raises(MisconfigurationException, match="stream=True"):
        trainer.predict(model, loader, stream=True)
    assert trainer.predict(model, loader) is None
    written = [torch.load(path) for path in sorted(tmp_path.glob("*.pt"))]
    found = {index: row for indices, rows in written for index, row in zip(indices, rows, strict=True)}
    assert sorted(found) == [0, 1, 2, 3, 4]
    expected = model(regression_loader(5, 5).dataset[:][0])
    torch.testing.assert_close(torch.stack([found[index] for index in range(5)]), expected)


def test_a_second_fit_goes_on_inside_the_epoch(tmp_path: Path) -> None:
    def run(stops: list[int]) -> tuple[L.Trainer, LoggingRegression]:
        torch.manual_seed(5)
        model = LoggingRegression(dropout=0.3)
        trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork", max_epochs=3)
        for steps in stops:
            trainer.fit_loop.max_steps = steps
            torch.manual_seed(50 + (steps != stops[0]))
            trainer.fit(model, regression_loader(32, 4, shuffle=True))
        return trainer, model

    straight, expected = run([10])
    stopped, found = run([6, 10])
    assert stopped.global_step == straight.global_step == 10
    assert_equal_weights(found, expected)


def test_layers_built_under_the_strategy_come_back(tmp_path: Path) -> None:
    class Late(LoggingRegression):
        def configure_model(self) -> None:
            if not hasattr(self, "late"):
                self.late = nn.Linear(1, 1)

        def forward(self, features: Tensor) -> Tensor:
            late: Tensor = self.late(super().forward(features))
            return late

    model = Late()
    trainer = make_trainer(tmp_path, devices=2, strategy="ddp_fork", max_epochs=1)
    trainer.fit(model, regression_loader())
    first = weights_of(model)
    trainer.validate(model, regression_loader())
    assert_equal_weights(weights_of(model), first)
    whole = next(iter(regression_loader(24, 24)))
    assert trainer.callback_metrics["val_loss"].item() == pytest.approx(model.loss(whole).item())


@pytest.mark.parametrize("profiler", [None, "simple", "advanced"])
def test_trainers_can_be_pickled_before_and_after_a_fit(tmp_path: Path, profiler: str | None) -> None:
    callbacks = [
        L.callbacks.EarlyStopping("val_loss"), L.callbacks.EMAWeightAveraging(), L.callbacks.Timer(),
        L.callbacks.ModelCheckpoint(tmp_path), L.callbacks.TQDMProgressBar(), L.callbacks.ModelSummary(),
        L.callbacks.LearningRateMonitor(), L.callbacks.DeviceStatsMonitor(), Writer("epoch"),
    ]  # fmt: skip
    trainer = L.Trainer(accelerator="cpu", devices=1, max_epochs=1, callbacks=callbacks, profiler=profiler,
                        logger=L.loggers.CSVLogger(tmp_path))  # fmt: skip
    pickle.loads(pickle.dumps(trainer))
    trainer.fit(LoggingRegression(), regression_loader(), regression_loader())
    copy = pickle.loads(pickle.dumps(trainer))
    assert copy.global_step == 6
    assert copy.callback_metrics["val_loss"] == trainer.callback_metrics["val_loss"]
    assert_equal_weights(copy.lightning_module, trainer.lightning_module)
    copy.fit_loop.max_epochs = 2
    copy.fit(LoggingRegression(), regression_loader(), regression_loader())
    assert copy.global_step == 12


def test_the_tuner_searches_in_one_process(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="start_method='fork'"):
        L.tuner.Tuner(make_trainer(tmp_path, devices=2, strategy="ddp_fork")).lr_find(LoggingRegression(), [])
    with pytest.raises(MisconfigurationException, match="stay on one machine"):
        make_trainer(tmp_path, devices=2, num_nodes=2, strategy="ddp_fork").fit(
            LoggingRegression(), regression_loader()
        )


@pytest.mark.soak
def test_a_function_of_fabric_is_called_in_each(tmp_path: Path) -> None:
    for strategy in ("ddp_fork", "ddp_spawn"):
        fabric = L.Fabric(accelerator="cpu", devices=2, strategy=strategy)
        assert fabric.launch(double, 3) == {"total": torch.tensor(7.0), "rank": 0, "device": torch.device("cpu")}
    with pytest.raises(TypeError, match="needs to be called with a function"):
        fabric.launch()
    with pytest.raises(ProcessFailedError, match="KeyError: 'nothing'"):
        L.Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(_look_up)


def _look_up(fabric: L.Fabric) -> None:
    raise KeyError("nothing")


def _leave() -> None:
    os._exit(0)


def test_a_process_that_leaves_without_a_result_is_an_error() -> None:
    with pytest.raises(ProcessFailedError, match="without a result"):
        run_in_processes(_leave, 1, "fork", {})
