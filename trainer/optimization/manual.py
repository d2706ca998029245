"""The optimizer as user code sees it: stepping it runs the hooks and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from trainer.loops.hooks import bind

if TYPE_CHECKING:
    from trainer.trainer import Trainer


class LightningOptimizer:
    """Stands before a torch optimizer; everything but `step` is the optimizer's own.

    Args:
        optimizer: the torch optimizer.
        trainer: the trainer of the run.
        clip: what to do between the hooks and the step, under automatic optimisation.
        counts: count each step in `global_step` at once; otherwise `take_steps` is asked for them.
    """

    def __init__(
        self, optimizer: Optimizer, trainer: Trainer, clip: Callable[[], None] | None = None, *, counts: bool = True
    ) -> None:
        self._optimizer = optimizer
        self._trainer = trainer
        self._clip = clip
        self._counts = counts
        self._steps = 0
        self._before_step = bind(trainer, "on_before_optimizer_step")

    @property
    def optimizer(self) -> Optimizer:
        """Return the torch optimizer."""
        return self._optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's parameter groups."""
        return self._optimizer.param_groups

    # Users' code and torch's schedulers ask whether they have an optimizer: it is one of the kind it stands before.
    @property  # type: ignore[misc]  # it may not be set
    def __class__(self) -> type:
        optimizer = self.__dict__.get("_optimizer")
        return LightningOptimizer if optimizer is None else type(optimizer)

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (), self.__dict__

    def __getattr__(self, name: str) -> Any:
        if name == "_optimizer" or name.startswith("__"):
            raise AttributeError(name)  # not there yet, while a copy is made
        return getattr(self._optimizer, name)

    def step(self, closure: Callable[[], Any] | None = None, **options: Any) -> Any:
        """Step the optimizer: the closure first, then the hooks and clipping, then the update."""
        scaler, plugin = self._trainer.scaler, self._trainer.precision_options.plugin
        if plugin is not None:
            # It runs the hooks and clips itself.
            result = plugin.optimizer_step(
                self._optimizer,
                model=self._trainer.lightning_module,
                closure=closure if closure is not None else _nothing,
                **options,
            )
        elif scaler is not None:
            result = None if closure is None else closure()
            scaler.unscale_(self._optimizer)
            self._prepare()
            scaler.step(self._optimizer, **options)
            scaler.update()
        elif closure is None:
            self._prepare()
            result = self._optimizer.step(**options)
        else:
            result = self._optimizer.step(closure=self._prepared(closure), **options)
        if self._counts:
            self._trainer.train_state.global_step += 1
        else:
            self._steps += 1
        return result

    def take_steps(self) -> int:
        """Return the steps since the last call that were not counted in `global_step`."""
        steps, self._steps = self._steps, 0
        return steps

    def _prepared(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            loss = closure()
            self._prepare()
            return loss

        return run

    def _prepare(self) -> None:
        for hook in self._before_step:
            hook(self._optimizer)
        if self._clip is not None:
            self._clip()

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Let only this optimizer's parameters require gradients inside the block."""
        module = self._trainer.lightning_module
        self._trainer.strategy.set_gradient_sync(sync_grad)
        module.toggle_optimizer(self)
        try:
            yield
        finally:
            module.untoggle_optimizer(self)
            self._trainer.strategy.set_gradient_sync(True)


def _blank() -> LightningOptimizer:
    """Return an optimizer that is still to be filled, for copies."""
    return LightningOptimizer.__new__(LightningOptimizer)


def _nothing() -> None:
    """Stand in for a closure where the user's code ran everything already."""
