"""One training batch, from the step to the update: chosen once, before the loop."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.hooks import bind, is_overridden
from trainer.optimization.manual import LightningOptimizer
from trainer.profilers.weave import measures, profiled, strategy_action
from trainer.types import Batch, Hook, StepOutput

if TYPE_CHECKING:
    from trainer.trainer import Trainer

TrainStep: TypeAlias = Callable[[Batch, int, bool], StepOutput]
"""(batch, batch_idx, is_last) -> what the step returned; leaves `window_batches` at 0 when the optimizer stepped."""


def positional_arguments(function: Callable[..., Any], any_number: int) -> int:
    """Return how many positional arguments `function` takes, at most three; `any_number` if it takes *args."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return any_number
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return min(3, sum(parameter.kind in kinds for parameter in parameters))


def refuse_loader_steps(step: Hook, name: str) -> None:
    """Refuse a step that wants to fetch its batches itself.

    Raises:
        MisconfigurationException: it has an argument `dataloader_iter`.
    """
    if "dataloader_iter" in inspect.signature(step).parameters:
        raise MisconfigurationException(
            four_parts(
                f"`{name}` asks for the iterator of its loader.",
                got="the argument `dataloader_iter`",
                expected="`batch` or `batch, batch_idx`",
                remedy="Let the loader's collate function or a CombinedLoader make what one step needs.",
            )
        )


def bind_training_step(trainer: Trainer) -> Hook:
    """Return the training step as `run(batch, batch_idx)`, inside what strategy and precision put around it."""
    module = trainer.lightning_module
    refuse_loader_steps(module.training_step, "training_step")
    step = profiled(trainer, strategy_action(trainer, "training_step"), trainer.strategy.wrap(module))
    if positional_arguments(module.training_step, any_number=2) == 1:
        inner = step
        step = lambda batch, batch_idx: inner(batch)  # noqa: E731 - a one-line adapter
    context = trainer.precision_options.step_context(trainer.strategy.device)
    if context is None:
        return step

    def in_context(batch: Batch, batch_idx: int) -> StepOutput:
        with context():
            return step(batch, batch_idx)  # type: ignore[no-any-return]  # the user's step

    return in_context


def loss_of(output: StepOutput) -> Tensor | None:
    """Return the loss in what a training step returned.

    Raises:
        MisconfigurationException: there is none, and it is not None either.
    """
    if output is None or isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping) and isinstance(output.get("loss"), Tensor):
        loss: Tensor = output["loss"]
        return loss
    raise MisconfigurationException(
        four_parts(
            "`training_step` returned no loss.",
            got=sorted(output) if isinstance(output, Mapping) else type(output).__name__,
            expected='a tensor, a dict with a tensor under "loss", or None',
            remedy="Return the loss, or set `automatic_optimization = False`.",
        )
    )


def build_step(trainer: Trainer, run: Hook, num_batches: float) -> TrainStep:
    """Return the step for this fit: manual, plain automatic, or automatic through a closure.

    Args:
        trainer: the trainer of the run.
        run: the training step, from `bind_training_step`.
        num_batches: batches of an epoch.
    """
    module = trainer.lightning_module
    if not module.automatic_optimization:
        return _manual_step(trainer, run)
    optimizer = trainer.optimizers[0] if trainer.optimizers else None
    backward = _bind_backward(trainer)
    if optimizer is None:
        return _untrained_step(trainer, run)
    clears = _bind_zero_grad(trainer, optimizer)
    clip = _bind_clipping(trainer, optimizer)
    window = trainer.accumulate_grad_batches
    from trainer.module import LightningModule

    written = is_overridden("optimizer_step", module, LightningModule)
    written = written or trainer.precision_options.plugin is not None
    if written or isinstance(optimizer, LBFGS) or trainer.scaler is not None or window > 1:
        guarded = LightningOptimizer(optimizer, trainer, clip, counts=False)
        return _closure_step(trainer, run, clears, backward, guarded, Window(trainer, window, num_batches))
    return _plain_step(trainer, run, clears, backward, optimizer, clip)


def _untrained_step(trainer: Trainer, run: Hook) -> TrainStep:
    """Return the step of a fit without an optimizer; batches count as steps, so that `max_steps` ends it."""
    state = trainer.train_state

    def step(batch: Batch, batch_idx: int, is_last: bool) -> StepOutput:
        output: StepOutput = run(batch, batch_idx)
        state.global_step += 1
        return output

    return step


def _plain_step(
    trainer: Trainer,
    run: Hook,
    clears: tuple[Hook, ...],
    backward: tuple[tuple[Hook, ...], Hook | None, tuple[Hook, ...]],
    optimizer: Optimizer,
    clip: Callable[[], None] | None,
) -> TrainStep:
    """Return the step of most fits: nobody looks between backward and the update but the hooks."""
    state = trainer.train_state
    before_backward, own_backward, after_backward = backward
    before_step = bind(trainer, "on_before_optimizer_step")
    update = profiled(trainer, strategy_action(trainer, "optimizer_step"), optimizer.step)
    # Where nobody watches, gradients are cleared before the step instead of after it: their memory serves the forward
    # pass, which is 1 % faster for an LSTM on a CPU. Seen from outside, `training_step` finds no stale gradients.
    early: tuple[Hook, ...] = ()
    if not _is_clearing_watched(trainer):
        early, clears = clears, ()

    def step(batch: Batch, batch_idx: int, is_last: bool) -> StepOutput:
        for clear in early:
            clear(batch_idx)
        output: StepOutput = run(batch, batch_idx)
        loss = output if type(output) is Tensor else loss_of(output)
        for clear in clears:
            clear(batch_idx)
        if loss is not None:
            for hook in before_backward:
                hook(loss)
            if own_backward is None:
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            else:
                own_backward(loss)
            for hook in after_backward:
                hook()
        for hook in before_step:
            hook(optimizer)
        if clip is not None:
            clip()
        update()
        state.global_step += 1
        return output

    return step


class Window:
    """The batches between two optimizer steps, and how their losses are scaled.

    A window that the end of the epoch cuts short is scaled by what it holds, not by what it could have held.
    """

    def __init__(self, trainer: Trainer, size: int, num_batches: float) -> None:
        self._trainer = trainer
        self._state = trainer.train_state
        self._size = size
        self._num_batches = num_batches

    def scale(self, batch_idx: int) -> int:
        """Return what the loss of this batch is divided by."""
        if math.isinf(self._num_batches):
            return self._size
        start = batch_idx - self._state.window_batches
        return min(self._size, int(self._num_batches) - start)

    def closes(self, is_last: bool) -> bool:
        """Return whether the optimizer steps after this batch."""
        return is_last or self._state.window_batches + 1 >= self._size

    def correct(self, scale: int) -> None:
        """Scale up the gradients of a window that ended before its time, where that could not be known."""
        held = self._state.window_batches + 1
        if held != scale:
            for parameter in self._trainer.lightning_module.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(scale / held)


def _closure_step(
    trainer: Trainer,
    run: Hook,
    clears: tuple[Hook, ...],
    backward: tuple[tuple[Hook, ...], Hook | None, tuple[Hook, ...]],
    optimizer: LightningOptimizer,
    window: Window,
) -> TrainStep:
    """Return the step for accumulation, loss scaling, a written `optimizer_step` and optimizers that re-evaluate."""
    state, strategy, module = trainer.train_state, trainer.strategy, trainer.lightning_module
    before_backward, own_backward, after_backward = backward
    plugin = trainer.precision_options.plugin
    name = f"[LightningModule]{type(module).__name__}.optimizer_step"
    update = profiled(trainer, name, module.optimizer_step)

    def evaluate(batch: Batch, batch_idx: int, closes: bool, outputs: list[StepOutput]) -> Tensor | None:
        output: StepOutput = run(batch, batch_idx)
        loss = loss_of(output)
        if state.window_batches == 0:
            for clear in clears:
                clear(batch_idx)
        scale = window.scale(batch_idx)
        if loss is not None:
            loss = loss / scale if scale != 1 else loss
        if loss is not None and plugin is not None:
            scaled = plugin.pre_backward(loss, module)
            plugin.backward(scaled, module, optimizer)
            plugin.post_backward(scaled, module)
        elif loss is not None:
            for hook in before_backward:
                hook(loss)
            scaled = loss if trainer.scaler is None else trainer.scaler.scale(loss)
            if own_backward is None:
                scaled.backward()
            else:
                own_backward(scaled)
            for hook in after_backward:
                hook()
        if closes:
            window.correct(scale)
        outputs[:] = [{**output, "loss": loss} if isinstance(output, Mapping) else loss]
        return loss

    def step(batch: Batch, batch_idx: int, is_last: bool) -> StepOutput:
        outputs: list[StepOutput] = []
        closes = window.closes(is_last)
        strategy.set_gradient_sync(closes)
        closure = partial(evaluate, batch, batch_idx, closes, outputs)
        if closes:
            update(state.epoch, batch_idx, optimizer, closure)
            if not outputs:
                raise MisconfigurationException(
                    "`optimizer_step` did not run its closure, so there was no training step. Got no call; expected "
                    "one. Pass `optimizer_closure` to `optimizer.step`, or call it."
                )
            state.global_step += optimizer.take_steps()  # a written hook sees the count before its step
            state.window_batches = 0
        else:
            closure()
            state.window_batches += 1
        return outputs[0]

    return step


def _manual_step(trainer: Trainer, run: Hook) -> TrainStep:
    """Return the step for manual optimisation: the user's own code does everything."""

    def step(batch: Batch, batch_idx: int, is_last: bool) -> StepOutput:
        output: StepOutput = run(batch, batch_idx)
        if output is not None and not isinstance(output, Tensor | Mapping):
            raise MisconfigurationException(
                four_parts("`training_step` returned something unknown.", got=type(output).__name__,
                           expected="a tensor, a dict or None", remedy="Return one of them, or nothing.")
            )  # fmt: skip
        return output

    return step


def _bind_backward(trainer: Trainer) -> tuple[tuple[Hook, ...], Hook | None, tuple[Hook, ...]]:
    from trainer.module import LightningModule

    module = trainer.lightning_module
    own: Hook | None = module.backward if is_overridden("backward", module, LightningModule) else None
    if measures(trainer):
        own = profiled(trainer, strategy_action(trainer, "backward"), module.backward)
    return bind(trainer, "on_before_backward"), own, bind(trainer, "on_after_backward")


def _is_clearing_watched(trainer: Trainer) -> bool:
    from trainer.module import LightningModule

    written = is_overridden("optimizer_zero_grad", trainer.lightning_module, LightningModule)
    return written or bool(bind(trainer, "on_before_zero_grad"))


def _bind_zero_grad(trainer: Trainer, optimizer: Optimizer) -> tuple[Hook, ...]:
    from trainer.module import LightningModule

    module, state = trainer.lightning_module, trainer.train_state
    hooks: list[Hook] = [
        partial(lambda hook, batch_idx: hook(optimizer), hook) for hook in bind(trainer, "on_before_zero_grad")
    ]
    if is_overridden("optimizer_zero_grad", module, LightningModule):
        hooks.append(lambda batch_idx: module.optimizer_zero_grad(state.epoch, batch_idx, optimizer))
    else:
        hooks.append(lambda batch_idx: optimizer.zero_grad())
    return tuple(hooks)


def _bind_clipping(trainer: Trainer, optimizer: Optimizer) -> Callable[[], None] | None:
    from trainer.module import LightningModule

    module, options = trainer.lightning_module, trainer.optimisation
    written = any(
        is_overridden(name, module, LightningModule) for name in ("configure_gradient_clipping", "clip_gradients")
    )
    if options.gradient_clip_val is None and not written:
        return None
    return partial(
        module.configure_gradient_clipping,
        optimizer,
        gradient_clip_val=options.gradient_clip_val,
        gradient_clip_algorithm=options.gradient_clip_algorithm,
    )
