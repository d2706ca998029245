"""Norms of gradients in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import make_trainer, metric_lines, regression_loader
from trainer.callbacks import GradientNorm
from trainer.errors import MisconfigurationException
from trainer.loggers import CSVLogger


class Slope(L.LightningModule):
    """The gradient of the first weight is 3, that of the second 4."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.unused = nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return (3 * self.one + 4 * self.other).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def logged(tmp_path: Path, callback: GradientNorm, **options: Any) -> list[str]:
    trainer = make_trainer(tmp_path, callbacks=callback, logger=CSVLogger(tmp_path), max_epochs=1, **options)
    trainer.fit(Slope(), regression_loader(20, 4))
    return metric_lines(trainer.log_dir)


def test_the_norm_before_clipping_is_logged_with_the_steps(tmp_path: Path) -> None:
    lines = logged(tmp_path, GradientNorm(), log_every_n_steps=2, gradient_clip_val=0.1)
    assert lines == ["step,epoch,grad_2.0_norm_total", "1,0.0,5.0", "3,0.0,5.0", "4,0.0,5.0"]


def test_each_parameter_may_be_logged_in_another_norm(tmp_path: Path) -> None:
    lines = logged(tmp_path, GradientNorm("inf", by_parameter=True), log_every_n_steps=5)
    assert lines == ["step,epoch,grad_inf_norm/one,grad_inf_norm/other,grad_inf_norm_total", "4,0.0,3.0,4.0,4.0"]


def test_it_can_be_shown_and_seen_by_other_callbacks(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, callbacks=GradientNorm(1, log_every_n_steps=1, prog_bar=True), max_epochs=1)
    trainer.fit(Slope(), regression_loader(8, 4))
    assert trainer.progress_bar_metrics == {"grad_1.0_norm_total": 7.0}
    assert trainer.callback_metrics["grad_1.0_norm_total"].item() == 7.0


@pytest.mark.parametrize("options", [{"norm_type": 0}, {"norm_type": -1}, {"log_every_n_steps": 0}])
def test_values_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(MisconfigurationException):
        GradientNorm(**options)
