"""Models of the meta device have the values that they would have been built with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import LoggingRegression, regression_loader
from trainer.errors import MisconfigurationException
from trainer.fabric import Fabric
from trainer.model.deferred import is_deferred, materialise


class Own(nn.Module):
    """Has a parameter, a buffer and a layer, whose values it draws again itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)
        self.scale = nn.Parameter(torch.empty(2))
        self.mask: Tensor
        self.register_buffer("mask", torch.empty(2), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.inner.weight)
        nn.init.uniform_(self.scale)
        self.mask.copy_(torch.tensor([1.0, 0.0]))


def tied() -> nn.Module:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Conv1d(4, 2, 3), nn.LayerNorm(3)), nn.Embedding(5, 2)),
        lambda: nn.Sequential(nn.BatchNorm1d(4), nn.LSTM(4, 3, num_layers=2, bidirectional=True), nn.GRUCell(2, 2)),
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 6), 2, enable_nested_tensor=False),
        lambda: nn.Transformer(8, 2, 1, 1, 6),
        lambda: nn.Sequential(nn.Linear(3, 3), Own(), nn.Bilinear(2, 2, 2)),
        tied,
    ],
)
def test_values_are_those_of_the_model_built_in_place(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own layers
        expected = build()
        after = torch.get_rng_state()
        torch.manual_seed(7)
        with torch.device("meta"):
            found = build()
    assert is_deferred(found)
    materialise(found, torch.device("cpu"))
    assert not is_deferred(found)
    assert found.state_dict().keys() == expected.state_dict().keys()
    if not isinstance(expected, nn.TransformerEncoder):  # whose constructor copies one layer instead of drawing again
        assert torch.equal(torch.get_rng_state(), after)
        for name, value in expected.state_dict().items():
            assert torch.equal(found.state_dict()[name], value), name
    for name, buffer in expected.named_buffers():
        assert torch.equal(found.get_buffer(name), buffer), name
    assert len(list(found.parameters())) == len(list(expected.parameters()))


class Bare(nn.Module):
    def __init__(self, persistent: bool = True) -> None:
        super().__init__()
        self.own = nn.Parameter(torch.ones(2))
        self.register_buffer("steps", torch.ones(2), persistent=persistent)


def test_layers_that_cannot_fill_themselves_are_named() -> None:
    def build(persistent: bool = True) -> nn.Module:
        with torch.device("meta"):
            return nn.Sequential(nn.Linear(2, 2), Bare(persistent))

    with pytest.raises(MisconfigurationException, match=r"Got \['1: Bare'\]; expected a method `reset_parameters`"):
        materialise(build(), torch.device("cpu"))
    with pytest.warns(UserWarning, match=r"\['Bare'\] have no `reset_parameters`"):
        materialise(build(), torch.device("cpu"), missing="warn")
    loaded = build()
    materialise(loaded, torch.device("cpu"), missing="allow")  # a checkpoint follows
    assert not is_deferred(loaded)
    with pytest.raises(MisconfigurationException, match="1: Bare"):  # which holds no buffer of this kind
        materialise(build(persistent=False), torch.device("cpu"), missing="allow")


def test_what_has_values_keeps_them() -> None:
    with torch.device("meta"):
        deferred = nn.Linear(2, 2)
    given = nn.Linear(2, 2)
    before = given.weight.detach().clone()
    both = nn.Sequential(given, deferred)
    materialise(both, torch.device("cpu"))
    assert torch.equal(given.weight, before)
    assert both[0].weight is given.weight
    assert both[1](torch.ones(1, 2)).isfinite().all()


class Late(LoggingRegression):
    def configure_model(self) -> None:
        if not hasattr(self, "built"):
            self.built = True
            with torch.device("meta"):
                self.net = type(self.net)(*[nn.Linear(p.in_features, p.out_features) if isinstance(p, nn.Linear) else p
                                            for p in self.net])  # fmt: skip


def test_one_process_fills_and_loads_them_too(tmp_path: Path) -> None:
    def make() -> L.Trainer:
        return L.Trainer(accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_progress_bar=False,
                         enable_model_summary=False, enable_checkpointing=False)  # fmt: skip

    first, check = Late(), regression_loader(8, 4)
    trainer = make()
    trainer.fit(first, regression_loader(16, 4))
    trainer.save_checkpoint(tmp_path / "late.ckpt")
    expected = trainer.validate(first, check, verbose=False)
    assert make().validate(Late(), check, ckpt_path=tmp_path / "late.ckpt", verbose=False) == expected


def test_fabric_fills_them() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    torch.manual_seed(1)
    expected = nn.Linear(3, 2)
    torch.manual_seed(1)
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    wrapped = fabric.setup_module(model)
    x: Tensor = torch.ones(1, 3)
    assert torch.equal(wrapped(x), expected(x))
