"""Validation, test and prediction."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import trainer as L
from tests.trainer.models import (
    LoggingRegression,
    Regression,
    SeveralLoaders,
    make_trainer,
    regression_data,
    regression_loader,
)
from trainer.errors import MisconfigurationException


def test_validation_and_test_return_the_mean_over_samples(tmp_path: Path) -> None:
    model, trainer = LoggingRegression(), make_trainer(tmp_path)
    features, target = regression_data(10)[:]
    with torch.no_grad():
        expected = ((model(features) - target) ** 2).mean().item()
    assert trainer.validate(model, regression_loader(10, 4), verbose=False)[0]["val_loss"] == pytest.approx(expected)
    assert trainer.test(model, regression_loader(10, 4), verbose=False)[0]["test_loss"] == pytest.approx(expected)


def test_predictions_come_back_in_order(tmp_path: Path) -> None:
    model = LoggingRegression()
    outputs = make_trainer(tmp_path).predict(model, regression_loader(10, 4))
    assert outputs is not None
    assert [len(output) for output in outputs] == [4, 4, 2]
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(outputs), model(regression_data(10)[:][0]))


def test_predictions_of_several_loaders_are_lists_of_lists(tmp_path: Path) -> None:
    outputs = make_trainer(tmp_path).predict(SeveralLoaders(), [regression_loader(8), regression_loader(4)])
    assert outputs is not None
    assert [len(output) for output in outputs] == [2, 1]
    assert make_trainer(tmp_path).predict(LoggingRegression(), regression_loader(), return_predictions=False) is None


def test_predict_without_a_step_calls_the_model(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader(regression_data(8)[:][0], batch_size=4)
    outputs = make_trainer(tmp_path).predict(Regression(), loader)
    assert outputs is not None
    assert [tuple(output.shape) for output in outputs] == [(4, 1), (4, 1)]


def test_limits_apply_to_each_stage(tmp_path: Path) -> None:
    seen: list[str] = []

    class Watching(LoggingRegression):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            seen.append("test")

        def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
            seen.append("predict")
            return batch[0]  # type: ignore[no-any-return]

    trainer = make_trainer(tmp_path, limit_test_batches=2, limit_predict_batches=0.5, limit_val_batches=0)
    trainer.test(Watching(), regression_loader(24, 4), verbose=False)
    trainer.predict(Watching(), regression_loader(24, 4))
    assert trainer.validate(Watching(), regression_loader(24, 4), verbose=False) == []
    assert seen == ["test"] * 2 + ["predict"] * 3


def test_evaluating_twice_gives_the_same(tmp_path: Path) -> None:
    model, trainer = LoggingRegression(), make_trainer(tmp_path)
    results = [trainer.validate(model, regression_loader(10, 4), verbose=False) for _ in range(2)]
    assert results[0] == results[1]


def test_results_are_printed_unless_told_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = make_trainer(tmp_path)
    trainer.validate(LoggingRegression(), regression_loader(8))
    assert "val_loss" in capsys.readouterr().out
    trainer.validate(LoggingRegression(), regression_loader(8), verbose=False)
    assert capsys.readouterr().out == ""


def test_a_missing_step_or_loader_is_named(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    with pytest.raises(MisconfigurationException, match="Regression has no `test_step`"):
        trainer.test(Regression(), regression_loader())
    with pytest.raises(MisconfigurationException, match="Got no `val_dataloader`"):
        trainer.validate(LoggingRegression())
    with pytest.raises(MisconfigurationException, match="Got no `train_dataloader`"):
        trainer.fit(LoggingRegression())


def test_a_validation_loader_without_a_step_is_pointed_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="no `validation_step`: nothing is validated"):
        make_trainer(tmp_path, max_epochs=1).fit(Regression(), regression_loader(), regression_loader())


def test_step_values_of_evaluation_go_to_the_loggers(tmp_path: Path) -> None:
    class Stepping(LoggingRegression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("x", float(batch_idx), on_step=True, on_epoch=True)

    logger = L.loggers.CSVLogger(tmp_path)
    make_trainer(tmp_path, logger=logger).validate(Stepping(), regression_loader(8, 4), verbose=False)
    text = (Path(str(logger.log_dir)) / "metrics.csv").read_text().splitlines()
    assert text == ["epoch,step,x_epoch,x_step", "0.0,0,,0.0", "0.0,1,,1.0", "0.0,0,0.5,"]


def test_without_inference_mode_outputs_can_be_trained_on(tmp_path: Path) -> None:
    class Keeping(LoggingRegression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            assert not torch.is_inference_mode_enabled()
            assert not torch.is_grad_enabled()

    make_trainer(tmp_path, inference_mode=False).validate(Keeping(), regression_loader(8), verbose=False)


def test_the_best_checkpoint_is_taken_when_no_model_is_given(tmp_path: Path) -> None:
    class Worse(LoggingRegression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", float(self.current_epoch))

        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log("weight", self.first.weight.sum())

    saver = L.callbacks.ModelCheckpoint(tmp_path / "best", monitor="val_loss")
    trainer = make_trainer(tmp_path, max_epochs=3, callbacks=saver)
    model = Worse()
    trainer.fit(model, regression_loader(), regression_loader(8))
    best = torch.load(saver.best_model_path, weights_only=True)
    assert best["epoch"] == 0
    result = trainer.test(dataloaders=regression_loader(8), verbose=False)[0]["weight"]
    assert result == pytest.approx(best["state_dict"]["net.0.weight"].sum().item(), abs=1e-6)


def test_hooks_hear_of_the_loader_only_where_there_are_several(tmp_path: Path) -> None:
    heard: list[tuple[int, ...]] = []

    class Listening(SeveralLoaders):
        def on_predict_batch_start(self, batch: Any, batch_idx: int, *loader: int) -> None:
            heard.append(loader)

        def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, *loader: int) -> None:
            heard.append(loader)

    trainer = make_trainer(tmp_path)
    trainer.predict(Listening(), regression_loader(4, 4))
    trainer.predict(Listening(), [regression_loader(4, 4)] * 2)
    assert heard == [(), (), (0,), (0,), (1,), (1,)]


def test_loaders_in_a_dict_are_evaluated_in_its_order(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    loaders = {"small": regression_loader(4, 4), "large": regression_loader(12, 4)}
    results = trainer.validate(SeveralLoaders(), loaders, verbose=False)
    assert trainer.num_val_batches == [1, 3]
    assert [sorted(values) for values in results] == [["val_loss/dataloader_idx_0"], ["val_loss/dataloader_idx_1"]]


def test_streamed_predictions_are_those_of_a_list(tmp_path: Path) -> None:
    model, events = SeveralLoaders(), []

    class Watch(L.Callback):
        def on_predict_batch_end(self, *arguments: Any) -> None:
            events.append("batch")

        def teardown(self, *arguments: Any, **named: Any) -> None:
            events.append("teardown")

    trainer = make_trainer(tmp_path, callbacks=Watch())
    loaders = [regression_loader(8, 4), regression_loader(6, 3)]
    kept = trainer.predict(model, loaders)
    assert isinstance(kept, list)
    expected = [prediction for loader in kept for prediction in loader]
    events.clear()
    stream = trainer.predict(model, loaders, stream=True)
    assert events == []
    for index, prediction in enumerate(stream):
        assert torch.equal(prediction, expected[index])
        assert events == ["batch"] * (index + 1)  # nothing is computed ahead
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
    assert index == 3
    assert events == ["batch"] * 4 + ["teardown"]
    assert model.training


def test_a_stream_that_is_left_early_ends_its_run(tmp_path: Path) -> None:
    ended: list[str] = []

    class Watch(L.Callback):
        def on_exception(self, *arguments: Any) -> None:
            ended.append("exception")

        def teardown(self, *arguments: Any, **named: Any) -> None:
            ended.append("teardown")

    model = LoggingRegression()
    trainer = make_trainer(tmp_path, callbacks=Watch())
    stream = trainer.predict(model, regression_loader(), stream=True)
    assert isinstance(stream, Generator)
    next(stream)
    assert trainer.predicting
    stream.close()
    assert ended == ["teardown"]
    assert model.training
    assert not trainer.predicting
    assert trainer.state.status == "finished"


def test_streaming_keeps_no_prediction(tmp_path: Path) -> None:
    class Wide(LoggingRegression):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return torch.zeros(50_000)

    stream = make_trainer(tmp_path).predict(Wide(), regression_loader(64, 1), stream=True)
    alive = [weakref.ref(prediction) for prediction in stream]
    gc.collect()
    assert sum(reference() is not None for reference in alive) == 0


def test_a_written_hook_after_validation_may_leave_the_modes_to_its_base(tmp_path: Path) -> None:
    modes: list[bool] = []

    class Written(LoggingRegression):
        def on_validation_model_train(self) -> None:
            super().on_validation_model_train()
            modes.append(self.net.training)

    make_trainer(tmp_path, max_epochs=1).fit(Written(), regression_loader(), regression_loader(8))
    assert modes == [True, True]  # after the sanity check and after the epoch
