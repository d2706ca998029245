"""What Lightning 2.6.6 does at the edges of optimizers, callbacks, data and paths, seen by running the same there."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from argparse import Namespace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer as L
from tests.trainer.compat.edges import loader, short
from trainer.demos.boring_classes import BoringDataModule, BoringModel, ManualOptimBoringModel
from trainer.errors import MisconfigurationException
from trainer.utilities import move_data_to_device
from trainer.utilities.model_helpers import is_overridden

# Optimizers


def test_the_optimizer_is_one_of_its_kind(tmp_path: Path) -> None:
    trainer = short(tmp_path)
    trainer.fit(ManualOptimBoringModel())
    optimizer = trainer.lightning_module.optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    assert isinstance(optimizer, L.core.LightningOptimizer)
    assert trainer.global_step == 2
    for copied in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        assert copied.global_step == 2
        assert copied.lightning_module.layer.weight.equal(trainer.lightning_module.layer.weight)


def test_what_only_manual_optimisation_does(tmp_path: Path) -> None:
    class Two(BoringModel):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]

    class Mixed(BoringModel):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.manual_backward(self.step(batch))

    with pytest.raises(RuntimeError, match="one optimizer"):
        short(tmp_path).fit(Two())
    with pytest.raises(MisconfigurationException, match="manual_backward"):
        short(tmp_path).fit(Mixed())
    with pytest.raises(MisconfigurationException, match="accumulate"):
        short(tmp_path, accumulate_grad_batches=2).fit(ManualOptimBoringModel())
    short(tmp_path, gradient_clip_val=0).fit(ManualOptimBoringModel())


@pytest.mark.parametrize("returned", ["x", 1.5, [1]])
def test_manual_steps_return_a_tensor_a_dict_or_nothing(tmp_path: Path, returned: Any) -> None:
    model = ManualOptimBoringModel()
    model.training_step = lambda batch, batch_idx: returned  # type: ignore[method-assign]
    with pytest.raises(MisconfigurationException):
        short(tmp_path).fit(model)


def test_clipping_is_asked_for_once(tmp_path: Path) -> None:
    norms: list[float] = []

    class Own(BoringModel):
        given: tuple[Any, ...] = ()

        def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
            self.layer.weight.grad = torch.full_like(self.layer.weight, 10.0)
            self.clip_gradients(optimizer, *self.given)
            norms.append(float(torch.cat([p.grad.flatten() for p in self.parameters() if p.grad is not None]).norm()))

    short(tmp_path, gradient_clip_val=0.5).fit(Own())  # what is not given comes from the Trainer
    assert norms == pytest.approx([0.5, 0.5], abs=1e-4)
    model = Own()
    model.given = (0.3,)
    with pytest.raises(MisconfigurationException, match="given twice"):
        short(tmp_path, gradient_clip_val=0.5).fit(model)


def test_a_written_optimizer_step_runs_its_closure(tmp_path: Path) -> None:
    class Idle(BoringModel):
        def optimizer_step(self, *_: Any, **__: Any) -> None:
            pass

    with pytest.raises(MisconfigurationException, match="closure"):
        short(tmp_path).fit(Idle())


def test_schedulers_belong_to_the_optimizers_returned(tmp_path: Path) -> None:
    class Other(BoringModel):
        def configure_optimizers(self) -> Any:
            one, other = (torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2))
            return [one], [torch.optim.lr_scheduler.StepLR(other, 1)]

    class Extra(BoringModel):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "foo": 1}}

    with pytest.raises(MisconfigurationException, match="did not return"):
        short(tmp_path).fit(Other())
    with pytest.warns(RuntimeWarning, match="foo"):
        short(tmp_path).fit(Extra())


# Callbacks


def test_keys_and_states_of_model_checkpoints(tmp_path: Path) -> None:
    saver = L.callbacks.ModelCheckpoint(monitor="v")
    assert saver.state_key == (
        "ModelCheckpoint{'monitor': 'v', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    timed = L.callbacks.ModelCheckpoint(train_time_interval=timedelta(1))
    assert timed.state_key.endswith("'train_time_interval': datetime.timedelta(days=1)}")
    assert {"monitor", "best_model_score", "best_model_path", "current_score", "dirpath", "best_k_models",
            "kth_best_model_path", "kth_value", "last_model_path"} <= set(saver.state_dict())  # fmt: skip
    assert L.callbacks.ModelCheckpoint(every_n_train_steps=0).every_n_epochs == 0


class Valued(BoringModel):
    def __init__(self, values: list[float]) -> None:
        super().__init__()
        self.values = values

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("v", self.values[self.current_epoch])


def test_folders_and_names_of_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert L.callbacks.ModelCheckpoint(dirpath="a").dirpath == str(tmp_path / "a")
    saver = L.callbacks.ModelCheckpoint()
    short(tmp_path, callbacks=saver).fit(BoringModel())
    assert saver.dirpath == str(tmp_path / "checkpoints")
    assert saver.best_model_path == str(tmp_path / "checkpoints" / "epoch=0-step=2.ckpt")
    assert (saver.best_k_models, saver.kth_best_model_path) == ({}, "")  # there is nothing to rank by
    ranked = L.callbacks.ModelCheckpoint(tmp_path / "r", "same", monitor="v", save_top_k=2)
    short(tmp_path, max_epochs=5, callbacks=ranked).fit(Valued([5.0, 3.0, 4.0, 1.0, 2.0]))
    assert {Path(path).name: float(score) for path, score in ranked.best_k_models.items()} == {
        "same.ckpt": 1.0, "same-v1.ckpt": 2.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        ([1, 2, 3, 4], {"patience": 1}, (2, 1, 1, 1.0, 3)),
        ([5, 3, 1, 0], {"stopping_threshold": 2}, (3, 0, 2, 3.0, 1)),
        ([5, 3, 9, 0], {"divergence_threshold": 8}, (3, 0, 2, 3.0, 2)),
        ([3, float("nan"), 2], {}, (2, 0, 1, 3.0, 4)),
        ([3, 2, 1], {}, (3, 0, 0, 1.0, 0)),
    ],
)
def test_early_stopping_by_its_numbers(
    tmp_path: Path, values: list[float], options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    stopping = L.callbacks.EarlyStopping("v", **options)
    trainer = short(tmp_path, max_epochs=len(values), callbacks=stopping, num_sanity_val_steps=0)
    trainer.fit(Valued(values))
    found = (trainer.current_epoch, stopping.wait_count, stopping.stopped_epoch, float(stopping.best_score))
    assert (*found, stopping.stopping_reason.value) == expected
    assert (stopping.stopping_reason_message is None) == (expected[-1] == 0)


def test_early_stopping_looks_when_the_training_epoch_ends(tmp_path: Path) -> None:
    class Late(BoringModel):
        def on_train_epoch_end(self) -> None:
            self.log("t", float(self.current_epoch))

    stopping = L.callbacks.EarlyStopping("t", patience=1)
    trainer = short(tmp_path, max_epochs=4, callbacks=stopping)
    trainer.fit(Late())
    assert (trainer.current_epoch, stopping.stopped_epoch) == (2, 1)
    assert L.callbacks.EarlyStopping("t", min_delta=0.5).min_delta == -0.5
    for callback, error in (
        (L.callbacks.EarlyStopping("no"), RuntimeError),
        (L.callbacks.ModelCheckpoint(monitor="no"), MisconfigurationException),
    ):
        with pytest.raises(error, match="no"):
            short(tmp_path, callbacks=callback).fit(BoringModel())


# Hyperparameters and data


def test_namespaces_and_dataclasses_as_hyperparameters(tmp_path: Path) -> None:
    class Args(BoringModel):
        def __init__(self, args: Namespace, width: int = 3) -> None:
            super().__init__()
            self.save_hyperparameters()

    trainer = short(tmp_path)
    trainer.fit(Args(Namespace(lr=0.5)))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = Args.load_from_checkpoint(tmp_path / "a.ckpt")
    assert (loaded.hparams.args, loaded.hparams.width) == (Namespace(lr=0.5), 3)
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert saved["hparams_name"] == "kwargs"

    @dataclasses.dataclass(eq=False)
    class Data(L.LightningModule):
        a: int = 1
        b: float = 2.0

        def __post_init__(self) -> None:
            super().__init__()
            self.save_hyperparameters()

    assert dict(Data(3).hparams) == {"a": 3, "b": 2.0}


def test_errors_of_hyperparameters(tmp_path: Path) -> None:
    class Model(BoringModel):
        def __init__(self, a: int = 1, keep: Any = "a") -> None:
            super().__init__()
            self.save_hyperparameters(keep)

    class Data(BoringDataModule):
        def __init__(self, a: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

    class Needy(BoringModel):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()

    with pytest.raises(KeyError):
        Model(keep="c")
    with pytest.raises(ValueError, match="names, a dict or a namespace"):
        Model(keep=5)
    with pytest.raises(RuntimeError, match="different hyperparameters"):
        short(tmp_path).fit(Model(), datamodule=Data())
    trainer = short(tmp_path)
    trainer.fit(Model(), datamodule=Data(a=1))
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    with pytest.raises(TypeError, match="'b'"):
        Needy.load_from_checkpoint(tmp_path / "m.ckpt")
    hparams = Model(a=3).hparams
    assert repr(hparams) == '"a": 3'
    del hparams.a
    assert dict(hparams) == {}
    assert L.LightningDataModule.CHECKPOINT_HYPER_PARAMS_KEY == "datamodule_hyper_parameters"


def test_loaders_that_nobody_wrote(tmp_path: Path) -> None:
    for owner in (L.LightningModule(), L.LightningDataModule()):
        with pytest.raises(MisconfigurationException, match="train_dataloader"):
            owner.train_dataloader()


def test_batches_of_own_kinds_are_moved_part_by_part() -> None:
    class Graph:
        place = ""

        def to(self, device: torch.device, **options: Any) -> None:
            self.place = str(device)

    graph = Graph()
    moved = move_data_to_device([graph, {"x": torch.ones(1)}, "text"], "cpu")
    assert graph.place == "cpu"
    assert moved[0] is graph
    assert moved[2] == "text"


def test_numbers_are_gathered_as_tensors(tmp_path: Path) -> None:
    trainer = short(tmp_path)
    trainer.fit(BoringModel())
    gathered = trainer.lightning_module.all_gather({"a": torch.tensor([1.0]), "b": [3]})
    assert torch.equal(gathered["b"][0], torch.tensor(3))


def test_seeds_may_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    seed: Any = "7"
    assert L.seed_everything(seed, verbose=False) == 7
    seed = "x"
    with pytest.raises(ValueError, match="x"):
        L.seed_everything(seed)


# Paths


def test_lightnings_paths_lead_here() -> None:
    from trainer.callbacks.callback import Callback
    from trainer.core.module import LightningModule
    from trainer.core.optimizer import LightningOptimizer
    from trainer.fabric.utilities.exceptions import MisconfigurationException as Same
    from trainer.utilities.data import extract_batch_size
    from trainer.utilities.memory import is_oom_error, recursive_detach

    assert Callback is L.Callback
    assert LightningModule is L.LightningModule
    whole: Any = L
    assert whole.pytorch.callbacks.ModelCheckpoint is L.callbacks.ModelCheckpoint
    assert L.core.LightningOptimizer is LightningOptimizer
    assert Same is MisconfigurationException
    assert extract_batch_size({"a": torch.ones(5, 2)}) == 5
    assert not recursive_detach({"a": torch.ones(1, requires_grad=True) * 2})["a"].requires_grad
    assert is_oom_error(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert not is_oom_error(ValueError("CUDA out of memory"))


def test_the_states_have_lightnings_path() -> None:
    import importlib

    states = importlib.import_module("trainer.trainer.states")
    assert states.TrainerFn.FITTING == "fit"
    assert states.RunningStage.TRAINING == "train"
    assert states.TrainerStatus.FINISHED == "finished"


def test_asking_what_a_model_brings() -> None:
    assert is_overridden("training_step", BoringModel())
    assert not is_overridden("on_train_start", BoringModel())
    assert not is_overridden("training_step", None)
    with pytest.raises(ValueError, match="whatever"):
        is_overridden("whatever", BoringModel())
    with pytest.raises(ValueError, match="parent"):
        is_overridden("training_step", object())


def test_a_demo_model_learns(tmp_path: Path) -> None:
    model = BoringModel()
    trainer = short(tmp_path, limit_train_batches=1.0)
    trainer.fit(model, datamodule=BoringDataModule())
    assert trainer.global_step == 64
    assert trainer.lr_scheduler_configs[0].scheduler.get_last_lr() == [pytest.approx(0.01)]
    assert trainer.test(model, verbose=False) == [{}]
    assert len(trainer.predict(model, loader(3)) or []) == 3
