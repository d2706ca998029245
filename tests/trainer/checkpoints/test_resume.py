"""A killed and resumed run ends with the weights of one that was never stopped, bit for bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.models import (
    LoggingRegression,
    assert_equal_weights,
    make_trainer,
    regression_data,
    regression_loader,
    weights_of,
)
from trainer.callbacks import EarlyStopping, ModelCheckpoint


class Killed(RuntimeError):
    pass


class KillAfter(L.Callback):
    """Raises after so many batches in all."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.train_state.total_batches >= self.batches:
            raise Killed


class Model(LoggingRegression):
    """Adam with a schedule and dropout, so that every kind of state matters."""

    def __init__(self, plateau: bool = False) -> None:
        super().__init__(dropout=0.5)
        self.plateau = plateau

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.02)
        if self.plateau:
            scheduler: Any = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
            return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "train_loss_epoch"}
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 2}}


def loader(**options: Any) -> DataLoader[Any]:
    return regression_loader(24, 4, shuffle=True, **options)


def straight(tmp_path: Path, make_loader: Any = loader, model: Any = None, **options: Any) -> tuple[L.Trainer, Any]:
    torch.manual_seed(11)
    model = Model() if model is None else model
    trainer = make_trainer(tmp_path / "straight", **({"max_epochs": 4} | options))
    trainer.fit(model, make_loader(), regression_loader(8))
    return trainer, model


def killed_and_resumed(
    tmp_path: Path, after: int, make_loader: Any = loader, model: Any = None, every: int = 1, **options: Any
) -> tuple[L.Trainer, Any]:
    folder = tmp_path / "resumed"
    saver = ModelCheckpoint(folder, every_n_train_steps=every, save_top_k=0, save_last=True)
    torch.manual_seed(11)
    options = {"max_epochs": 4} | options
    first = make_trainer(tmp_path, callbacks=[KillAfter(after), saver], **options)
    with pytest.raises(Killed):
        first.fit(Model() if model is None else model(), make_loader(), regression_loader(8))
    torch.manual_seed(999)  # the new process has other generators
    again = Model() if model is None else model()
    saver = ModelCheckpoint(folder, every_n_train_steps=every, save_top_k=0, save_last=True)
    second = make_trainer(tmp_path, callbacks=saver, **options)
    second.fit(again, make_loader(), regression_loader(8), ckpt_path="last")
    return second, again


@pytest.mark.parametrize("after", [1, 3, 5, 6, 7, 12, 17, 23])
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path, after: int) -> None:
    one, model = straight(tmp_path)
    other, resumed = killed_and_resumed(tmp_path, after)
    assert_equal_weights(model, resumed)
    assert other.global_step == one.global_step == 24
    assert other.callback_metrics.keys() == one.callback_metrics.keys()
    for name, value in one.callback_metrics.items():
        assert other.callback_metrics[name].item() == value.item(), name


@pytest.mark.parametrize("every", [2, 4, 5])
def test_batches_after_the_last_checkpoint_are_repeated_exactly(tmp_path: Path, every: int) -> None:
    _, model = straight(tmp_path)
    _, resumed = killed_and_resumed(tmp_path, after=11, every=every)
    assert_equal_weights(model, resumed)


@pytest.mark.parametrize("after", [4, 6, 9])
def test_a_loader_with_its_own_generator_goes_on_in_its_order(tmp_path: Path, after: int) -> None:
    def make() -> DataLoader[Any]:
        return loader(generator=torch.Generator().manual_seed(5))

    _, model = straight(tmp_path, make)
    _, resumed = killed_and_resumed(tmp_path, after, make)
    assert_equal_weights(model, resumed)


def test_skipped_samples_are_not_loaded(tmp_path: Path) -> None:
    read: list[int] = []

    class Watched(torch.utils.data.Dataset[Any]):
        def __getitem__(self, index: int) -> Any:
            read.append(index)
            return regression_data()[index]

        def __len__(self) -> int:
            return 24

    def make() -> DataLoader[Any]:
        read.clear()
        return DataLoader(Watched(), batch_size=4, shuffle=True)

    killed_and_resumed(tmp_path, 4, make, max_epochs=1)
    assert len(read) == 8  # two of six batches are left, and no sample of the four others is read again
    assert len(set(read)) == 8


@pytest.mark.parametrize("after", [1, 3, 6, 7, 11])
def test_an_open_accumulation_window_is_saved_with_its_gradients(tmp_path: Path, after: int) -> None:
    class SaveEachBatch(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            trainer.save_checkpoint(tmp_path / "batch.ckpt")

    options: dict[str, Any] = {"max_epochs": 3, "accumulate_grad_batches": 4}
    one, model = straight(tmp_path, **options)
    torch.manual_seed(11)
    first = make_trainer(tmp_path, callbacks=[KillAfter(after), SaveEachBatch()], **options)
    with pytest.raises(Killed):
        first.fit(Model(), loader(), regression_loader(8))
    torch.manual_seed(999)
    second, resumed = make_trainer(tmp_path, **options), Model()
    second.fit(resumed, loader(), regression_loader(8), ckpt_path=tmp_path / "batch.ckpt")
    assert_equal_weights(model, resumed)
    assert one.global_step == second.global_step == 6  # windows of 4 and 2 batches in each of 3 epochs


def test_a_checkpoint_from_the_end_of_an_epoch_goes_on_with_the_next(tmp_path: Path) -> None:
    _, model = straight(tmp_path, model=Model(plateau=True))
    torch.manual_seed(11)
    saver = ModelCheckpoint(tmp_path / "ends", save_top_k=-1)
    make_trainer(tmp_path, max_epochs=4, callbacks=saver).fit(Model(plateau=True), loader(), regression_loader(8))
    paths = sorted((tmp_path / "ends").glob("*.ckpt"))
    assert [path.name for path in paths] == [f"epoch={e}-step={6 * e + 6}.ckpt" for e in range(4)]
    for path in paths:
        torch.manual_seed(999)
        resumed = Model(plateau=True)
        trainer = make_trainer(tmp_path, max_epochs=4)
        trainer.fit(resumed, loader(), regression_loader(8), ckpt_path=path)
        assert_equal_weights(model, resumed)
        assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.02 * 0.1**4)
        assert trainer.current_epoch == 4


def test_a_checkpoint_from_validation_is_not_validated_again(tmp_path: Path) -> None:
    class Counting(L.Callback):
        def __init__(self) -> None:
            self.validated: list[int] = []

        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            self.validated.append(trainer.global_step)

    options: dict[str, Any] = {"max_epochs": 2, "val_check_interval": 3, "num_sanity_val_steps": 0}
    _, model = straight(tmp_path, **options)
    saver = ModelCheckpoint(tmp_path / "val", save_top_k=-1, save_on_train_epoch_end=False)
    torch.manual_seed(11)
    make_trainer(tmp_path, callbacks=saver, **options).fit(Model(), loader(), regression_loader(8))
    names = sorted(path.name for path in (tmp_path / "val").glob("*.ckpt"))
    assert names == ["epoch=0-step=3.ckpt", "epoch=0-step=6.ckpt", "epoch=1-step=12.ckpt", "epoch=1-step=9.ckpt"]
    for step, expected in ((3, [6, 9, 12]), (6, [9, 12]), (9, [12]), (12, [])):
        counting, resumed = Counting(), Model()
        path = next((tmp_path / "val").glob(f"*step={step}.ckpt"))
        make_trainer(tmp_path, callbacks=counting, **options).fit(
            resumed, loader(), regression_loader(8), ckpt_path=path
        )
        assert counting.validated == expected
        assert_equal_weights(model, resumed)


def test_validation_missed_by_the_kill_is_made_up_for(tmp_path: Path) -> None:
    validated: list[int] = []

    class Killing(L.Callback):
        def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
            validated.append(trainer.global_step)
            if len(validated) == 1:
                raise Killed

    options: dict[str, Any] = {"max_epochs": 1, "num_sanity_val_steps": 0}
    saver = ModelCheckpoint(tmp_path / "kill", every_n_train_steps=1, save_last=True)
    first = make_trainer(tmp_path, callbacks=[Killing(), saver], **options)
    with pytest.raises(Killed):
        first.fit(Model(), loader(), regression_loader(8))
    second = make_trainer(tmp_path, callbacks=Killing(), **options)
    second.fit(Model(), loader(), regression_loader(8), ckpt_path=tmp_path / "kill" / "last.ckpt")
    assert validated == [6, 6]
    assert "val_loss" in second.callback_metrics


@pytest.mark.parametrize("stop", [3, 6, 8])
def test_a_run_stopped_by_max_steps_goes_on_with_more(tmp_path: Path, stop: int) -> None:
    _, model = straight(tmp_path, max_epochs=None, max_steps=14)
    torch.manual_seed(11)
    saver = ModelCheckpoint(tmp_path / "steps")
    first = make_trainer(tmp_path, max_steps=stop, callbacks=saver)
    first.fit(Model(), loader(), regression_loader(8))
    assert first.global_step == stop
    torch.manual_seed(999)
    resumed = Model()
    second = make_trainer(tmp_path, max_steps=14)
    second.fit(resumed, loader(), regression_loader(8), ckpt_path=saver.best_model_path)
    assert second.global_step == 14
    assert_equal_weights(model, resumed)


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path / "done", save_last=True)
    model = Model()
    make_trainer(tmp_path, max_steps=9, callbacks=saver).fit(model, loader(), regression_loader(8))
    calls: list[str] = []

    class Silent(Model):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            calls.append("batch")

        def on_validation_start(self) -> None:
            calls.append("validation")

    resumed = Silent()
    again = make_trainer(tmp_path, max_steps=9)
    again.fit(resumed, loader(), regression_loader(8), ckpt_path=saver.last_model_path)
    assert calls == []
    assert again.global_step == 9
    assert_equal_weights(model, resumed)


def test_a_second_fit_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    _, model = straight(tmp_path, max_epochs=None, max_steps=14)
    torch.manual_seed(11)
    resumed = Model()
    trainer = make_trainer(tmp_path, max_steps=8)
    train, val = loader(), regression_loader(8)
    trainer.fit(resumed, train, val)
    saved = tmp_path / "by-hand.ckpt"
    trainer.save_checkpoint(saved)
    second = make_trainer(tmp_path, max_steps=14)
    second.fit(resumed, train, val, ckpt_path=saved)
    assert_equal_weights(model, resumed)


def test_early_stopping_that_had_stopped_stays_stopped(tmp_path: Path) -> None:
    class Constant(Model):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", 1.0)

    def callbacks() -> list[Any]:
        return [EarlyStopping("val_loss", patience=2), ModelCheckpoint(tmp_path / "es", save_last=True)]

    first = make_trainer(tmp_path, max_epochs=10, callbacks=callbacks())
    first.fit(Constant(), loader(), regression_loader(8))
    assert first.current_epoch == 3
    second = make_trainer(tmp_path, max_epochs=10, callbacks=callbacks())
    second.fit(Constant(), loader(), regression_loader(8), ckpt_path="last")
    assert second.current_epoch == 3


def test_worker_processes_do_not_change_the_order(tmp_path: Path) -> None:
    def make() -> DataLoader[Any]:
        return loader(num_workers=1)

    _, model = straight(tmp_path, make, max_epochs=2)
    _, resumed = killed_and_resumed(tmp_path, 4, make, max_epochs=2)
    assert_equal_weights(model, resumed)


SCRIPT = """
import os, signal, sys
import torch
import trainer as L
from tests.trainer.checkpoints.test_resume import Model, loader, regression_loader
from trainer.callbacks import ModelCheckpoint

folder, kill_at = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)

class Kill(L.Callback):
    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.train_state.total_batches == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

torch.manual_seed(11)
model = Model()
saver = ModelCheckpoint(folder, every_n_train_steps=1, save_top_k=0, save_last=True)
L.Trainer(
    accelerator="cpu", max_epochs=4, callbacks=[Kill(), saver], logger=False, enable_progress_bar=False,
    enable_model_summary=False, default_root_dir=folder,
).fit(model, loader(), regression_loader(8), ckpt_path="last")
torch.save(model.state_dict(), folder + "/final.pt")
"""


@pytest.mark.slow
def test_sigkill_in_the_middle_of_an_epoch_changes_nothing(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    root = Path(__file__).parents[3]
    for kill_at in (13, -1):
        process = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "job"), str(kill_at)],
            env={"PYTHONPATH": str(root), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == (-signal.SIGKILL if kill_at > 0 else 0), process.stderr
    _, model = straight(tmp_path)
    final: dict[str, Tensor] = torch.load(tmp_path / "job" / "final.pt", weights_only=True)
    assert_equal_weights(weights_of(model), final)


def test_a_fit_that_was_told_to_stop_inside_an_epoch_goes_on_there(tmp_path: Path) -> None:
    class StopOnce(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step == 9:
                trainer.should_stop = True

    def model() -> LoggingRegression:
        return LoggingRegression(dropout=0.5)

    options: dict[str, Any] = {"max_epochs": 3, "limit_val_batches": 0}
    torch.manual_seed(11)
    straight_model = model()
    make_trainer(tmp_path, **options).fit(straight_model, loader())
    torch.manual_seed(11)
    stopped, train = model(), loader()
    trainer = make_trainer(tmp_path, callbacks=StopOnce(), **options)
    trainer.fit(stopped, train)
    assert (trainer.global_step, trainer.current_epoch) == (9, 1)
    torch.rand(100)  # whatever happens in between
    trainer.fit(stopped, train)
    assert trainer.global_step == 18
    assert_equal_weights(straight_model, stopped)
