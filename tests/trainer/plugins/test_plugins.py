"""Parts of a trainer that users write themselves."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.models import LoggingRegression, Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.callbacks import ModelCheckpoint
from trainer.checkpoints.files import load_checkpoint
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.plugins import (
    AsyncCheckpointIO,
    CheckpointIO,
    DoublePrecision,
    HalfPrecision,
    LayerSync,
    MixedPrecision,
    Precision,
    TorchCheckpointIO,
    TorchSyncBatchNorm,
)


class Spy(Precision):
    """Notes what it is asked for, in order."""

    precision = "spied"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def convert_module(self, module: nn.Module) -> nn.Module:
        self.calls.append("convert_module")
        return super().convert_module(module)

    def convert_input(self, data: Any) -> Any:
        self.calls.append("convert_input")
        return super().convert_input(data)

    @contextmanager
    def forward_context(self) -> Any:
        self.calls.append("enter")
        yield
        self.calls.append("exit")

    def pre_backward(self, tensor: Tensor, module: Any) -> Tensor:
        self.calls.append("pre_backward")
        return super().pre_backward(tensor, module)

    def backward(self, tensor: Tensor, model: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        self.calls.append("backward")
        super().backward(tensor, model, optimizer, *args, **kwargs)

    def post_backward(self, tensor: Tensor, module: Any) -> Tensor:
        self.calls.append("post_backward")
        return super().post_backward(tensor, module)

    def optimizer_step(self, optimizer: Any, model: Any, closure: Any, **options: Any) -> Any:
        self.calls.append("optimizer_step")
        return super().optimizer_step(optimizer, model, closure, **options)

    def clip_gradients(self, optimizer: Any, clip_val: float = 0.0, gradient_clip_algorithm: Any = "norm") -> None:
        self.calls.append(f"clip {clip_val} {gradient_clip_algorithm}")
        super().clip_gradients(optimizer, clip_val, gradient_clip_algorithm)


def test_a_precision_of_the_users_own_is_asked_in_lightnings_order(tmp_path: Path) -> None:
    spy = Spy()
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1, gradient_clip_val=0.5, plugins=spy)
    model = Regression()
    trainer.fit(model, regression_loader())
    assert spy.calls == [
        "convert_module", "convert_input", "optimizer_step", "enter", "exit", "pre_backward", "backward",
        "post_backward", "clip 0.5 norm",
    ]  # fmt: skip
    assert trainer.precision_plugin is spy
    assert trainer.precision == "spied"


@pytest.mark.parametrize("options", [{}, {"accumulate_grad_batches": 4}, {"gradient_clip_val": 0.1}])
def test_a_precision_that_changes_nothing_trains_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    one, other = Regression(), Regression()
    make_trainer(tmp_path, max_epochs=2, **options).fit(one, regression_loader())
    make_trainer(tmp_path, max_epochs=2, plugins=[Precision()], **options).fit(other, regression_loader())
    assert_equal_weights(one, other)


@pytest.mark.parametrize(
    ("plugin", "name"),
    [(DoublePrecision(), "64-true"), (HalfPrecision("bf16-true"), "bf16-true"),
     (MixedPrecision("bf16-mixed", "cpu"), "bf16-mixed")],
)  # fmt: skip
def test_plugins_do_what_the_names_do(tmp_path: Path, plugin: Precision, name: str) -> None:
    one, other = LoggingRegression(), LoggingRegression()
    by_name, by_plugin = (
        make_trainer(tmp_path, max_epochs=1, precision=name),
        make_trainer(tmp_path, max_epochs=1, plugins=plugin),
    )
    for trainer, model in ((by_name, one), (by_plugin, other)):
        trainer.fit(model, regression_loader(), regression_loader())
    assert_equal_weights(one, other)
    assert by_plugin.precision == by_name.precision == name
    assert type(by_name.precision_plugin) is type(plugin)
    assert by_name.callback_metrics["val_loss"] == by_plugin.callback_metrics["val_loss"]


def test_scaling_is_undone_before_clipping_and_kept_in_checkpoints(tmp_path: Path) -> None:
    class Scaled(Precision):
        """Scales by 8; everything exact, so that only a forgotten unscaling changes the result."""

        def __init__(self) -> None:
            self.steps = 0

        def pre_backward(self, tensor: Tensor, module: Any) -> Tensor:
            return super().pre_backward(tensor * 8, module)

        def optimizer_step(self, optimizer: Any, model: Any, closure: Any, **options: Any) -> Any:
            result = closure()
            for parameter in self.main_params(optimizer):
                assert parameter.grad is not None
                parameter.grad /= 8
            self._after_closure(model, optimizer)
            optimizer.step(**options)
            self.steps += 1
            return result

        def state_dict(self) -> dict[str, Any]:
            return {"steps": self.steps}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.steps = state_dict["steps"]

    one, other, options = Regression(), Regression(), {"max_epochs": 1, "gradient_clip_val": 0.1}
    make_trainer(tmp_path, **options).fit(one, regression_loader())
    trainer = make_trainer(tmp_path, plugins=Scaled(), **options)
    trainer.fit(other, regression_loader())
    assert_equal_weights(one, other)
    trainer.save_checkpoint(tmp_path / "kept.ckpt")
    again = Scaled()
    make_trainer(tmp_path, plugins=again, max_epochs=2).fit(
        Regression(), regression_loader(), ckpt_path=tmp_path / "kept.ckpt"
    )
    assert again.steps == 12


def test_manual_optimisation_goes_through_the_precision(tmp_path: Path) -> None:
    class Manual(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    spy = Spy()
    one, other = Manual(), Manual()
    make_trainer(tmp_path, max_epochs=1).fit(one, regression_loader())
    make_trainer(tmp_path, max_epochs=1, plugins=spy).fit(other, regression_loader())
    assert_equal_weights(one, other)
    assert (
        spy.calls[1:]
        == ["convert_input", "enter", "pre_backward", "backward", "post_backward", "optimizer_step", "exit"] * 6
    )


class Memory(CheckpointIO):
    """Keeps checkpoints in a dict."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.options: list[Any] = []

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        self.kept[str(path)] = checkpoint
        self.options.append(storage_options)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: Any = None) -> Any:
        return self.kept[str(path)]

    def remove_checkpoint(self, path: Any) -> None:
        del self.kept[str(path)]


def test_checkpoints_go_where_the_user_sends_them(tmp_path: Path) -> None:
    memory = Memory()
    trainer = make_trainer(tmp_path, max_epochs=1, plugins=memory)
    trainer.fit(Regression(), regression_loader())
    trainer.save_checkpoint("somewhere", storage_options={"acl": "private"})
    assert memory.options == [{"acl": "private"}]
    again = make_trainer(tmp_path, max_epochs=2, plugins=memory)
    again.fit(Regression(), regression_loader(), ckpt_path="somewhere")
    assert again.global_step == 12
    with pytest.raises(TypeError, match="no storage options"):
        make_trainer_with_model(tmp_path).save_checkpoint("x", storage_options=1)


def make_trainer_with_model(tmp_path: Path) -> Any:
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1)
    trainer.fit(Regression(), regression_loader())
    return trainer


def test_a_checkpoint_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="needs a model"):
        make_trainer(tmp_path).save_checkpoint("x")


class Gated(TorchCheckpointIO):
    """Writes when the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        assert self.gate.wait(30)
        super().save_checkpoint(checkpoint, path, storage_options)


def test_an_asynchronous_checkpoint_holds_the_moment_it_was_asked_for(tmp_path: Path) -> None:
    slow = Gated()
    plugin = AsyncCheckpointIO(slow)
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Regression(), regression_loader())
    trainer.plugins.checkpoint_io = plugin
    model = trainer.lightning_module
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    slow.gate.set()
    plugin.teardown()
    assert_equal_weights(load_checkpoint(tmp_path / "a.ckpt")["state_dict"], before)


def test_a_fit_with_asynchronous_checkpoints_leaves_whole_files(tmp_path: Path) -> None:
    saver = ModelCheckpoint(
        tmp_path / "kept", every_n_train_steps=2, save_top_k=2, monitor="train_loss", save_last=True
    )
    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=saver, plugins=AsyncCheckpointIO())
    model = LoggingRegression()
    trainer.fit(model, regression_loader())
    files = sorted((tmp_path / "kept").iterdir())
    assert len(files) == 3
    assert all("state_dict" in load_checkpoint(file) for file in files)
    assert_equal_weights(load_checkpoint(saver.last_model_path)["state_dict"], model)


def test_what_goes_wrong_in_the_thread_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    plugin = AsyncCheckpointIO()
    plugin.save_checkpoint({"a": 1}, tmp_path / "file" / "a.ckpt")
    with pytest.raises(CheckpointError, match="could not be written"):
        plugin.teardown()
    with pytest.raises(CheckpointError, match="plain data"):
        plugin.save_checkpoint({"a": object()}, tmp_path / "a.ckpt")


def test_synchronised_batch_norms_are_put_back_with_what_they_learned() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False)))
    plugin, first = TorchSyncBatchNorm(), model[0]
    assert plugin.apply(model) is model
    assert isinstance(model[0], nn.SyncBatchNorm)
    assert isinstance(model[0].running_mean, Tensor)
    model[0].running_mean += 2.0
    keys = list(model.state_dict())
    plugin.revert(model)
    assert model[0] is first
    assert isinstance(first.running_mean, Tensor)
    assert first.running_mean.tolist() == [2.0] * 3
    assert type(model[1][1]) is nn.BatchNorm1d  # type: ignore[index]  # a Sequential
    assert list(model.state_dict()) == keys


def test_sync_batchnorm_changes_nothing_on_one_device(tmp_path: Path) -> None:
    one, other = Regression(), Regression()
    make_trainer(tmp_path, max_epochs=1).fit(one, regression_loader())
    make_trainer(tmp_path, max_epochs=1, sync_batchnorm=True).fit(other, regression_loader())
    assert_equal_weights(one, other)


def test_contradicting_plugins_are_refused(tmp_path: Path) -> None:
    class Mine(LayerSync):
        def apply(self, model: nn.Module) -> nn.Module:
            return model

        def revert(self, model: nn.Module) -> nn.Module:
            return model

    contradictions: list[tuple[dict[str, Any], str]] = [
        ({"plugins": [Precision(), Precision()]}, "once at most"),
        ({"plugins": Precision(), "precision": 64}, "both given"),
        ({"plugins": Mine(), "sync_batchnorm": True}, "contradict each other"),
        ({"plugins": object()}, "cannot be used"),
    ]
    for options, message in contradictions:
        with pytest.raises(MisconfigurationException, match=message):
            make_trainer(tmp_path, **options)
    with pytest.raises(ValueError, match="no scaler"):
        MixedPrecision("bf16-mixed", "cpu", torch.amp.GradScaler("cpu"))
