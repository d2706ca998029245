"""One training step against plain torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.models import (
    LoggingRegression,
    Regression,
    assert_equal_weights,
    bare_sgd,
    make_trainer,
    regression_data,
    regression_loader,
)
from trainer.errors import MisconfigurationException


def test_a_fit_equals_a_plain_torch_loop(tmp_path: Path) -> None:
    ours, bare = Regression(dropout=0.3), Regression(dropout=0.3)
    torch.manual_seed(5)
    bare_sgd(bare, regression_loader(shuffle=True), epochs=3)
    torch.manual_seed(5)
    make_trainer(tmp_path, max_epochs=3).fit(ours, regression_loader(shuffle=True))
    assert_equal_weights(ours, bare)


def test_accumulating_four_batches_equals_one_large_batch(tmp_path: Path) -> None:
    small, large = Regression(), Regression()
    trainer = make_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=4)
    trainer.fit(small, regression_loader(32, 2))
    make_trainer(tmp_path, max_epochs=2).fit(large, regression_loader(32, 8))
    assert trainer.global_step == 8
    for one, other in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(one, other)


class Unit(Regression):
    """One weight whose gradient is 1 in every batch, so that an SGD step shows how the loss was scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight * 1.0

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        assert self.weight.grad is not None
        self.seen.append(self.weight.grad.item())


@pytest.mark.parametrize("sized", [True, False])
def test_the_last_window_is_scaled_by_what_it_holds(tmp_path: Path, sized: bool) -> None:
    batches = regression_loader(24, 4)
    loader = batches if sized else iter_only(batches)
    model = Unit()
    trainer = make_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=4)
    trainer.fit(model, loader)
    assert model.seen == pytest.approx([1.0, 1.0, 1.0, 1.0])  # windows of 4 and 2 batches, twice
    assert trainer.global_step == 4


def iter_only(loader: Any) -> Any:
    class Endless:
        def __iter__(self) -> Any:
            return iter(loader)

    return Endless()


@pytest.mark.parametrize(("algorithm", "expected"), [("norm", [0.3, 0.4]), ("value", [0.5, 0.5])])
def test_gradients_are_clipped_before_the_step(tmp_path: Path, algorithm: str, expected: list[float]) -> None:
    class Fixed(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return (self.weight * torch.tensor([3.0, 4.0])).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1.0)

    model = Fixed()
    make_trainer(tmp_path, max_steps=1, gradient_clip_val=0.5, gradient_clip_algorithm=algorithm).fit(
        model, regression_loader()
    )
    torch.testing.assert_close(-model.weight, torch.tensor(expected))


def test_none_from_training_step_skips_the_batch(tmp_path: Path) -> None:
    class Sometimes(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
            return None if batch_idx % 2 else self.loss(batch)

    ours, bare = Sometimes(), Regression()
    make_trainer(tmp_path, max_epochs=1).fit(ours, regression_loader())
    optimizer = torch.optim.SGD(bare.parameters(), lr=bare.lr)
    for index, batch in enumerate(regression_loader()):
        if index % 2 == 0:
            optimizer.zero_grad()
            bare.loss(batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert_equal_weights(ours, bare)


def test_a_dict_needs_a_loss(tmp_path: Path) -> None:
    class Wrong(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return {"lost": self.loss(batch)}

    with pytest.raises(MisconfigurationException, match=r"returned no loss. Got \['lost'\]; expected a tensor"):
        make_trainer(tmp_path, max_epochs=1).fit(Wrong(), regression_loader())


def test_a_step_may_take_the_batch_alone(tmp_path: Path) -> None:
    class Short(Regression):
        def training_step(self, batch: Any) -> Any:  # type: ignore[override]
            return {"loss": self.loss(batch)}

    ours, bare = Short(), Regression()
    make_trainer(tmp_path, max_epochs=1).fit(ours, regression_loader())
    bare_sgd(bare, regression_loader(), 1)
    assert_equal_weights(ours, bare)


def test_a_written_optimizer_step_gets_the_closure(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []

    class Own(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            calls.append((epoch, batch_idx))
            optimizer.step(closure=optimizer_closure)

    ours, bare = Own(), Regression()
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(ours, regression_loader(8, 4))
    bare_sgd(bare, regression_loader(8, 4), 2)
    assert calls == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert trainer.global_step == 4
    assert_equal_weights(ours, bare)


def test_an_optimizer_that_evaluates_again_gets_its_closure(tmp_path: Path) -> None:
    class Newton(Regression):
        evaluations = 0

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.evaluations += 1
            return self.loss(batch)

        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.5, max_iter=4)

    model = Newton()
    before = model.loss(regression_data()[:]).item()
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(model, regression_loader(24, 24))
    assert model.evaluations > trainer.global_step == 2
    assert model.loss(regression_data()[:]).item() < before / 2


def test_manual_optimisation_steps_two_optimizers(tmp_path: Path) -> None:
    class Pair(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            first, second = self.optimizers()
            for optimizer in (first, second):
                with self.toggled_optimizer(optimizer):
                    loss = self.loss(batch)
                    optimizer.zero_grad()
                    self.manual_backward(loss)
                    self.clip_gradients(optimizer, gradient_clip_val=10.0)
                    optimizer.step()

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.net[i].parameters(), lr=0.05) for i in (0, 3)]

    ours, bare = Pair(), Regression()
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(ours, regression_loader())
    assert trainer.global_step == 12
    assert all(parameter.requires_grad for parameter in ours.parameters())
    for batch in regression_loader():
        for index in (0, 3):
            gradients = torch.autograd.grad(bare.loss(batch), list(bare.net[index].parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(bare.net[index].parameters(), gradients, strict=True):
                    parameter.sub_(0.05 * gradient)
    for one, other in zip(ours.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_fit_without_an_optimizer_runs_the_steps(tmp_path: Path) -> None:
    class Watching(Regression):
        seen = 0

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.seen += 1

        def configure_optimizers(self) -> None:
            return None

    model = Watching()
    make_trainer(tmp_path, max_epochs=1).fit(model, regression_loader())
    assert model.seen == 6


def test_outputs_reach_on_train_batch_end_without_their_graph(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watching(Regression):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(outputs)

    make_trainer(tmp_path, max_steps=1).fit(Watching(), regression_loader())
    bare = Regression().loss(next(iter(regression_loader())))
    assert seen[0].keys() == {"loss"}
    assert not seen[0]["loss"].requires_grad
    torch.testing.assert_close(seen[0]["loss"], bare.detach())


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_number_formats_train(tmp_path: Path, precision: str) -> None:
    inside: list[torch.dtype] = []

    class Watching(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            inside.append(self.net(batch[0]).dtype)
            return self.loss(batch)

    model = Watching()
    make_trainer(tmp_path, max_epochs=3, precision=precision).fit(model, regression_loader())
    expected = torch.float64 if precision == "64-true" else torch.bfloat16
    assert set(inside) == {expected}
    parameter = next(model.parameters()).dtype
    assert parameter == {"bf16-mixed": torch.float32}.get(precision, expected)
    assert torch.get_default_dtype() == torch.float32
    if precision == "64-true":
        bare = Regression().double()
        batches = [(x.double(), y.double()) for x, y in regression_loader()]
        bare_sgd(bare, batches, 3)  # type: ignore[arg-type]
        assert_equal_weights(model, bare)


@pytest.mark.parametrize("watched", [False, True])
def test_gradients_are_cleared_after_the_step_only_where_somebody_watches(tmp_path: Path, watched: bool) -> None:
    seen: list[bool] = []

    class Looking(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            seen.append(self.first.weight.grad is not None)
            return self.loss(batch)

    model = Looking()
    if watched:
        model.on_before_zero_grad = lambda optimizer: None  # type: ignore[method-assign]
    make_trainer(tmp_path, max_steps=2).fit(model, regression_loader())
    assert seen == [False, watched]


def test_a_written_optimizer_step_sees_the_count_before_its_step(tmp_path: Path) -> None:
    counts: list[int] = []

    class Warming(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            optimizer.step(closure=optimizer_closure)
            counts.append(self.trainer.global_step)

    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Warming(), regression_loader(12, 4))
    assert counts == [0, 1, 2]
    assert trainer.global_step == 3


def test_max_steps_ends_a_fit_without_an_optimizer(tmp_path: Path) -> None:
    class Still(Regression):
        def configure_optimizers(self) -> None:
            return None

    trainer = make_trainer(tmp_path, max_steps=5)
    trainer.fit(Still(), regression_loader(12, 4))
    assert trainer.global_step == 5


@pytest.mark.parametrize(("automatic", "window", "kept"), [(True, 1, False), (True, 2, True), (False, 1, True)])
def test_gradients_are_cleared_for_validation_where_nobody_needs_them(
    tmp_path: Path, automatic: bool, window: int, kept: bool
) -> None:
    found: list[bool] = []

    class Watching(LoggingRegression):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = self.loss(batch)
            if not automatic:
                self.manual_backward(loss)
            return loss

        def on_validation_start(self) -> None:
            if not self.trainer.sanity_checking:
                found.append(self.first.weight.grad is not None)

    model = Watching()
    model.automatic_optimization = automatic
    options = {"val_check_interval": 1, "limit_train_batches": 2, "accumulate_grad_batches": window}
    make_trainer(tmp_path, max_epochs=1, **options).fit(model, regression_loader(8, 4), regression_loader(4, 4))
    assert found[0] is kept
