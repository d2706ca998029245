"""The table of the model's parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.callbacks import ModelSummary
from trainer.callbacks.model_summary import summarize


def test_the_summary_counts_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Regression()
    model.net[0].requires_grad_(False)
    assert summarize(model).splitlines() == [
        "net  Sequential            37",  # 4*6 + 6 + 6 + 1
        "7 trainable of 37 parameters, 0.00 MB",
    ]
    make_trainer(tmp_path, max_epochs=1, callbacks=ModelSummary()).fit(Regression(), regression_loader(8))
    assert "37 trainable of 37 parameters" in capsys.readouterr().out
