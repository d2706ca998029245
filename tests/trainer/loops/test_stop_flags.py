"""Requests to stop: what comes while the processes agree is not lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.errors import SIGTERMException
from trainer.loops.state import StopFlags


def test_a_request_during_an_agreement_waits_for_the_next() -> None:
    flags = StopFlags()
    flags.share()
    flags.raise_flag(StopFlags.SIGTERM)  # after this process said that it had none
    flags.agreed(0)
    assert flags.bits == 0
    assert flags.has(StopFlags.SIGTERM)
    flags.agreed(StopFlags.SIGTERM)
    assert flags.bits == StopFlags.SIGTERM
    flags.lower_flag(StopFlags.SIGTERM)
    assert not flags.has(StopFlags.SIGTERM)


def test_notice_inside_an_accumulation_window_waits_for_its_end(tmp_path: Path) -> None:
    class Asked(Regression):
        batches = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.batches += 1
            if self.batches == 4:  # the first of a window of three
                os.kill(os.getpid(), signal.SIGTERM)
            return super().training_step(batch, batch_idx)

    torch.manual_seed(0)
    model = Asked()
    trainer = make_trainer(tmp_path, max_epochs=1, accumulate_grad_batches=3)
    with pytest.raises(SIGTERMException):
        trainer.fit(model, regression_loader(samples=48))
    assert model.batches == 6
    assert trainer.global_step == 2
