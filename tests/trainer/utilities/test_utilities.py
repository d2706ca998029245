"""What users of Lightning import from its utilities."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

from trainer import utilities
from trainer.utilities import (
    find_shared_parameters,
    grad_norm,
    is_picklable,
    measure_flops,
    move_data_to_device,
    rank_zero_deprecation,
    rank_zero_only,
    rank_zero_warn,
    set_shared_parameters,
)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("trainer.utilities.exceptions", ["MisconfigurationException", "SIGTERMException"]),
        ("trainer.utilities.rank_zero", ["rank_zero_only", "rank_zero_info", "rank_zero_warn", "rank_zero_debug"]),
        ("trainer.utilities.seed", ["isolate_rng", "seed_everything"]),
        ("trainer.utilities.parsing", ["AttributeDict"]),
        ("trainer.utilities.combined_loader", ["CombinedLoader"]),
        ("trainer.utilities.grads", ["grad_norm"]),
        ("trainer.utilities.types", ["STEP_OUTPUT", "OptimizerLRScheduler", "EVAL_DATALOADERS", "TRAIN_DATALOADERS"]),
        ("trainer.utilities", utilities.__all__),
    ],
)
def test_lightnings_import_paths_work(module: str, names: list[str]) -> None:
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []


def test_only_rank_zero_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    @rank_zero_only
    def answer() -> int:
        return 42

    assert answer() == 42
    with pytest.warns(DeprecationWarning, match="old"):
        rank_zero_deprecation("old")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert answer() is None
    rank_zero_warn("nobody hears it")  # a warning would be an error here


def test_gradient_norms() -> None:
    layer = nn.Linear(2, 1)
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0, 4.0]]), torch.tensor([12.0])
    norms = {name: float(value) for name, value in grad_norm(layer, 2).items()}
    assert norms == {"grad_2.0_norm/weight": 5.0, "grad_2.0_norm/bias": 12.0, "grad_2.0_norm_total": 13.0}
    assert float(grad_norm(layer, "inf")["grad_inf_norm_total"]) == 12.0
    assert grad_norm(nn.Linear(1, 1), 2) == {}
    with pytest.raises(ValueError, match="above zero"):
        grad_norm(layer, 0)


def test_flops_are_counted_by_hand() -> None:
    layer = nn.Linear(4, 3, bias=False)
    assert measure_flops(layer, lambda: layer(torch.zeros(2, 4)), display=False) == 2 * 2 * 4 * 3
    # Backward of the first layer needs the gradient of the weights only.
    both = measure_flops(layer, lambda: layer(torch.zeros(2, 4)), lambda output: output.sum(), display=False)
    assert both == 2 * (2 * 2 * 4 * 3)


def test_shared_parameters_are_found_and_shared_again() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
            self.two.weight = self.one.weight

    module = Tied()
    assert find_shared_parameters(module) == [["one.weight", "two.weight"]]
    module.two.weight = nn.Parameter(torch.zeros(2, 2))
    assert find_shared_parameters(module) == []
    assert set_shared_parameters(module, [["one.weight", "two.weight"]]) is module
    assert module.two.weight is module.one.weight


def test_small_ones() -> None:
    assert is_picklable([1])
    assert not is_picklable(lambda: None)
    moved = move_data_to_device({"a": [torch.zeros(1)]}, torch.device("meta"))
    assert moved["a"][0].device.type == "meta"
