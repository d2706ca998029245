"""Fabric in one process: the numbers of a plain loop and of the Trainer, and what it refuses."""

from __future__ import annotations

import os
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import trainer as L
from trainer.errors import MisconfigurationException
from trainer.fabric import is_wrapped


def fabric(**arguments: Any) -> L.Fabric:
    return L.Fabric(accelerator="cpu", devices=1, **arguments)


def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))


def loader(**arguments: Any) -> DataLoader[Any]:
    source = torch.Generator().manual_seed(5)
    data = TensorDataset(torch.randn(22, 4, generator=source), torch.randn(22, 1, generator=source))
    return DataLoader(data, batch_size=4, shuffle=True, **arguments)


def by_hand(model: nn.Module, epochs: int, max_norm: float) -> list[float]:
    """Train with torch alone."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    batches = loader()
    torch.manual_seed(11)
    for _ in range(epochs):
        for features, target in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), target)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            losses.append(loss.item())
    return losses


def with_fabric(model: nn.Module, epochs: int, max_norm: float, **arguments: Any) -> list[float]:
    own = fabric(**arguments)
    model, optimizer = own.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
    losses = []
    batches = own.setup_dataloaders(loader())
    torch.manual_seed(11)
    for _ in range(epochs):
        for features, target in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), target)
            own.backward(loss)
            own.clip_gradients(model, optimizer, max_norm=max_norm)
            optimizer.step()
            losses.append(loss.item())
    return losses


class Module(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()
        self.losses: list[float] = []

    def on_train_start(self) -> None:
        torch.manual_seed(11)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.02)


def test_a_loop_a_fabric_and_a_trainer_have_the_same_numbers() -> None:
    expected = by_hand(net(), 3, max_norm=0.5)
    assert with_fabric(net(), 3, max_norm=0.5) == expected
    module = Module()
    L.Trainer(
        accelerator="cpu", devices=1, max_epochs=3, gradient_clip_val=0.5, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(module, loader())  # fmt: skip
    assert module.losses == expected


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precisions_are_those_of_torch_written_out(precision: str) -> None:
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    plain = nn.Linear(4, 2)
    plain.load_state_dict(weights := {"weight": torch.full((2, 4), 0.3), "bias": torch.tensor([0.1, -0.2])})
    if precision == "bf16-mixed":
        with torch.autocast("cpu", torch.bfloat16):
            expected = plain(features).float()
    else:
        dtype = torch.bfloat16 if precision == "bf16-true" else torch.float64
        expected = plain.to(dtype)(features.to(dtype)).float()
    model = nn.Linear(4, 2)
    model.load_state_dict(weights)
    own = fabric(precision=precision)
    wrapped = own.setup(model)
    found = wrapped(features)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    assert (
        wrapped.dtype == {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}[precision]
    )
    with own.init_tensor():
        made = torch.zeros(2)
    assert made.dtype == (torch.float32 if precision == "bf16-mixed" else wrapped.dtype)
    assert torch.zeros(2).dtype == torch.float32


def test_what_is_given_back() -> None:
    own = fabric()
    model = net()
    first = torch.optim.SGD(model.parameters(), lr=0.1)
    second = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(first, 1)
    found = own.setup(model, first, second, scheduler=schedule)
    assert [is_wrapped(one) for one in found] == [True, True, True, False]
    assert found[0].module is model
    assert found[3] is schedule
    assert isinstance(own.setup(net()), nn.Module)
    one, two = own.setup_dataloaders(loader(), loader())
    assert len(one) == len(two) == 6
    assert one.batch_size == 4
    assert one.device == torch.device("cpu")
    assert own.setup_dataloaders(loader(), move_to_device=False).device is None
    alone = own.setup_optimizers(torch.optim.SGD(model.parameters(), lr=0.1))
    assert isinstance(alone, torch.optim.SGD)
    assert len(own.setup_optimizers(first, second)) == 2


def test_nothing_is_set_up_twice() -> None:
    own = fabric()
    model = net()
    wrapped, optimizer = own.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
    batches = own.setup_dataloaders(loader())
    with pytest.raises(ValueError, match="model should be passed only once to the `setup` method"):
        own.setup(wrapped)
    with pytest.raises(ValueError, match="model should be passed only once to the `setup_module` method"):
        own.setup_module(wrapped)
    with pytest.raises(ValueError, match="optimizer should be passed only once to the `setup` method"):
        own.setup(net(), optimizer)
    with pytest.raises(ValueError, match="optimizer should be passed only once to the `setup_optimizers` method"):
        own.setup_optimizers(optimizer)
    with pytest.raises(ValueError, match="dataloader should be passed only once"):
        own.setup_dataloaders(batches)
    with pytest.raises(ValueError, match="requires at least one dataloader"):
        own.setup_dataloaders()
    with pytest.raises(ValueError, match="requires at least one optimizer"):
        own.setup_optimizers()
    with pytest.raises(TypeError, match="Only PyTorch DataLoader"):
        own.setup_dataloaders([1, 2])  # type: ignore[arg-type]  # that is what is refused
    with torch.device("meta"):
        empty = nn.Linear(2, 2)
    with pytest.raises(RuntimeError, match="meta device"):
        own.setup_optimizers(torch.optim.SGD(empty.parameters(), lr=0.1))
    with pytest.raises(MisconfigurationException, match="takes no `plugins`"):
        fabric(plugins=[object()])
    with pytest.raises(MisconfigurationException, match="`precision` is not supported"):
        fabric(precision="8-bit")


def test_clipping() -> None:
    own = fabric()
    model = nn.Linear(2, 1, bias=False)
    wrapped, optimizer = own.setup(model, torch.optim.SGD(model.parameters(), lr=1.0))

    def set_gradient() -> None:
        model.weight.grad = torch.tensor([[3.0, -4.0]])

    set_gradient()
    assert own.clip_gradients(wrapped, optimizer, max_norm=1.0) == pytest.approx(5.0)  # 3, 4, 5
    assert model.weight.grad is not None
    torch.testing.assert_close(model.weight.grad, torch.tensor([[0.6, -0.8]]))
    set_gradient()
    assert own.clip_gradients(wrapped, optimizer, max_norm=1.0, norm_type=float("inf")) == pytest.approx(4.0)
    set_gradient()
    assert own.clip_gradients(wrapped, optimizer, clip_val=3.5) is None
    torch.testing.assert_close(model.weight.grad, torch.tensor([[3.0, -3.5]]))
    model.weight.grad = torch.tensor([[float("nan"), 1.0]])
    with pytest.raises(RuntimeError, match="non-finite"):
        own.clip_gradients(wrapped, optimizer, max_norm=1.0)
    own.clip_gradients(wrapped, optimizer, max_norm=1.0, error_if_nonfinite=False)
    with pytest.raises(ValueError, match="Only one of"):
        own.clip_gradients(wrapped, optimizer, max_norm=1.0, clip_val=1.0)
    with pytest.raises(ValueError, match="You have to specify either"):
        own.clip_gradients(wrapped, optimizer)


def test_launching_a_function() -> None:
    own = fabric()

    def work(given: L.Fabric, factor: int, shift: int = 0) -> int:
        assert given is own
        return 2 * factor + shift

    assert own.launch(work, 4, shift=1) == 9
    assert own.launch() is None
    assert own.launch() is None
    with pytest.raises(TypeError, match="got 3"):
        own.launch(3)  # type: ignore[arg-type]  # that is what is refused
    with pytest.raises(TypeError, match="takes no argument"):
        own.launch(lambda: None)


def test_a_loop_in_a_subclass() -> None:
    class Own(L.Fabric):
        def run(self, factor: int, shift: int = 0) -> int:
            return self.world_size * factor + shift

    assert Own(accelerator="cpu", devices=1).run(4, shift=1) == 5


def test_several_processes_have_to_be_launched() -> None:
    own = L.Fabric(accelerator="cpu", devices=2, strategy="ddp")
    assert own.world_size == 2
    assert own.global_rank == 0
    for call in (
        lambda: own.setup(net()),
        lambda: own.setup_dataloaders(loader()),
        lambda: own.barrier(),
        lambda: own.broadcast(1),
        lambda: own.all_gather(torch.ones(1)),
    ):
        with pytest.raises(RuntimeError, match=r"Call `fabric.launch\(\)`"):
            call()


def test_exchange_in_one_process_is_the_identity() -> None:
    own = fabric()
    own.barrier()
    assert own.broadcast({"a": [1]}) == {"a": [1]}
    found = own.all_gather({"loss": torch.tensor([1.0, 2.0]), "rows": [3, 4.5]})
    assert torch.equal(found["loss"], torch.tensor([1.0, 2.0]))  # no dimension more
    assert [tensor.item() for tensor in found["rows"]] == [3, 4.5]
    assert own.all_reduce(torch.tensor(3.0)).item() == 3.0
    with own.rank_zero_first():
        pass
    model = own.setup(net())
    with own.no_backward_sync(model):
        model(torch.ones(1, 4)).sum().backward()
    with pytest.raises(TypeError, match="set up the model first"):
        own.no_backward_sync(net())


def test_callbacks_get_the_keywords_they_take() -> None:
    seen: list[Any] = []

    class Narrow:
        def on_end(self, loss: float) -> None:
            seen.append(loss)

    class Wide:
        on_other = 3

        def on_end(self, **keywords: Any) -> None:
            seen.append(keywords)

        def on_after_setup(self, fabric: Any, module: nn.Module) -> None:
            seen.append(is_wrapped(module))

        def on_after_optimizer_step(self, strategy: Any, optimizer: Any) -> None:
            seen.append(type(optimizer))

    own = fabric(callbacks=[Narrow(), Wide()])
    own.call("on_end", loss=0.5, epoch=3)
    assert seen == [0.5, {"loss": 0.5, "epoch": 3}]
    own.call("on_nothing")
    with pytest.warns(UserWarning, match="Wide.on_other` because it is not callable"):
        own.call("on_other")
    seen.clear()
    model = net()
    _, optimizer = own.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
    optimizer.step()
    assert seen == [True, torch.optim.SGD]


def test_values_reach_every_logger() -> None:
    class Kept(L.loggers.Logger):
        def __init__(self) -> None:
            self.rows: list[Any] = []

        @property
        def name(self) -> str:
            return "kept"

        @property
        def version(self) -> int:
            return 0

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            self.rows.append((dict(metrics), step))

    one, two = Kept(), Kept()
    own = fabric(loggers=[one, two])
    assert own.logger is one
    own.log("loss", torch.tensor(0.25, requires_grad=True), step=3)
    own.log_dict({"a": 1, "b": torch.tensor([2.0])})
    assert one.rows == two.rows == [({"loss": 0.25}, 3), ({"a": 1, "b": 2.0}, None)]
    with pytest.raises(ValueError, match="'many' is a tensor of 3 elements"):
        own.log("many", torch.ones(3))


def test_empty_modules_draw_no_random_numbers() -> None:
    own = fabric()
    before = torch.get_rng_state()
    with own.init_module(empty_init=True):
        made = nn.Sequential(nn.Linear(4, 4), nn.Embedding(3, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert [tuple(p.shape) for p in made.parameters()] == [(4, 4), (4,), (3, 2)]
    torch.manual_seed(0)
    with own.init_module():
        one = nn.Linear(4, 4)
    torch.manual_seed(0)
    assert torch.equal(one.weight, nn.Linear(4, 4).weight)


def test_a_user_s_distributed_sampler_gets_the_epoch() -> None:
    data = TensorDataset(torch.arange(8))
    sampler: DistributedSampler[Any] = DistributedSampler(data, num_replicas=1, rank=0, shuffle=True, seed=2)
    batches = fabric().setup_dataloaders(DataLoader(data, batch_size=8, sampler=sampler))
    orders = [next(iter(batches))[0].tolist() for _ in range(2)]
    expected = []
    for epoch in range(2):
        source = torch.Generator().manual_seed(2 + epoch)
        expected.append(torch.randperm(8, generator=source).tolist())
    assert orders == expected


def test_fabric_seeds_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "")
    monkeypatch.setenv("PL_SEED_WORKERS", "0")
    assert L.Fabric.seed_everything(7, verbose=False) == 7
    assert (os.environ["PL_GLOBAL_SEED"], os.environ["PL_SEED_WORKERS"]) == ("7", "1")


def test_sharded_model_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="init_module"), fabric().sharded_model():
        pass


def test_numbers_are_those_of_lightning() -> None:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed beside")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = lightning.Fabric(accelerator="cpu", devices=1)
    model = net()
    model, optimizer = other.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
    batches = other.setup_dataloaders(loader())
    losses = []
    torch.manual_seed(11)
    for _ in range(2):
        for features, target in batches:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), target)
            other.backward(loss)
            other.clip_gradients(model, optimizer, max_norm=0.5)
            optimizer.step()
            losses.append(loss.item())
    assert with_fabric(net(), 2, max_norm=0.5) == losses
    public = {name for name in dir(lightning.Fabric) if not name.startswith("_")}
    assert public <= set(dir(L.Fabric))
