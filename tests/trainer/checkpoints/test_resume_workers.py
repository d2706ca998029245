"""What workers draw after a resume: the same as without the kill, whatever they had done before."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import trainer as L
from tests.trainer.checkpoints.test_resume import KillAfter, Killed
from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_data
from trainer.callbacks import ModelCheckpoint
from trainer.data.sampling import PlacedItem
from trainer.seed import isolated_rng, pass_key, seed_for_item


class Noisy(Dataset[Any]):
    """Samples with noise from every global generator; each tells what was drawn."""

    def __init__(self, samples: int = 24) -> None:
        self.data = regression_data(samples)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        features, target = self.data[index]
        drawn = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])  # noqa: NPY002 - as users do
        return features * drawn.sum(), target, drawn


class Model(Regression):
    """Notes what the samples of each batch drew."""

    def __init__(self) -> None:
        super().__init__(dropout=0.25)
        self.seen: dict[int, list[float]] = {}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen[self.trainer.train_state.total_batches] = batch[2].flatten().tolist()
        return self.loss(batch[:2])


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(Noisy(), 4, **({"shuffle": True, "num_workers": 2} | options))


def own_generator() -> torch.Generator:
    return torch.Generator().manual_seed(8)


LOADERS: dict[str, Any] = {
    "two workers": loader,
    "workers that live on": lambda: loader(persistent_workers=True),
    "a generator of its own": lambda: loader(generator=own_generator()),
    "both": lambda: loader(persistent_workers=True, generator=own_generator()),
    "no batching": lambda: DataLoader(Noisy(6), None, shuffle=True, num_workers=2),
    "several": lambda: {
        "a": loader(persistent_workers=True),
        "b": DataLoader(Noisy(8), 4, shuffle=True, num_workers=1, persistent_workers=True),
    },
}


class Several(Model):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.seen[self.trainer.train_state.total_batches] = [
            number for part in batch.values() for number in part[2].flatten().tolist()
        ]
        return torch.stack([self.loss(part[:2]) for part in batch.values()]).sum()


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 6, 9])
@pytest.mark.parametrize("kind", list(LOADERS))
def test_workers_draw_the_same_after_a_resume(tmp_path: Path, kind: str, after: int) -> None:
    make, model = LOADERS[kind], Several if kind == "several" else Model
    torch.manual_seed(11)
    straight = model()
    make_trainer(tmp_path, max_epochs=2).fit(straight, make())
    torch.manual_seed(11)
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=0, save_last=True)
    with pytest.raises(Killed):
        make_trainer(tmp_path, max_epochs=2, callbacks=[KillAfter(after), saver]).fit(model(), make())
    torch.manual_seed(999)
    resumed = model()
    make_trainer(tmp_path, max_epochs=2).fit(resumed, make(), ckpt_path=tmp_path / "last.ckpt")
    assert resumed.seen == {batch: drawn for batch, drawn in straight.seen.items() if batch >= after}
    assert_equal_weights(straight, resumed)
    numbers = [number for drawn in straight.seen.values() for number in drawn]
    assert len(set(numbers)) == len(numbers)  # no batch, worker, epoch or generator draws what another drew


def test_a_second_fit_has_the_workers_of_the_first(tmp_path: Path) -> None:
    pids: list[set[int]] = []

    class Watching(Model):
        def on_train_epoch_end(self) -> None:
            view: Any = self.trainer.train_loader.loader  # type: ignore[union-attr]  # a fit has one
            pids.append({worker.pid for worker in view._iterator._workers})

    train = loader(persistent_workers=True, num_workers=1)
    for _ in range(2):
        make_trainer(tmp_path, max_epochs=2).fit(Watching(), train)
    assert len(pids) == 4
    assert all(found == pids[0] for found in pids)


def test_an_item_seeds_the_process_where_it_arrives() -> None:
    import pickle

    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), torch.rand(()).item()]  # noqa: NPY002 - as above

    sent = pickle.dumps(PlacedItem(b"key", 7, [1, 2]))
    with isolated_rng():
        assert pickle.loads(sent) == [1, 2]
        first = drawn()
        drawn()
        seed_for_item(b"key", 7)
        assert drawn() == first
        seed_for_item(b"key", 8)
        assert set(drawn()).isdisjoint(first)
        torch.manual_seed(0)
        state = {"torch": torch.get_rng_state()}
    keys = {pass_key(state, {}, 0), pass_key(state, {}, 1), pass_key(state, {"loader": own_generator().get_state()}, 0)}
    assert len(keys) == 3


class Measured(L.LightningModule):
    """Logs metric objects in the forms that users have: one, a collection, and one computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        from torchmetrics import CatMetric, MeanAbsoluteError, MeanMetric, MeanSquaredError, MetricCollection

        self.layer = torch.nn.Linear(4, 1)
        self.mean = MeanMetric()
        self.both = MetricCollection([MeanAbsoluteError(), MeanSquaredError()])
        self.all_errors = CatMetric()
        self.validated = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        predicted = self.layer(batch[0])
        loss: Tensor = (predicted - batch[1]).square().mean()
        self.mean.update(loss)
        self.both.update(predicted, batch[1])
        self.all_errors.update((predicted - batch[1]).detach())
        self.log("mean", self.mean, on_step=False, on_epoch=True)
        both: Any = self.both
        self.log_dict(both, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("sum_of_all", self.all_errors.compute().sum())
        self.all_errors.reset()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated.update((self.layer(batch[0]) - batch[1]).abs().mean())
        self.log("validated", self.validated)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


@pytest.mark.parametrize("after", [1, 4, 6, 8])
def test_the_epoch_values_of_metric_objects_survive_a_resume(tmp_path: Path, after: int) -> None:
    def fit(model: L.LightningModule, *callbacks: L.Callback, **options: Any) -> dict[str, float]:
        trainer = make_trainer(tmp_path, max_epochs=2, val_check_interval=3, callbacks=list(callbacks))
        data = DataLoader(regression_data(), 4, shuffle=True)
        trainer.fit(model, data, DataLoader(regression_data(8), 4), **options)
        return {name: value.item() for name, value in trainer.callback_metrics.items()}

    torch.manual_seed(2)
    expected = fit(Measured())
    assert {"mean", "MeanAbsoluteError", "MeanSquaredError", "sum_of_all", "validated"} <= expected.keys()
    torch.manual_seed(2)
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=0, save_last=True)
    with pytest.raises(Killed):
        fit(Measured(), KillAfter(after), saver)
    torch.load(tmp_path / "last.ckpt", weights_only=True)
    torch.manual_seed(3)
    assert fit(Measured(), ckpt_path=tmp_path / "last.ckpt") == expected


def test_a_metric_object_outside_the_module_is_named(tmp_path: Path) -> None:
    from torchmetrics import MeanMetric

    class Model(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [MeanMetric()]

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.hidden[0].update(1.0)
            self.log("outside", self.hidden[0], on_step=False, on_epoch=True)
            return super().training_step(batch, batch_idx)

    data = DataLoader(regression_data(), 4)
    first = make_trainer(tmp_path, max_steps=2)
    first.fit(Model(), data)
    first.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"\['outside'\] are not attributes of the module.*self\.accuracy"):
        make_trainer(tmp_path, max_epochs=1).fit(Model(), data, ckpt_path=tmp_path / "a.ckpt")
