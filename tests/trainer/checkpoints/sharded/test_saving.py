"""A trainer that saves folders: everything that takes a checkpoint file takes them, at once or beside the steps."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.callbacks import EMAWeightAveraging, ModelCheckpoint, OnExceptionCheckpoint
from trainer.checkpoints import load_checkpoint, places
from trainer.checkpoints.sharded import saving, writing
from trainer.checkpoints.sharded.reading import Folder
from trainer.checkpoints.sharded.tensors import fill
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.plugins import AsyncCheckpointIO, TorchCheckpointIO
from trainer.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy


def sharded(tmp_path: Path, **options: Any) -> L.Trainer:
    return make_trainer(tmp_path, **({"strategy": SingleDeviceStrategy(state_dict_type="sharded")} | options))


def test_the_usual_is_one_file(tmp_path: Path) -> None:
    assert [kind().saves_sharded for kind in (SingleDeviceStrategy, DDPStrategy, FSDPStrategy)] == [False] * 3
    for kind in (SingleDeviceStrategy, DDPStrategy, FSDPStrategy):
        assert kind(state_dict_type="sharded").saves_sharded
        with pytest.raises(MisconfigurationException, match=r"`state_dict_type` is unknown. Got 'split'"):
            kind(state_dict_type="split")  # type: ignore[arg-type]  # that is the test
    trainer = make_trainer(tmp_path, max_steps=1)
    trainer.fit(Regression(), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert (tmp_path / "a.ckpt").is_file()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_folders_are_kept_ranked_removed_and_gone_on_from(tmp_path: Path, asynchronous: bool) -> None:
    def run(folder: str, steps: int, start: str | None) -> tuple[ModelCheckpoint, L.Trainer, LoggingRegression]:
        saver = ModelCheckpoint(
            tmp_path / folder, monitor="train_loss", save_top_k=2, save_last=True, every_n_train_steps=2
        )
        plugins = [AsyncCheckpointIO()] if asynchronous else None
        model = LoggingRegression(dropout=0.5)
        trainer = sharded(tmp_path, max_steps=steps, callbacks=saver, plugins=plugins)
        torch.manual_seed(1 if start is None else 999)
        trainer.fit(model, regression_loader(shuffle=True), regression_loader(), ckpt_path=start)
        return saver, trainer, model

    _, _, straight = run("one", 15, None)
    saver, first, _ = run("two", 9, None)
    names = sorted(os.listdir(tmp_path / "two"))
    assert len(names) == 3
    assert {Path(path).name for path in saver.best_k_models} | {"last.ckpt"} == set(names)
    assert all(Path(path, "manifest.json").is_file() for path in saver.best_k_models)
    [before] = first.validate(ckpt_path="best", dataloaders=regression_loader(), verbose=False)
    assert first.ckpt_path == saver.best_model_path
    best = LoggingRegression.load_from_checkpoint(saver.best_model_path, map_location=torch.device("cpu"))
    assert best.hparams["dropout"] == 0.5
    doubled = LoggingRegression.load_from_checkpoint(saver.best_model_path, map_location=lambda storage, place: storage)
    assert_equal_weights(best, doubled)
    [after] = first.validate(best, regression_loader(), verbose=False)
    assert before == after
    _, second, resumed = run("two", 15, "last")
    assert second.ckpt_path == str(tmp_path / "two" / "last.ckpt")
    assert_equal_weights(straight, resumed)
    assert load_checkpoint(tmp_path / "two" / "last.ckpt")["global_step"] == 14
    assert len(os.listdir(tmp_path / "two")) == 3


def test_a_damaged_last_one_is_set_aside_and_the_one_before_taken(tmp_path: Path) -> None:
    def saver() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path / "kept", save_top_k=-1, save_last=True, every_n_train_steps=2)

    sharded(tmp_path, max_steps=6, callbacks=saver()).fit(Regression(), regression_loader())
    for name in ("last.ckpt", "epoch=0-step=6.ckpt"):
        path = tmp_path / "kept" / name / "meta.pt"
        data = path.read_bytes()
        path.unlink()  # its links are other files from here on
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    again = sharded(tmp_path, max_steps=8, callbacks=saver())
    with pytest.warns(UserWarning, match=r"is damaged.*It is kept as .*\.corrupt-") as warned:
        again.fit(Regression(), regression_loader(), ckpt_path="last")
    assert len(warned) == 2
    assert again.ckpt_path == str(tmp_path / "kept" / "epoch=0-step=4.ckpt")
    assert again.global_step == 8
    aside = sorted(name for name in os.listdir(tmp_path / "kept") if name.startswith(".corrupt-"))
    assert [name[:-9] for name in aside] == [".corrupt-epoch=0-step=6.ckpt", ".corrupt-last.ckpt"]
    with pytest.raises(CheckpointError, match="damaged"):  # named by the user, it is an error
        sharded(tmp_path, max_steps=8).fit(
            Regression(), regression_loader(), ckpt_path=tmp_path / "kept" / ".." / "kept" / aside[0]
        )


def test_files_and_folders_follow_each_other_under_one_name(tmp_path: Path) -> None:
    model = Regression()
    for steps, strategy in ((2, "auto"), (4, SingleDeviceStrategy(state_dict_type="sharded")), (6, "auto")):
        saver = ModelCheckpoint(tmp_path / "kept", filename="x", every_n_train_steps=2, save_last=True,
                                enable_version_counter=False)  # fmt: skip
        trainer = make_trainer(tmp_path, max_steps=steps, callbacks=saver, strategy=strategy)
        trainer.fit(model, regression_loader(), ckpt_path="last")
        assert trainer.global_step == steps
        assert sorted(os.listdir(tmp_path / "kept")) == ["last.ckpt", "x.ckpt"]
        assert (tmp_path / "kept" / "last.ckpt").is_dir() == (steps == 4)


def test_averages_of_weights_go_on(tmp_path: Path) -> None:
    def fit(steps: int, start: Path | None) -> tuple[L.Trainer, Regression]:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
        trainer = sharded(tmp_path, max_steps=steps, callbacks=[EMAWeightAveraging(decay=0.8), saver])
        model = Regression()
        trainer.fit(model, regression_loader(), ckpt_path=start)
        return trainer, model

    _, straight = fit(9, None)
    _, resumed = fit(9, tmp_path / "step=5.ckpt")
    assert_equal_weights(straight, resumed)


class Several(Regression):
    """Optimizers that keep lists, scalars and nothing; a group of its own."""

    def __init__(self, optimizer: str) -> None:
        super().__init__()
        self.kind = optimizer
        self.norm = nn.BatchNorm1d(4)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(self.norm(features))

    def configure_optimizers(self) -> Any:
        if self.kind == "LBFGS":
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=2)
        groups = [{"params": self.net.parameters()}, {"params": self.norm.parameters(), "lr": 0.01}]
        optimizer: Optimizer = getattr(torch.optim, self.kind)(groups, lr=0.05)
        return optimizer


@pytest.mark.parametrize("name", ["LBFGS", "Adam", "SGD", "Adagrad", "NAdam", "Adafactor"])
def test_optimizers_of_every_kind_go_on_exactly(tmp_path: Path, name: str) -> None:
    def fit(steps: int, start: Path | None) -> tuple[L.Trainer, Several]:
        trainer, model = sharded(tmp_path, max_steps=steps), Several(name)
        trainer.fit(model, regression_loader(), ckpt_path=start)
        return trainer, model

    _, straight = fit(10, None)
    first, _ = fit(5, None)
    first.save_checkpoint(tmp_path / "a.ckpt")
    _, resumed = fit(10, tmp_path / "a.ckpt")
    assert_equal_weights(straight, resumed)


def test_an_open_window_goes_on_exactly(tmp_path: Path) -> None:
    class Cut(L.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.train_state.total_batches == 8:  # two batches of the third window
                assert trainer.train_state.window_batches == 2
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    def fit(start: Path | None, *callbacks: L.Callback) -> Regression:
        torch.manual_seed(2)
        model = Regression()
        trainer = sharded(tmp_path, strategy=FSDPStrategy(state_dict_type="sharded"), max_epochs=3,
                          accumulate_grad_batches=3, callbacks=list(callbacks))  # fmt: skip
        trainer.fit(model, regression_loader(), ckpt_path=start)
        return model

    one = fit(None, Cut())
    assert list(load_checkpoint(tmp_path / "a.ckpt")["gradients"])
    other = fit(tmp_path / "a.ckpt")
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert isinstance(left, DTensor)
        assert isinstance(right, DTensor)
        assert torch.equal(left.full_tensor(), right.full_tensor())


def test_hooks_see_the_weights_without_their_values(tmp_path: Path) -> None:
    trainer = sharded(tmp_path, max_steps=2)
    trainer.fit(Regression(), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")

    class Renamed(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.net = self.net, nn.Sequential()

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            prediction: torch.Tensor = self.body(features)
            return prediction

        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            weights = checkpoint["state_dict"]
            assert weights["net.0.weight"].shape == (6, 4)
            assert weights["net.0.weight"].dtype == torch.float32
            checkpoint["state_dict"] = {name.replace("net", "body"): value for name, value in weights.items()}

    model = Renamed()
    sharded(tmp_path, max_steps=4).fit(model, regression_loader(), ckpt_path=tmp_path / "a.ckpt")

    class Computing(Regression):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["state_dict"]["net.0.weight"] = checkpoint["state_dict"]["net.0.weight"] * 2

    with pytest.raises(CheckpointError, match=r"`on_load_checkpoint` computed 'net.0.weight' from weights"):
        sharded(tmp_path, max_steps=4).fit(Computing(), regression_loader(), ckpt_path=tmp_path / "a.ckpt")


def test_a_model_without_storage_is_refused(tmp_path: Path) -> None:
    trainer = sharded(tmp_path, max_steps=1)
    trainer.fit(Regression(), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with torch.device("meta"):
        model = nn.Linear(4, 6)
    weights = Folder(tmp_path / "a.ckpt").checkpoint()["state_dict"]
    with pytest.raises(CheckpointError, match=r"\['weight'\] of the model have no storage yet"):
        fill({"weight": weights["net.0.weight"]}, model.state_dict())


def test_an_exception_is_saved_too(tmp_path: Path) -> None:
    class Failing(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            if self.trainer.global_step == 3:
                raise RuntimeError("enough")
            return super().training_step(batch, batch_idx)

    keeper = OnExceptionCheckpoint(tmp_path / "kept")
    with pytest.raises(RuntimeError, match="enough"):
        sharded(tmp_path, max_steps=5, callbacks=keeper, enable_checkpointing=True).fit(Failing(), regression_loader())
    assert load_checkpoint(keeper.ckpt_path)["global_step"] == 3
    again = sharded(
        tmp_path, max_steps=5, callbacks=OnExceptionCheckpoint(tmp_path / "kept"), enable_checkpointing=True
    )
    again.fit(Regression(), regression_loader(), ckpt_path=keeper.ckpt_path)
    assert not os.listdir(tmp_path / "kept")


class Mine(TorchCheckpointIO):
    """A plugin of the user's."""


def test_what_cannot_take_a_folder_is_refused(tmp_path: Path) -> None:
    trainer = sharded(tmp_path, max_steps=1)
    trainer.fit(Regression(), regression_loader())
    with pytest.raises(MisconfigurationException, match=r"written to folders. Got 's3://bucket/a.ckpt'"):
        trainer.save_checkpoint("s3://bucket/a.ckpt")
    with pytest.raises(TypeError, match="storage options"):
        trainer.save_checkpoint(tmp_path / "a.ckpt", storage_options={"a": 1})
    for plugin in (Mine(), AsyncCheckpointIO(Mine())):
        own = sharded(tmp_path, max_steps=1, plugins=plugin)
        own.fit(Regression(), regression_loader())
        with pytest.raises(MisconfigurationException, match=r"plugin of one's own. Got 'Mine'"):
            own.save_checkpoint(tmp_path / "a.ckpt")

    class Unplain(Regression):
        def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            checkpoint["mine"] = Path("x")

    trainer.fit(Unplain(), regression_loader())
    with pytest.raises(CheckpointError, match=r"plain data and tensors only.*mine: pathlib"):
        trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert not places.exists(tmp_path / "a.ckpt")


def test_a_model_is_built_without_what_only_a_resume_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = sharded(tmp_path, max_steps=2)
    trainer.fit(Several("Adam"), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    asked: list[str] = []
    read = Folder.read

    def noted(self: Folder, targets: Mapping[str, torch.Tensor]) -> None:
        asked.extend(targets)
        read(self, targets)

    monkeypatch.setattr(Folder, "read", noted)
    model = Several.load_from_checkpoint(tmp_path / "a.ckpt", optimizer="Adam")
    assert asked
    assert {key.partition(".")[0] for key in asked} == {"state_dict"}
    assert_equal_weights(model, trainer.lightning_module)


# Beside the steps


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, list[str]]:
    """Let writing begin only when the event is set; gives what happened."""
    happened: list[str] = []
    opened, write = threading.Event(), writing.write_folder

    def slow(path: Path, *rest: Any) -> None:
        assert opened.wait(30)
        write(path, *rest)
        happened.append(f"wrote {path.name}")

    monkeypatch.setattr(saving, "write_folder", slow)
    return opened, happened


def fit_async(tmp_path: Path, on_end: Callable[[L.Trainer], None], steps: int = 4) -> L.Trainer:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            on_end(trainer)

    trainer = sharded(tmp_path, max_steps=steps, callbacks=[Save()], plugins=AsyncCheckpointIO())
    trainer.fit(Regression(), regression_loader())
    return trainer


def test_steps_go_on_while_a_checkpoint_is_written(tmp_path: Path, gate: tuple[threading.Event, list[str]]) -> None:
    opened, happened = gate

    def on_end(trainer: L.Trainer) -> None:
        happened.append(f"step {trainer.global_step}")
        if trainer.global_step == 1:
            trainer.save_checkpoint(tmp_path / "1.ckpt")
        if trainer.global_step == 3:
            assert not places.exists(tmp_path / "1.ckpt")
            opened.set()
            trainer.save_checkpoint(tmp_path / "3.ckpt")  # waits for the first
            assert places.exists(tmp_path / "1.ckpt")

    trainer = fit_async(tmp_path, on_end)
    assert happened.index("wrote 1.ckpt") > happened.index("step 3")
    assert load_checkpoint(tmp_path / "1.ckpt")["global_step"] == 1  # as it was then
    assert load_checkpoint(tmp_path / "3.ckpt")["global_step"] == 3  # the end of the fit waited
    one, three = (load_checkpoint(tmp_path / f"{n}.ckpt")["state_dict"]["net.0.weight"] for n in (1, 3))
    assert not torch.equal(one, three)
    trainer.save_checkpoint(tmp_path / "after.ckpt")  # there are no steps any more
    assert load_checkpoint(tmp_path / "after.ckpt")["global_step"] == 4


@pytest.mark.parametrize("at", [1, 4])
def test_what_goes_wrong_beside_the_steps_is_raised(tmp_path: Path, at: int) -> None:
    (tmp_path / "file").touch()
    reached = []

    def on_end(trainer: L.Trainer) -> None:
        if trainer.global_step == at:
            trainer.save_checkpoint(tmp_path / "file" / "a.ckpt")
        elif trainer.global_step == 3:
            trainer.save_checkpoint(tmp_path / "b.ckpt")
        reached.append(trainer.global_step)

    with pytest.raises(CheckpointError, match=r"file/a.ckpt could not be written"):
        fit_async(tmp_path, on_end)
    assert reached == ([1, 2] if at == 1 else [1, 2, 3, 4])  # at the next save, or at the end
    assert places.exists(tmp_path / "b.ckpt") == (at == 4)
