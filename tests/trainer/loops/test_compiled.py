"""Whole compiled models, and activations that are computed again."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainer.models import LoggingRegression, Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.errors import MisconfigurationException
from trainer.utilities.activation_checkpointing import checkpoint_activations


@pytest.fixture
def _quiet_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler warns of torch's own deprecations
        yield
    torch._dynamo.reset()  # compiled graphs keep tensors


@pytest.mark.usefixtures("_quiet_compiler")
def test_a_compiled_model_trains_and_logs_as_the_model_itself(tmp_path: Path) -> None:
    graphs: list[int] = []

    def backend(graph: Any, example: Any) -> Any:
        graphs.append(len(list(graph.graph.nodes)))
        return graph.forward

    plain, inner = LoggingRegression(), LoggingRegression()
    one, other = make_trainer(tmp_path, max_epochs=2), make_trainer(tmp_path, max_epochs=2)
    one.fit(plain, regression_loader(), regression_loader(8))
    model: Any = torch.compile(inner, backend=backend)
    other.fit(model, regression_loader(), regression_loader(8))
    assert len(graphs) >= 2  # the training step and the validation step
    assert_equal_weights(plain, inner)
    assert other.lightning_module is inner
    for name in ("train_loss_epoch", "train_loss_step", "val_loss"):
        assert other.callback_metrics[name] == one.callback_metrics[name], name
    assert other.predict(model, regression_loader(8))[0].shape == (4, 1)  # type: ignore[index]  # a list
    assert not {"training_step", "log"} & set(vars(inner))  # the model is as it was
    copy.deepcopy(inner)
    other.save_checkpoint(tmp_path / "a.ckpt")
    assert_equal_weights(LoggingRegression.load_from_checkpoint(tmp_path / "a.ckpt"), plain)


@pytest.mark.usefixtures("_quiet_compiler")
def test_a_compiled_model_needs_no_steps_it_does_not_use(tmp_path: Path) -> None:
    model: Any = torch.compile(Regression(), backend="eager")
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, regression_loader())
    with pytest.raises(MisconfigurationException, match="no `validation_step`"):
        trainer.validate(model, regression_loader())


class Deep(Regression):
    def __init__(self, saves: bool) -> None:
        super().__init__(dropout=0.5)
        self.runs = 0
        self.net[1] = nn.Sequential(nn.Tanh(), nn.Dropout(0.5))
        self.net[1][0].register_forward_hook(self.count)  # type: ignore[index]  # a Sequential
        self.found = checkpoint_activations(self, nn.Sequential) if saves else 0

    def count(self, *arguments: Any) -> None:
        self.runs += 1


def test_checkpointed_activations_change_no_number(tmp_path: Path) -> None:
    torch.manual_seed(1)
    plain, saving = Deep(saves=False), Deep(saves=True)
    for model in (plain, saving):
        torch.manual_seed(2)
        make_trainer(tmp_path, max_epochs=1).fit(model, regression_loader())
    assert saving.found == 1  # the outer Sequential; the inner one is inside it
    assert_equal_weights(plain, saving)
    assert (plain.runs, saving.runs) == (6, 12)  # once more in each backward pass
    saving.eval()
    saving(torch.zeros(1, 4))
    assert saving.runs == 13


def test_parts_may_be_chosen_by_a_function() -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 3)])
    assert checkpoint_activations(model, lambda part: isinstance(part, nn.Linear) and part.out_features == 3) == 1
    inputs = torch.ones(1, 2, requires_grad=True)
    output: Tensor = model[1](inputs)
    output.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert inputs.grad is not None
    with pytest.raises(MisconfigurationException, match=r"nothing to checkpoint.*'Linear', 'ModuleList'"):
        checkpoint_activations(model, nn.Conv1d)


def test_steps_that_fetch_their_batches_are_refused(tmp_path: Path) -> None:
    class Fetching(Regression):
        def training_step(self, dataloader_iter: Any) -> Any:  # type: ignore[override]
            return self.loss(next(dataloader_iter))

    with pytest.raises(MisconfigurationException, match="asks for the iterator of its loader"):
        make_trainer(tmp_path).fit(Fetching(), regression_loader())
