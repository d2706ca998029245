"""What is logged, where it appears and what it costs."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.errors import MisconfigurationException
from trainer.loggers import Logger
from trainer.metrics.store import MetricStore
from trainer.strategies import SingleDevice

PLAIN = (False, None, None, None, "mean", None, True, False)


class Rows(Logger):
    """Keeps every row."""

    name = "rows"
    version = 0

    def __init__(self) -> None:
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


class Values(Regression):
    """Logs chosen numbers instead of losses."""

    options: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.log("value", torch.tensor(float(batch_idx + 1)), **self.options)
        return self.loss(batch)


def values(**options: Any) -> Values:
    model = Values()
    model.options = options
    return model


def run(tmp_path: Path, model: L.LightningModule, **options: Any) -> tuple[L.Trainer, Rows]:
    rows = Rows()
    trainer = make_trainer(tmp_path, logger=rows, **({"max_epochs": 1} | options))
    trainer.fit(model, regression_loader(24, 4))
    return trainer, rows


def test_a_training_step_logs_step_values_by_default(tmp_path: Path) -> None:
    trainer, rows = run(tmp_path, Values(), log_every_n_steps=2)
    assert rows.rows == [
        (1, {"epoch": 0.0, "value": 2.0}),
        (3, {"epoch": 0.0, "value": 4.0}),
        (5, {"epoch": 0.0, "value": 6.0}),
    ]
    assert trainer.callback_metrics["value"] == 6.0


def test_the_last_step_of_an_epoch_is_always_logged(tmp_path: Path) -> None:
    _, rows = run(tmp_path, Values(), max_epochs=2)
    assert [(step, row["value"]) for step, row in rows.rows] == [(5, 6.0), (11, 6.0)]


def test_the_last_step_before_max_steps_is_logged(tmp_path: Path) -> None:
    _, rows = run(tmp_path, Values(), max_epochs=None, max_steps=4)
    assert [(step, row["value"]) for step, row in rows.rows] == [(3, 4.0)]


def test_both_forms_have_suffixes_and_the_plain_name_for_callbacks(tmp_path: Path) -> None:
    trainer, rows = run(tmp_path, values(on_step=True, on_epoch=True, prog_bar=True), log_every_n_steps=6)
    assert rows.rows == [
        (5, {"epoch": 0.0, "value_step": 6.0}),
        (5, {"epoch": 0.0, "value_epoch": 3.5}),
    ]
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert metrics == {"value_step": 6.0, "value_epoch": 3.5, "value": 3.5}
    assert trainer.progress_bar_metrics == {"value_step": 6.0, "value_epoch": 3.5}
    assert {name: v.item() for name, v in trainer.logged_metrics.items()} == {"value_step": 6.0, "value_epoch": 3.5}


@pytest.mark.parametrize(
    ("reduce_fx", "expected"), [("mean", 3.5), ("sum", 21.0), ("min", 1.0), ("max", 6.0), (torch.max, 6.0)]
)
def test_an_epoch_is_reduced_as_asked(tmp_path: Path, reduce_fx: Any, expected: float) -> None:
    trainer, _ = run(tmp_path, values(on_step=False, on_epoch=True, reduce_fx=reduce_fx))
    assert trainer.callback_metrics["value"] == expected


def test_unknown_reductions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match=r"'median'.*Log a metric object"):
        run(tmp_path, values(reduce_fx="median"))


def test_means_are_weighted_by_the_samples_of_each_batch(tmp_path: Path) -> None:
    class Uneven(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("guessed", float(batch_idx))
            self.log("given", float(batch_idx), batch_size=1)

    trainer = make_trainer(tmp_path)
    results = trainer.validate(Uneven(), regression_loader(10, 4), verbose=False)
    assert results[0]["guessed"] == pytest.approx((0 * 4 + 1 * 4 + 2 * 2) / 10)
    assert results[0]["given"] == pytest.approx(1.0)


def test_several_loaders_get_an_index(tmp_path: Path) -> None:
    class Two(Regression):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.log("loss", float(dataloader_idx + 1))
            self.log("shared", float(dataloader_idx), add_dataloader_idx=False)

        def on_validation_epoch_end(self) -> None:
            self.log("end", 7.0)

    trainer = make_trainer(tmp_path)
    results = trainer.validate(Two(), [regression_loader(8), regression_loader(4)], verbose=False)
    assert results[0]["loss/dataloader_idx_0"] == 1.0
    assert results[1]["loss/dataloader_idx_1"] == 2.0
    assert results[0]["end"] == results[1]["end"] == 7.0
    assert "loss/dataloader_idx_1" not in results[0]


def test_hooks_have_their_own_defaults(tmp_path: Path) -> None:
    class Hooks(Regression):
        def on_train_epoch_start(self) -> None:
            self.log("start", 1.0)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("batch", float(batch_idx))

        def on_train_epoch_end(self) -> None:
            assert self.trainer.callback_metrics["batch"] == 5.0
            self.log_dict({"end": 2.0, "other": 3.0})

    trainer, rows = run(tmp_path, Hooks())
    assert rows.rows[-1] == (5, {"epoch": 0.0, "start": 1.0, "end": 2.0, "other": 3.0})
    assert trainer.callback_metrics["batch"] == 5.0


@pytest.mark.parametrize("hook", ["on_fit_start", "setup", "on_fit_end"])
def test_logging_outside_batches_and_epochs_is_refused(tmp_path: Path, hook: str) -> None:
    class Wrong(Regression):
        def _log(self, *args: Any, **named: Any) -> None:
            self.log("x", 1.0)

    model = Wrong()
    setattr(model, hook, model._log)
    with pytest.raises(MisconfigurationException, match="where no batch or epoch is running"):
        run(tmp_path, model)


def test_step_values_where_no_step_runs_are_refused(tmp_path: Path) -> None:
    class Wrong(Regression):
        def on_train_epoch_end(self) -> None:
            self.log("x", 1.0, on_step=True)

    with pytest.raises(MisconfigurationException, match="in a hook that no step runs in"):
        run(tmp_path, Wrong())


def test_changing_the_options_of_a_name_is_refused(tmp_path: Path) -> None:
    class Wrong(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.log("x", 1.0, prog_bar=batch_idx > 1)
            return self.loss(batch)

    with pytest.raises(MisconfigurationException, match=r"'x'.*other options than before"):
        run(tmp_path, Wrong())


@pytest.mark.parametrize(("value", "message"), [(torch.ones(3), r"shape \(3,\)"), ({"a": 1}, "dict"), ("text", "str")])
def test_only_single_numbers_are_logged(value: Any, message: str) -> None:
    store = MetricStore()
    store.enter("train", "batch")
    with pytest.raises(MisconfigurationException, match=message):
        store.log("x", value, PLAIN, None)


def test_names_do_not_carry_the_loaders_index() -> None:
    store = MetricStore()
    store.enter("eval", "batch")
    with pytest.raises(MisconfigurationException, match="adds the loader's index itself"):
        store.log("x/dataloader_idx_0", 1.0, PLAIN, None)


def test_numbers_and_tensors_mix_in_one_metric() -> None:
    for op, expected in (("mean", 2.5), ("sum", 10.0), ("min", 1.0), ("max", 4.0)):
        store = MetricStore()
        store.enter("eval", "batch")
        options = (*PLAIN[:4], op, *PLAIN[5:])
        for value in (1.0, torch.tensor(2.0), 3, torch.tensor([4.0])):
            store.log("x", value, options, 1)
        assert store.close_epoch("eval", SingleDevice()) == {"x": expected}


def test_sums_stay_exact_over_many_steps() -> None:
    store = MetricStore()
    store.enter("eval", "batch")
    for _ in range(20_000):
        store.log("x", torch.tensor(0.1), PLAIN, 1)
    assert store.close_epoch("eval", SingleDevice())["x"] == pytest.approx(float(torch.tensor(0.1)), abs=1e-12)


def test_metric_objects_compute_and_reset_themselves(tmp_path: Path) -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def compute(self) -> Tensor:
            return torch.tensor(float(self.count))

        def reset(self) -> None:
            self.count = 0

    class Counting(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.counter = Counter()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.counter.count += len(batch[0])
            self.log("samples", self.counter, on_step=False, on_epoch=True)
            return self.loss(batch)

    trainer, rows = run(tmp_path, Counting(), max_epochs=2)
    assert [row["samples"] for _, row in rows.rows] == [24.0, 24.0]
    assert trainer.callback_metrics["samples"] == 24.0


def test_torchmetrics_work_as_metric_objects(tmp_path: Path) -> None:
    torchmetrics = pytest.importorskip("torchmetrics")

    class Measured(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.error = torchmetrics.MeanSquaredError()

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.error(self(batch[0]), batch[1])
            self.log("mse", self.error)

    model = Measured()
    results = make_trainer(tmp_path).validate(model, regression_loader(10, 4), verbose=False)
    whole = next(iter(regression_loader(10, 10)))
    assert results[0]["mse"] == pytest.approx(model.loss(whole).item(), abs=1e-6)


def test_logged_values_keep_no_graph_alive(tmp_path: Path) -> None:
    class Watching(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

    gc.collect()
    earlier = _in_graphs()  # of the tests before: torch's compiler keeps some for the life of the process
    trainer, _ = run(tmp_path, Watching())
    assert all(not value.requires_grad for value in trainer.callback_metrics.values())
    gc.collect()
    known = {id(tensor) for tensor in earlier}
    assert [tensor for tensor in _in_graphs() if id(tensor) not in known] == []


def _in_graphs() -> list[Tensor]:
    """Return the tensors of this process, alive now, that hold an autograd graph."""
    return [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor) and thing.grad_fn is not None]


def test_memory_does_not_grow_with_the_steps() -> None:
    store = MetricStore()
    weight = torch.ones((), requires_grad=True)
    options = (False, None, True, True, "mean", None, True, False)

    def steps(count: int) -> None:
        for _ in range(count):
            store.enter("train", "batch")
            store.log("loss", weight * 2, options, 4)

    steps(100)
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    steps(2000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 10_000


def test_an_ordinary_step_reads_nothing_from_the_device() -> None:
    class Unreadable(Tensor):
        """A tensor that refuses to become a number."""

        def item(self) -> Any:
            raise AssertionError("a value was read in a step")

        def tolist(self) -> Any:
            raise AssertionError("a value was read in a step")

        def __float__(self) -> float:
            raise AssertionError("a value was read in a step")

    store = MetricStore()
    store.enter("train", "batch")
    for _ in range(3):
        store.log("x", torch.tensor(1.0).as_subclass(Unreadable), (False, None, True, True, *PLAIN[4:]), 1)


def test_logging_without_a_trainer_warns() -> None:
    with pytest.warns(UserWarning, match=r"self.log\('x', ...\)` does nothing outside"):
        Regression().log("x", 1.0)


def test_a_logged_step_is_the_x_axis(tmp_path: Path) -> None:
    class Own(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.log_dict({"step": 100.0 + batch_idx, "loss": 1.0})
            return self.loss(batch)

    _, rows = run(tmp_path, Own())
    assert rows.rows == [(105, {"epoch": 0.0, "loss": 1.0})]


def test_accumulated_batches_count_as_one_step_for_the_loggers(tmp_path: Path) -> None:
    _, rows = run(tmp_path, Values(), accumulate_grad_batches=3, log_every_n_steps=1)
    assert [(step, row["value"]) for step, row in rows.rows] == [(0, 3.0), (1, 6.0)]
