"""A callback made of functions."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.models import LoggingRegression, make_trainer, regression_loader
from trainer.callbacks import Callback, LambdaCallback

NOT_HOOKS = {"state_dict", "load_state_dict", "log", "log_dict"}


def hooks() -> set[str]:
    names = {name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if not name.startswith("_")}
    return names - NOT_HOOKS


def test_every_hook_can_be_given() -> None:
    assert set(inspect.signature(LambdaCallback).parameters) == hooks()


def test_given_functions_are_called_with_trainer_and_module(tmp_path: Path) -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def note(name: str) -> Any:
        return lambda *arguments, **named: calls.append((name, (*arguments, *named.values())))

    callback = LambdaCallback(setup=note("setup"), on_train_batch_start=note("batch"), on_predict_end=note("never"))
    trainer, model = make_trainer(tmp_path, max_epochs=1, callbacks=callback), LoggingRegression()
    trainer.fit(model, regression_loader(8, 4))
    assert [name for name, _ in calls] == ["setup", "batch", "batch"]
    assert calls[0][1] == (trainer, model, "fit")
    assert calls[2][1][:2] == (trainer, model)
    assert calls[2][1][3] == 1


def test_an_unknown_hook_is_refused() -> None:
    with pytest.raises(TypeError, match="on_fit_begin"):
        LambdaCallback(on_fit_begin=print)  # type: ignore[call-arg]
