"""What Fabric gives back behaves as what it was given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainer as L
from trainer.fabric.wrappers import _FabricModule, _FabricOptimizer, is_wrapped, unwrap


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.factor = 2.0

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.layer(x) * scale  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def loss(self, x: Tensor) -> Tensor:
        return self(x).sum()  # type: ignore[no-any-return]  # as above

    def plain(self) -> float:
        return self.factor


def setup(model: nn.Module, precision: str = "32-true") -> Any:
    return L.Fabric(accelerator="cpu", devices=1, precision=precision).setup(model)


def test_attributes_are_the_module_s_own() -> None:
    model = Net()
    wrapped = setup(model)
    assert isinstance(wrapped, _FabricModule)
    assert wrapped.layer is model.layer
    assert wrapped.factor == 2.0
    wrapped.factor = 3.0
    wrapped.added = "x"
    assert (model.factor, vars(model)["added"]) == (3.0, "x")
    assert wrapped.plain() == 3.0
    wrapped.layer = nn.Linear(2, 3)
    assert wrapped(torch.ones(1, 2)).shape == (1, 3)
    with pytest.raises(AttributeError, match="nothing"):
        _ = wrapped.nothing


def test_states_have_no_prefix() -> None:
    model = Net()
    wrapped = setup(model)
    assert list(wrapped.state_dict()) == ["layer.weight", "layer.bias"]
    other = setup(Net())
    other.load_state_dict(wrapped.state_dict())
    assert torch.equal(other.layer.weight, model.layer.weight)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})
    other.load_state_dict({}, strict=False)
    assert [id(p) for p in wrapped.parameters()] == [id(p) for p in model.parameters()]
    wrapped.eval()
    assert not model.layer.training


def test_methods_run_in_the_precision_when_they_are_marked() -> None:
    model = Net()
    wrapped = setup(model, "bf16-true")
    assert model.layer.weight.dtype == torch.bfloat16
    with pytest.raises(RuntimeError, match="dtype"):
        wrapped.loss(torch.ones(1, 2))
    wrapped.mark_forward_method(wrapped.loss)
    assert wrapped.loss(torch.ones(1, 2)).dtype == torch.float32
    assert wrapped.loss(torch.ones(1, 2)).dtype == torch.float32  # the forward of the module is its own again
    assert "forward" not in model.__dict__
    wrapped.mark_forward_method("plain")
    with pytest.raises(ValueError, match="forward method itself"):
        wrapped.mark_forward_method("forward")
    with pytest.raises(TypeError, match="Expected a method or a string, but got: int"):
        wrapped.mark_forward_method(3)
    with pytest.raises(AttributeError, match="You marked 'other' as a forward method"):
        wrapped.mark_forward_method("other")


def test_a_failing_method_leaves_forward_as_it_was() -> None:
    class Failing(Net):
        def training_step(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError

    model = Failing()
    wrapped = setup(model, "bf16-mixed")
    with pytest.raises(ZeroDivisionError):
        wrapped.training_step(torch.ones(1, 2))
    assert wrapped(torch.ones(1, 2)).shape == (1, 2)


def test_the_optimizer_is_one_of_its_class() -> None:
    model = Net()
    own = L.Fabric(accelerator="cpu", devices=1)
    plain = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    wrapped: Any = own.setup_optimizers(plain)
    assert isinstance(wrapped, torch.optim.SGD)
    assert isinstance(wrapped, _FabricOptimizer)
    assert type(wrapped).__name__ == "FabricSGD"
    assert wrapped.optimizer is plain
    assert wrapped.param_groups is plain.param_groups
    schedule = torch.optim.lr_scheduler.StepLR(wrapped, step_size=1, gamma=0.1)
    model(torch.ones(1, 2)).sum().backward()
    before = model.layer.bias.detach().clone()
    wrapped.step()
    schedule.step()
    torch.testing.assert_close(model.layer.bias.detach(), before - 0.5)  # the gradient of a sum is one
    assert plain.param_groups[0]["lr"] == pytest.approx(0.05)
    wrapped.zero_grad()
    assert model.layer.bias.grad is None
    state = copy.deepcopy(wrapped.state_dict())
    assert state["state"][1]["momentum_buffer"].tolist() == [1.0, 1.0]
    wrapped.load_state_dict(state)
    wrapped.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
    assert len(plain.param_groups) == 2


def test_a_closure_is_run_and_its_loss_returned() -> None:
    model = nn.Linear(1, 1)
    own = L.Fabric(accelerator="cpu", devices=1)
    model, optimizer = own.setup(model, torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=20))
    features = torch.linspace(-1, 1, 9).unsqueeze(1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(features), 3.0 * features + 1.0)
        own.backward(loss)
        return loss

    first = optimizer.step(closure).item()
    for _ in range(5):
        last = optimizer.step(closure).item()
    assert last < 1e-6 < first
    assert model.weight.item() == pytest.approx(3.0, abs=1e-3)


def test_a_compiled_module_stays_compiled() -> None:
    compiled = torch.compile(Net(), backend="eager")
    wrapped = setup(compiled)  # type: ignore[arg-type]  # torch.compile of a module is a module
    assert is_wrapped(wrapped)
    assert isinstance(wrapped.module, Net)
    assert list(wrapped.state_dict()) == ["layer.weight", "layer.bias"]
    assert wrapped(torch.ones(1, 2)).shape == (1, 2)


def test_unwrapping_looks_into_collections() -> None:
    model = Net()
    own = L.Fabric(accelerator="cpu", devices=1)
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapped, optimizer = own.setup(model, plain)
    assert unwrap({"a": [wrapped, 3], "b": (optimizer,)}) == {"a": [model, 3], "b": (plain,)}
    assert not is_wrapped(model)
    assert not is_wrapped(plain)
