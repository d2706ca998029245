"""The trainer: what it tells, its surroundings, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.errors import MisconfigurationException, SIGTERMException, TrainerError
from trainer.loggers import CSVLogger
from trainer.loops.state import Status


def test_what_a_trainer_tells_after_a_fit(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=2, min_steps=1, logger=True)
    assert trainer.lightning_module is None
    assert (trainer.num_training_batches, trainer.enable_validation) == (float("inf"), False)
    model = LoggingRegression()
    trainer.fit(model, regression_loader(24, 4), [regression_loader(8, 4), regression_loader(4, 4)][:1])
    assert (trainer.global_step, trainer.current_epoch, trainer.max_epochs, trainer.min_steps) == (12, 2, 2, 1)
    assert (trainer.num_training_batches, trainer.num_val_batches) == (6, [2])
    assert (trainer.world_size, trainer.global_rank, trainer.local_rank, trainer.node_rank) == (1, 0, 0, 0)
    assert trainer.is_global_zero
    assert trainer.lightning_module is trainer.model is model
    assert trainer.state.status is Status.FINISHED
    assert trainer.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert trainer.default_root_dir == str(tmp_path)
    assert isinstance(trainer.logger, CSVLogger)
    assert trainer.precision == "32-true"
    assert trainer.device == torch.device("cpu")
    assert [trainer.training, trainer.validating, trainer.testing, trainer.predicting] == [False] * 4
    assert trainer.checkpoint_callback is None
    assert trainer.early_stopping_callback is None
    assert trainer.estimated_stepping_batches == 12


def test_stages_are_told_to_the_hooks(tmp_path: Path) -> None:
    stages: list[str] = []

    class Watching(LoggingRegression):
        def _note(self) -> None:
            trainer = self.trainer
            names = ("training", "validating", "testing", "predicting", "sanity_checking", "evaluating")
            stages.append(" ".join(name for name in names if getattr(trainer, name)))

        def on_train_epoch_start(self) -> None:
            self._note()

        def on_validation_start(self) -> None:
            self._note()

        def on_train_epoch_end(self) -> None:
            self._note()

        def on_test_start(self) -> None:
            self._note()

        def on_predict_start(self) -> None:
            self._note()

    trainer, model = make_trainer(tmp_path, max_epochs=1), Watching()
    trainer.fit(model, regression_loader(8), regression_loader(8))
    trainer.test(model, regression_loader(8), verbose=False)
    trainer.predict(model, regression_loader(8))
    assert stages == [
        "sanity_checking", "training", "validating evaluating", "training", "testing evaluating", "predicting",
    ]  # fmt: skip


def test_fast_dev_run_leaves_nothing_behind(tmp_path: Path) -> None:
    callbacks = [L.callbacks.EarlyStopping("none"), L.callbacks.ModelCheckpoint(tmp_path / "c")]
    trainer = make_trainer(tmp_path, fast_dev_run=2, callbacks=callbacks, logger=True, max_epochs=7)
    trainer.fit(LoggingRegression(), regression_loader(), regression_loader())
    assert trainer.global_step == 2
    assert [type(logger).__name__ for logger in trainer.loggers] == ["DummyLogger"]
    assert list(tmp_path.iterdir()) == []


def test_barebones_turns_off_what_costs_time(tmp_path: Path) -> None:
    trainer = L.Trainer(accelerator="cpu", barebones=True, max_epochs=1, default_root_dir=tmp_path)
    trainer.fit(Regression(), regression_loader())
    assert trainer.callbacks == []
    assert trainer.loggers == []
    assert list(tmp_path.iterdir()) == []


def test_something_else_than_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="Got Linear; expected a subclass"):
        make_trainer(tmp_path).fit(torch.nn.Linear(1, 1), regression_loader())  # type: ignore[arg-type]


def test_deterministic_and_anomaly_settings_hold_inside_a_run_only(tmp_path: Path) -> None:
    seen: list[tuple[bool, bool]] = []

    class Watching(Regression):
        def on_train_start(self) -> None:
            seen.append((torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled()))

    trainer = make_trainer(tmp_path, max_epochs=1, deterministic=True, detect_anomaly=True)
    trainer.fit(Watching(), regression_loader())
    assert seen == [(True, True)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.is_anomaly_enabled()


def test_sigterm_ends_the_fit_after_the_batch(tmp_path: Path) -> None:
    heard: list[str] = []

    class Terminated(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.loss(batch)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            heard.append(f"batch {batch_idx}")

        def teardown(self, stage: str) -> None:
            heard.append("teardown")

    class Watching(L.Callback):
        def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
            heard.append(type(exception).__name__)

    before = signal.getsignal(signal.SIGTERM)
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=Watching())
    with pytest.raises(SIGTERMException) as raised:
        trainer.fit(Terminated(), regression_loader())
    assert heard == ["batch 0", "batch 1", "batch 2", "SIGTERMException", "teardown"]
    assert raised.value.code == 143
    assert isinstance(raised.value, TrainerError)
    assert signal.getsignal(signal.SIGTERM) is before
    assert trainer.interrupted


@pytest.mark.slow
def test_an_uncaught_sigterm_exits_with_143(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import os, signal\n"
        "from pathlib import Path\n"
        "from tests.trainer.models import Regression, make_trainer, regression_loader\n"
        "class T(Regression):\n"
        "    def on_train_batch_start(self, batch, batch_idx):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "make_trainer(Path('.'), max_epochs=1).fit(T(), regression_loader())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, str(script)], env=environment, check=False).returncode == 143


def test_warnings_come_once(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    with pytest.warns(UserWarning, match="careful"):
        trainer.warn_once("careful")
    trainer.warn_once("careful")  # a second warning would be an error here


def test_importing_the_package_loads_no_torch() -> None:
    code = (
        "import sys, trainer; assert 'torch' not in sys.modules; "
        "assert callable(trainer.Trainer); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_public_names_are_all_there() -> None:
    for name in L.__all__:
        assert getattr(L, name) is not None
    assert dir(L) == sorted(L.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Trainr'"):
        _ = L.Trainr


def test_the_stage_is_known_from_the_start(tmp_path: Path) -> None:
    seen: list[tuple[str, bool, bool, bool]] = []

    class Asking(L.Callback):
        def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: Any) -> None:
            seen.append((stage, trainer.training, trainer.validating, trainer.testing))

    trainer, model = make_trainer(tmp_path, max_epochs=1, callbacks=Asking()), LoggingRegression()
    trainer.fit(model, regression_loader(4, 4))
    trainer.validate(model, regression_loader(4, 4), verbose=False)
    trainer.test(model, regression_loader(4, 4), verbose=False)
    assert seen == [("fit", True, False, False), ("validate", False, True, False), ("test", False, False, True)]


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict"])
def test_checkpoints_are_read_as_plain_data_only(tmp_path: Path, verb: str) -> None:
    with pytest.raises(MisconfigurationException, match="plain data only"):
        getattr(make_trainer(tmp_path), verb)(Regression(), regression_loader(4, 4), weights_only=False)
    with pytest.raises(MisconfigurationException, match="plain data only"):
        Regression.load_from_checkpoint("no.ckpt", weights_only=False)
