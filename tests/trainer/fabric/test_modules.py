"""A LightningModule under Fabric: the Trainer's numbers, and its methods' ways to Fabric."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import trainer as L


class Kept(L.loggers.Logger):
    """Keeps rows."""

    name = version = "kept"

    def __init__(self) -> None:
        self.rows: list[tuple[dict[str, float], int | None]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((dict(metrics), step))

    def log_hyperparams(self, params: Any) -> None:
        pass


class Net(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.losses: list[float] = []
        self.ended: list[int] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.losses.append(loss.item())
        self.log("loss", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.ended.append(self.global_rank)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> DataLoader[Any]:
    source = torch.Generator().manual_seed(5)
    rows = TensorDataset(torch.randn(24, 4, generator=source), torch.randn(24, 1, generator=source))
    return DataLoader(rows, batch_size=4)


def weights(module: nn.Module) -> list[float]:
    return [value for parameter in module.parameters() for value in parameter.flatten().tolist()]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "64-true"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_loop_with_fabric_has_the_trainers_numbers(precision: str, accumulate: int) -> None:
    expected = Net()
    L.Trainer(
        accelerator="cpu", devices=1, max_epochs=2, precision=precision, accumulate_grad_batches=accumulate,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(expected, loader())  # fmt: skip
    own = L.Fabric(accelerator="cpu", devices=1, precision=precision)
    module = Net()
    model, optimizer = own.setup(module, module.configure_optimizers())
    batches = own.setup_dataloaders(loader())
    for _ in range(2):
        for index, batch in enumerate(batches):
            steps = (index + 1) % accumulate == 0
            with own.no_backward_sync(model, enabled=not steps):
                own.backward(model.training_step(batch, index) / accumulate)
            if steps:
                optimizer.step()
                optimizer.zero_grad()
    if precision != "64-true":  # under Fabric floating outputs, so losses too, have the default type
        assert module.losses == expected.losses
    assert weights(module) == pytest.approx(weights(expected), abs=0 if precision != "64-true" else 1e-6)


def _loop(own: L.Fabric) -> list[float]:
    """Train two epochs with windows of three batches; return the weights."""
    module = Net()
    model, optimizer = own.setup(module, module.configure_optimizers())
    batches = own.setup_dataloaders(loader())
    for _ in range(2):
        for index, batch in enumerate(batches):
            steps = (index + 1) % 3 == 0
            with own.no_backward_sync(model, enabled=not steps):
                own.backward(model.training_step(batch, index) / 3)
            if steps:
                optimizer.step()
                optimizer.zero_grad()
    return weights(module)


@pytest.mark.multiprocess
def test_two_processes_of_fabric_have_the_numbers_of_two_of_the_trainer() -> None:
    module = Net()
    L.Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", max_epochs=2, accumulate_grad_batches=3, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(module, loader())  # fmt: skip
    found = L.Fabric(accelerator="cpu", devices=2, strategy="ddp_fork").launch(_loop)
    assert found == pytest.approx(weights(module), abs=1e-7)
    assert found != pytest.approx(weights(Net()), abs=1e-2)


def test_what_a_module_logs_goes_to_fabrics_loggers() -> None:
    one, two = Kept(), Kept()
    own = L.Fabric(accelerator="cpu", devices=1, loggers=[one, two])
    module = Net()
    assert module.fabric is None
    own.setup(module, module.configure_optimizers())
    assert module.fabric is own
    module.log("a", torch.tensor(2.0), prog_bar=True, on_epoch=True, batch_size=3)
    module.log_dict({"b": 1, "c": torch.tensor(3)})
    module.log("d", 4.0, logger=False)
    assert one.rows == two.rows == [({"a": 2.0}, None), ({"b": 1, "c": 3}, None)]
    assert (module.logger, module.loggers) == (one, [one, two])
    with pytest.raises(ValueError, match="Got a dict; expected a number"):
        module.log_dict({"nested": {"e": 1}})
    with pytest.raises(ValueError, match="Got a str"):
        module.log("word", "five")


def test_a_module_reaches_fabric_in_the_trainers_place(capsys: pytest.CaptureFixture[str]) -> None:
    own = L.Fabric(accelerator="cpu", devices=1)
    module = Net()
    model, optimizer = own.setup(module, module.configure_optimizers())
    assert module.trainer.world_size == 1
    assert module.trainer.global_rank == module.global_rank == module.local_rank == 0
    with pytest.raises(AttributeError, match=r"`self.trainer.max_epochs`, which is not available .* Fabric"):
        _ = module.trainer.max_epochs
    assert module.optimizers() is optimizer
    module.print("hello")
    assert capsys.readouterr().out == "hello\n"
    assert torch.equal(module.all_gather(torch.tensor([1.0])), torch.tensor([1.0]))
    loss = model.training_step(next(iter(loader())), 0)
    module.manual_backward(2 * loss)
    doubled = [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]
    optimizer.zero_grad()
    own.backward(model.training_step(next(iter(loader())), 0))
    torch.testing.assert_close([2 * p.grad for p in module.parameters() if p.grad is not None], doubled)
    module.clip_gradients(optimizer, gradient_clip_val=1e-3, gradient_clip_algorithm="norm")
    total = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).norm()
    assert total.item() == pytest.approx(1e-3, rel=1e-3)
    module.clip_gradients(optimizer, gradient_clip_val=1e-5, gradient_clip_algorithm="value")
    assert all(p.grad.abs().max() <= 1e-5 for p in module.parameters() if p.grad is not None)
    with module.toggled_optimizer(optimizer):
        assert all(parameter.requires_grad for parameter in module.parameters())


def test_hooks_of_a_module_are_called_as_callbacks() -> None:
    module = Net()
    own = L.Fabric(accelerator="cpu", devices=1, callbacks=[module])
    own.setup(module, module.configure_optimizers())
    own.call("on_train_epoch_end")
    assert module.ended == [0]


def test_modules_inside_and_two_models() -> None:
    class Outer(Net):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Net()

    outer = Outer()
    own = L.Fabric(accelerator="cpu", devices=1)
    own.setup_module(outer)
    assert outer.inner.fabric is own
    assert outer.optimizers() == []


def test_outside_both_nothing_changes() -> None:
    module = Net()
    with pytest.raises(RuntimeError, match="is not attached to a Trainer"):
        _ = module.trainer
    assert (module.logger, module.loggers, module.global_rank) == (None, [], 0)


def test_numbers_are_those_of_a_module_under_lightnings_fabric() -> None:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed beside")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = lightning.Fabric(accelerator="cpu", devices=1)
    losses = []
    for fabric, base in (
        (L.Fabric(accelerator="cpu", devices=1), L.LightningModule),
        (other, lightning.LightningModule),
    ):

        class Own(base):  # type: ignore[misc,valid-type]  # one of two bases
            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(3)
                self.net = nn.Linear(4, 1)

            def training_step(self, batch: Any, batch_idx: int) -> Tensor:
                optimizer = self.optimizers()
                loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
                optimizer.zero_grad()
                self.manual_backward(loss)
                self.clip_gradients(optimizer, 0.5, "norm")
                optimizer.step()
                return loss.detach()

        module = Own()
        model, _ = fabric.setup(module, torch.optim.Adam(module.parameters(), lr=0.1))
        losses.append([model.training_step(batch, index).item() for index, batch in enumerate(loader())])
    assert losses[0] == losses[1]
