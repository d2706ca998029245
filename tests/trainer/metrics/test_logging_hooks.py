"""Where values are logged and when they are seen: by hooks, loggers and later runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.loggers import CSVLogger


def rows_of(trainer: L.Trainer) -> list[dict[str, float]]:
    lines = [line.split(",") for line in (Path(str(trainer.log_dir)) / "metrics.csv").read_text().splitlines()]
    return [
        {name: float(text) for name, text in zip(lines[0], line, strict=True) if text and name != "epoch"}
        for line in lines[1:]
    ]


def test_what_is_logged_before_the_first_epoch_belongs_to_it(tmp_path: Path) -> None:
    class Early(Regression):
        def on_train_start(self) -> None:
            self.log("early", 5.0)

    trainer = make_trainer(tmp_path, max_epochs=2, logger=CSVLogger(tmp_path))
    trainer.fit(Early(), regression_loader(8, 4))
    assert trainer.callback_metrics["early"] == 5.0
    assert rows_of(trainer) == [{"step": 1, "early": 5.0}]


def test_hooks_of_the_sanity_check_see_its_metrics_and_nobody_else_does(tmp_path: Path) -> None:
    seen: list[tuple[bool, float]] = []

    class Reading(LoggingRegression):
        def on_validation_epoch_end(self) -> None:
            seen.append((self.trainer.sanity_checking, float(self.trainer.callback_metrics["val_loss"])))

        def on_train_start(self) -> None:
            assert self.trainer.callback_metrics == {}

    trainer = make_trainer(tmp_path, max_epochs=1, logger=CSVLogger(tmp_path))
    model = Reading()
    before = trainer.validate(model, regression_loader(8, 4), verbose=False)[0]["val_loss"]
    trainer.fit(model, regression_loader(8, 4), regression_loader(8, 4))
    assert [checking for checking, _ in seen] == [False, True, False]
    assert seen[1][1] == pytest.approx(before)
    assert [row["step"] for row in rows_of(trainer) if "val_loss" in row] == [0, 1]


def test_a_value_logged_around_the_batches_is_seen_at_once(tmp_path: Path) -> None:
    class Reading(LoggingRegression):
        def on_validation_epoch_end(self) -> None:
            self.log("score", 2.0, prog_bar=True)
            assert self.trainer.callback_metrics["score"] == 2.0
            assert self.trainer.progress_bar_metrics["score"] == 2.0

    make_trainer(tmp_path).validate(Reading(), regression_loader(8, 4), verbose=False)


def test_callbacks_log_too(tmp_path: Path) -> None:
    class Logging(L.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.log("index", float(batch_idx), on_epoch=True)
            self.log_dict({"one": 1.0, "two": 2.0})

    callback = Logging()
    trainer = make_trainer(tmp_path, max_epochs=1, callbacks=callback)
    trainer.fit(Regression(), regression_loader(12, 4))
    values = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert values == {"index": 1.0, "index_step": 2.0, "index_epoch": 1.0, "one": 1.0, "two": 2.0}
    with pytest.raises(RuntimeError, match="outside a run"):
        callback.log("index", 0.0)


def test_step_values_of_evaluation_belong_to_their_loader_and_count_on(tmp_path: Path) -> None:
    class Stepping(Regression):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("value", float(10 * dataloader_idx + batch_idx), on_step=True, on_epoch=False)

    trainer = make_trainer(tmp_path, max_epochs=2, logger=CSVLogger(tmp_path))
    trainer.fit(Stepping(), regression_loader(8, 4), [regression_loader(8, 4), regression_loader(4, 4)])
    first, second = "value/dataloader_idx_0", "value/dataloader_idx_1"
    assert rows_of(trainer) == [
        {"step": 0, first: 0}, {"step": 1, first: 1}, {"step": 0, second: 10},
        {"step": 2, first: 0}, {"step": 3, first: 1}, {"step": 1, second: 10},
    ]  # fmt: skip


def test_results_outside_a_fit_stand_at_the_step_after_the_last(tmp_path: Path) -> None:
    trainer, model = make_trainer(tmp_path, max_epochs=1, logger=CSVLogger(tmp_path)), LoggingRegression()
    trainer.fit(model, regression_loader(8, 4), regression_loader(8, 4))
    trainer.test(model, regression_loader(8, 4), verbose=False)
    assert [row["step"] for row in rows_of(trainer) if "val_loss" in row] == [1]
    assert [row["step"] for row in rows_of(trainer) if "test_loss" in row] == [2]


def test_a_metric_object_starts_anew_in_every_run(tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.reset()

        def reset(self) -> None:
            self.count = 0.0

        def compute(self) -> float:
            return self.count

    class Counted(LoggingRegression):
        def __init__(self) -> None:
            super().__init__()
            self.counting = Counting()

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.counting.count += 1
            self.log("batches", self.counting)

    trainer, model = make_trainer(tmp_path), Counted()
    assert trainer.test(model, regression_loader(8, 4), verbose=False) == [{"batches": 2.0}]
    assert model.counting.count == 0
    assert trainer.test(model, regression_loader(12, 4), verbose=False) == [{"batches": 3.0}]


def test_what_a_model_keeps_from_validation_can_be_trained_with(tmp_path: Path) -> None:
    class Caching(LoggingRegression):
        cache: Tensor | None = None

        def loss(self, batch: Any) -> Tensor:
            if self.cache is None:
                self.cache = torch.full((1, 4), 2.0)
            mask = self.cache * self.first.weight.mean()
            return super().loss(batch) + mask.sum()

    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Caching(), regression_loader(8, 4), regression_loader(8, 4))
    assert trainer.global_step == 2
