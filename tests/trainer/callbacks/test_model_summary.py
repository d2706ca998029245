"""The table of the model's layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.callbacks import ModelSummary, RichModelSummary
from trainer.utilities.model_summary import LayerSummary, get_human_readable_count, parse_batch_shape, summarize


class Nested(L.LightningModule):
    """Layers in layers, one of them in evaluation mode, one frozen, one parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 6, bias=False), nn.ReLU()))
        self.head = nn.Linear(6, 1).eval()
        self.own = nn.Parameter(torch.zeros(1000), requires_grad=False)
        self.example_input_array = torch.zeros(5, 4)

    def forward(self, features: Tensor) -> Tensor:
        assert not self.training
        result: Tensor = self.head(self.body(features))
        return result


def test_the_layers_are_counted_measured_and_described() -> None:
    model = Nested()
    summary = summarize(model)
    assert summary.layer_names == ["body", "head"]
    assert summary.layer_types == ["Sequential", "Linear"]
    assert summary.param_nums == [4 * 6 + 6 + 36, 7]
    assert (summary.total_parameters, summary.trainable_parameters) == (1073, 73)
    assert summary.total_layer_params == 73
    assert summary.in_sizes == [[5, 4], [5, 6]]
    assert summary.out_sizes == [[5, 6], [5, 1]]
    assert summary.training_modes == [True, False]
    assert summary.total_training_modes == {"train": 5, "eval": 1}
    assert summary.model_size == pytest.approx(1073 * 4 / 1e6)
    flops = [2 * 5 * (4 * 6 + 6 * 6), 2 * 5 * 6]  # a multiplication and an addition for each weight and sample
    assert [sum(counts.values()) for counts in summary.flop_counts.values()] == flops
    assert summary.total_flops == sum(flops)
    assert model.training  # only the call on the example was in evaluation mode
    assert not model.head.training


@pytest.mark.parametrize(
    ("depth", "names"),
    [(0, []), (1, ["body", "head"]), (2, ["body", "body.0", "body.1", "head"]),
     (-1, ["body", "body.0", "body.1", "body.1.0", "body.1.1", "head"])],
)  # fmt: skip
def test_the_depth_is_kept(depth: int, names: list[str]) -> None:
    assert summarize(Nested(), max_depth=depth).layer_names == names


def test_the_table_is_text() -> None:
    assert str(summarize(Nested())).splitlines() == [
        "  | Name         | Type       | Params | Mode  | FLOPs | In sizes | Out sizes",
        "-" * 83,
        "0 | body         | Sequential | 66     | train | 600   | [5, 4]   | [5, 6]   ",
        "1 | head         | Linear     | 7      | eval  | 60    | [5, 6]   | [5, 1]   ",
        "  | other params | n/a        | 1.0 K  | n/a   | n/a   | n/a      | n/a      ",
        "-" * 83,
        "73        Trainable params",
        "1.0 K     Non-trainable params",
        "1.1 K     Total params",
        "0.004     Total estimated model params size (MB)",
        "5         Modules in train mode",
        "1         Modules in eval mode",
        "660       Total Flops",
    ]


def test_a_model_without_an_example_has_no_sizes() -> None:
    summary = summarize(Regression())
    assert summary.in_sizes == ["?"]
    assert "In sizes" not in str(summary)
    assert summary.total_flops == 0


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_examples_may_have_several_parts(kind: str) -> None:
    class Several(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.pair = nn.Bilinear(2, 3, 4)

        def forward(self, one: Tensor, other: Tensor) -> Any:
            return self.pair(one, input2=other)

    model = Several()
    parts = {"one": torch.zeros(5, 2), "other": torch.zeros(5, 3)}
    model.example_input_array = parts if kind == "dict" else list(parts.values())
    assert summarize(model).in_sizes == [[[5, 2], [5, 3]]]


def test_lazy_layers_count_once_they_are_known() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    assert summarize(model).total_parameters == 0
    model(torch.zeros(1, 2))
    assert summarize(model).total_parameters == 9


def test_a_layer_alone() -> None:
    layer = LayerSummary(nn.Conv2d(3, 8, 3))
    layer._module(torch.zeros(1, 3, 5, 5))
    assert (layer.num_parameters, layer.in_size, layer.out_size) == (224, [1, 3, 5, 5], [1, 8, 3, 3])
    assert parse_batch_shape(["text", torch.zeros(2)]) == ["?", [2]]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0  "), (123, "123  "), (1234, "1.2 K"), (2e6, "2.0 M"), (3e9, "3.0 B"), (4e14, "400 T"), (5e15, "5,000 T"),
     (999999, "999 K")],
)  # fmt: skip
def test_counts_are_short(number: int, text: str) -> None:
    assert get_human_readable_count(number) == text


def test_a_depth_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="max_depth"):
        summarize(Regression(), max_depth=-2)


@pytest.mark.parametrize("callback", [ModelSummary, RichModelSummary])
def test_it_is_printed_when_a_fit_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], callback: type[ModelSummary]
) -> None:
    make_trainer(tmp_path, max_epochs=1, callbacks=callback(max_depth=2)).fit(Regression(), regression_loader(8))
    shown = capsys.readouterr().out
    assert "net.0" in shown
    assert "Total params" in shown
    assert "37" in shown
    make_trainer(tmp_path, max_epochs=1, callbacks=callback(0)).fit(Regression(), regression_loader(8))
    assert capsys.readouterr().out == ""
