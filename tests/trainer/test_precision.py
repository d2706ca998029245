"""Number formats by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.errors import MisconfigurationException
from trainer.precision import choose_precision


@pytest.mark.parametrize(
    ("given", "name"),
    [(32, "32-true"), ("32", "32-true"), (64, "64-true"), ("bf16", "bf16-mixed"), ("bf16-true", "bf16-true")],
)
def test_short_names_mean_what_they_do_in_lightning(given: str | int, name: str) -> None:
    assert choose_precision(given, "cpu").name == name


def test_the_usual_format_costs_nothing() -> None:
    precision = choose_precision("32-true", "cpu")
    assert precision.step_context(torch.device("cpu")) is None
    assert precision.make_scaler(torch.device("cpu")) is None


def test_true_formats_convert_the_model() -> None:
    layer = nn.Linear(1, 1)
    choose_precision("64-true", "cpu").convert_module(layer)
    assert layer.weight.dtype == torch.float64


def test_float16_is_for_gpus() -> None:
    assert choose_precision(16, "cuda").scales_loss
    with pytest.raises(MisconfigurationException, match="too small a range"):
        choose_precision(16, "cpu")
