"""The forms of configure_optimizers and the times of schedulers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.errors import MetricNotFoundError, MisconfigurationException
from trainer.optimization.optimizers import read_optimizers

PARAMETERS = [torch.nn.Parameter(torch.zeros(1))]


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD(PARAMETERS, lr=1.0)


def step_lr(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)


def test_every_form_is_read() -> None:
    one, two = sgd(), sgd()
    scheduler = step_lr(one)
    forms: list[tuple[Any, int, int]] = [
        (None, 0, 0),
        (one, 1, 0),
        ([one, two], 2, 0),
        ((one, two), 2, 0),
        (([one], [scheduler]), 1, 1),
        (([one, two], [{"scheduler": scheduler, "interval": "step"}]), 2, 1),
        ({"optimizer": one}, 1, 0),
        ({"optimizer": one, "lr_scheduler": scheduler}, 1, 1),
        ({"optimizer": one, "lr_scheduler": {"scheduler": scheduler, "frequency": 2}}, 1, 1),
        ([{"optimizer": one, "lr_scheduler": scheduler}, {"optimizer": two}], 2, 1),
    ]
    for form, optimizers, schedulers in forms:
        found = read_optimizers(form)
        assert (len(found[0]), len(found[1])) == (optimizers, schedulers), form


def test_defaults_of_schedulers_are_lightnings() -> None:
    optimizer = sgd()
    _, [config] = read_optimizers(([optimizer], [step_lr(optimizer)]))
    assert (config.interval, config.frequency, config.monitor, config.strict) == ("epoch", 1, None, True)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    _, [config] = read_optimizers({"optimizer": optimizer, "lr_scheduler": plateau, "monitor": "loss"})
    assert (config.reduce_on_plateau, config.monitor) == (True, "loss")


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("sgd", "returned something unknown. Got 'sgd'"),
        ({"optimiser": 1}, r"wrong keys. Got \['optimiser'\]"),
        ({"optimizer": 1}, "something else than optimizers"),
        ([sgd(), 1], "returned something unknown"),
        (([sgd()], [{"interval": "step"}]), "Give the scheduler"),
        (([sgd()], [{"scheduler": step_lr(sgd()), "interval": "batch"}]), "'batch'"),
        (([sgd()], [{"scheduler": step_lr(sgd()), "frequency": 0}]), "at least 1"),
        (([sgd()], [torch.optim.lr_scheduler.ReduceLROnPlateau(sgd())]), "no metric to look at"),
    ],
)
def test_what_cannot_be_read_is_refused(form: Any, message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        read_optimizers(form)


def test_keys_that_mean_nothing_are_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match=r"\['frequncy'\]"):
        read_optimizers(([sgd()], [{"scheduler": step_lr(sgd()), "frequncy": 2}]))


def test_several_optimizers_need_manual_optimisation(tmp_path: Path) -> None:
    class Two(Regression):
        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]

    with pytest.raises(MisconfigurationException, match="drives one optimizer"):
        make_trainer(tmp_path, max_epochs=1).fit(Two(), regression_loader())
    manual = Two()
    manual.automatic_optimization = False
    with pytest.raises(MisconfigurationException, match="cannot know when to clip"):
        make_trainer(tmp_path, max_epochs=1, gradient_clip_val=1.0).fit(manual, regression_loader())


def rates(tmp_path: Path, config: dict[str, Any], **options: Any) -> list[float]:
    """Return the learning rate used in each training batch."""
    seen: list[float] = []

    class Scheduled(LoggingRegression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": step_lr(optimizer)} | config}

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            seen.append(self.optimizers().param_groups[0]["lr"])

        def loss(self, batch: Any) -> Any:
            return super().loss(batch) * 0.0

    make_trainer(tmp_path, **({"max_epochs": 3} | options)).fit(Scheduled(), regression_loader(8, 4))
    return seen


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({}, {}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"interval": "step"}, {}, [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
        ({"interval": "step", "frequency": 2}, {}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"interval": "step", "frequency": 3}, {}, [1, 1, 1, 0.5, 0.5, 0.5]),
        ({"frequency": 2}, {}, [1, 1, 1, 1, 0.5, 0.5]),
        ({"interval": "step"}, {"accumulate_grad_batches": 2}, [1, 1, 0.5, 0.5, 0.25, 0.25]),
    ],
)
def test_schedulers_step_after_optimizer_steps_or_epochs(
    tmp_path: Path, config: dict[str, Any], options: dict[str, Any], expected: list[float]
) -> None:
    assert rates(tmp_path, config, **options) == expected


def test_a_frequency_that_never_comes_is_pointed_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="steps every 100 steps, and this fit has 6: it never steps"):
        rates(tmp_path, {"interval": "step", "frequency": 100})


@pytest.mark.parametrize(("monitor", "expected"), [("val_loss", 0.01), ("train_loss_epoch", 0.01)])
def test_a_plateau_scheduler_gets_its_metric_after_the_epoch(tmp_path: Path, monitor: str, expected: float) -> None:
    class Plateau(LoggingRegression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=1e-9)
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5, eps=0.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": monitor}}

    trainer = make_trainer(tmp_path, max_epochs=3)
    trainer.fit(Plateau(), regression_loader(8), regression_loader(8))
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-9 * expected)
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    assert scheduler.last_epoch == 3
    assert scheduler.best == pytest.approx(trainer.callback_metrics[monitor].item(), rel=0.01)


@pytest.mark.parametrize("strict", [True, False])
def test_a_missing_plateau_metric_is_an_error_or_a_warning(tmp_path: Path, strict: bool) -> None:
    class Plateau(LoggingRegression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
            config = {"scheduler": scheduler, "monitor": "vall", "strict": strict}
            return {"optimizer": optimizer, "lr_scheduler": config}

    trainer = make_trainer(tmp_path, max_epochs=1)
    if strict:
        with pytest.raises(MetricNotFoundError, match=r"`vall`.*'train_loss'"):
            trainer.fit(Plateau(), regression_loader(8))
    else:
        with pytest.warns(UserWarning, match="vall"):
            trainer.fit(Plateau(), regression_loader(8))


def test_a_written_scheduler_step_is_used(tmp_path: Path) -> None:
    calls: list[Any] = []

    class Own(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [step_lr(optimizer)]

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            calls.append(metric)
            scheduler.step()

    make_trainer(tmp_path, max_epochs=2).fit(Own(), regression_loader(8))
    assert calls == [None, None]


class Adversaries(Regression):
    """Two optimizers and schedulers under manual optimisation; the schedulers step at the last batch of an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.last: list[bool] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            optimizer.step()
        self.last.append(self.trainer.is_last_batch)
        if self.trainer.is_last_batch:
            for scheduler in self.lr_schedulers():
                scheduler.step()
        return loss.detach()

    def configure_optimizers(self) -> Any:
        optimizers = [torch.optim.SGD(layer.parameters(), lr=1.0) for layer in (self.net[0], self.net[3])]
        return optimizers, [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5) for optimizer in optimizers]


def test_manual_optimisation_steps_its_schedulers_itself(tmp_path: Path) -> None:
    model, trainer = Adversaries(), make_trainer(tmp_path, max_epochs=2)
    trainer.fit(model, regression_loader(12, 4))
    assert model.last == [False, False, True] * 2
    assert [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers] == [0.25, 0.25]
