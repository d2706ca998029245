"""Steps of the user's module through a pipeline: begun on the first stage, ended on the last one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.steps import loss_of
from trainer.strategies.pipeline.layers import is_elsewhere
from trainer.strategies.pipeline.line import SCHEDULES, Line, ScheduleKind
from trainer.strategies.pipeline.microbatches import (
    batch_size,
    join_outputs,
    largest_divisor,
    signature,
    split_arguments,
    split_batch,
)
from trainer.strategies.pipeline.records import Records
from trainer.strategies.pipeline.seat import Draws, Seat
from trainer.types import Batch, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.strategies.pipeline.split import SplitModel


class _Reached(BaseException):
    """Ends a step on the first stage where it calls the pipeline; no error, so that no handler of the user's sees it.

    Attributes:
        arguments: what the pipeline was called with.
    """

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self.arguments = arguments


@contextmanager
def _standing_in(owner: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Let `forward` stand in the place of the pipeline inside the block."""
    own = owner.__dict__.get("forward")
    owner.__dict__["forward"] = forward
    try:
        yield
    finally:
        del owner.__dict__["forward"]
        if own is not None:
            owner.__dict__["forward"] = own


class _Steps:
    """What steps of training and of evaluation have in common."""

    MOST_LINES: ClassVar[int] = 8
    """Arrangements for batches of different shapes that are kept, with their buffers."""

    def __init__(self, split: SplitModel, module: LightningModule, name: str, kind: ScheduleKind) -> None:
        self.split, self.seat, self.module = split, split.seat, module
        self.name, self.kind = name, kind
        self._lines: OrderedDict[Hashable, Line] = OrderedDict()

    @property
    def step(self) -> Callable[..., Any]:
        """Return the step of the user's module."""
        step: Callable[..., Any] = getattr(self.module, self.name)
        return step

    def line(
        self, key: Hashable, microbatches: int, kind: ScheduleKind, learns: bool, first: Callable[[], tuple[Any, ...]]
    ) -> Line:
        """Return the arrangement for batches of this shape."""
        line = self._lines.get(key)
        if line is None:
            line = Line(self.seat, self.split.own_layers, kind, microbatches, learns=learns, first=first)
            self._lines[key] = line
            if len(self._lines) > self.MOST_LINES:
                self._lines.popitem(last=False)
        self._lines.move_to_end(key)
        return line

    def reach(self, *arguments: Any) -> tuple[Any, ...]:
        """Return what the step calls the pipeline with.

        Raises:
            MisconfigurationException: it does not call it.
        """

        def stop(*given: Any, **named: Any) -> None:
            if named:
                raise MisconfigurationException(
                    four_parts("The pipeline was called with named arguments.", got=sorted(named),
                               expected="positional arguments", remedy=f"Change the call in `{self.name}`.")
                )  # fmt: skip
            raise _Reached(given)

        try:
            with _standing_in(self.split.layers.owner, stop):
                self.step(*arguments)
        except _Reached as reached:
            return reached.arguments
        raise self._misused(0)

    def finish(self, output: Any, *arguments: Any) -> Any:
        """Run the step to its end, with what the pipeline returned.

        Raises:
            MisconfigurationException: it calls the pipeline more than once, or not at all.
        """
        calls = 0

        def give(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            return output

        with _standing_in(self.split.layers.owner, give):
            returned = self.step(*arguments)
        if calls != 1:
            raise self._misused(calls)
        return returned

    def _misused(self, calls: int) -> MisconfigurationException:
        owner = type(self.split.layers.owner).__name__
        return MisconfigurationException(
            four_parts(f"`{self.name}` has to call the pipeline ({owner}) once for each batch.", got=f"{calls} calls",
                       expected="1", remedy="Bring what it is called with into one batch, or use another strategy.")
        )  # fmt: skip


class EvaluationStep(_Steps):
    """A step without gradients: every process of the pipeline gets the output and runs the step to its end."""

    def __init__(self, split: SplitModel, module: LightningModule, name: str, kind: ScheduleKind) -> None:
        super().__init__(split, module, name, kind)
        self._trained, self._done = -1, 0

    def __call__(self, *arguments: Any) -> Any:
        """Return what the user's step returns."""
        batch = arguments[0]
        microbatches = largest_divisor(batch_size(batch), self.split.microbatches)
        trained = self.module.trainer.train_state.total_batches
        self._done = self._done + 1 if trained == self._trained else 0  # the same again after a resume
        self._trained = trained
        draws = Draws(self.seat, trained, self._done)
        with draws.of_layers():
            parts: list[tuple[Any, ...]] = []
            if self.seat.is_first:
                with draws.of_step(0), Records(self.module.trainer.metrics).ignoring():
                    reached = self.reach(*arguments)
                parts = split_arguments(reached, microbatches)
            key = (signature(batch), microbatches, torch.is_inference_mode_enabled())
            kind = SCHEDULES["looped_bfs" if self.kind.is_looped else "gpipe"]
            line = self.line(key, microbatches, kind, False, lambda: parts[0])
            outputs = line.run(lambda number: parts[number])
            output = join_outputs(outputs) if self.seat.is_last else None
            output = self.seat.tell_tensors(output, self.seat.length - 1)
        with draws.of_step(0):
            return self.finish(output, *arguments)


class _Handover(torch.autograd.Function):
    """A loss whose backward pass gives the parameters the gradients that the pipeline has computed already."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, loss: Tensor, give: Callable[[Tensor], None]) -> Tensor:
        ctx.give = give
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None, None]:
        ctx.give(gradients[0])
        return None, None, None


class TrainingStep(_Steps):
    """A step with gradients: the schedule runs all of it, and the loss that comes out hands the gradients over."""

    def __init__(self, split: SplitModel, module: LightningModule, kind: ScheduleKind) -> None:
        super().__init__(split, module, "training_step", kind)
        self._parameters = [parameter for parameter in module.parameters() if not is_elsewhere(parameter)]
        self._anchor = torch.zeros((), device=self.seat.device, requires_grad=True)
        self._is_checked = False
        self._is_even = False

    def __call__(self, *arguments: Any) -> StepOutput:
        """Return the loss of the batch on every process of the pipeline."""
        if not self._is_even:
            self.seat.equal_generators()  # those of a checkpoint of fewer processes may differ
            self._is_even = True
        batch, rest = arguments[0], arguments[1:]
        parts = self._divided(batch)
        kind = self.kind
        if len(parts) != self.split.microbatches:
            kind = SCHEDULES["looped_bfs" if kind.is_looped else "gpipe"]
        trainer = self.module.trainer
        records = Records(trainer.metrics)
        draws = Draws(self.seat, trainer.train_state.total_batches)
        reached: dict[int, tuple[Any, ...]] = {}
        losses: list[Tensor] = []
        returned: list[StepOutput] = []

        def entry(number: int) -> tuple[Any, ...]:
            if number not in reached:
                with draws.of_step(number), records.ignoring():
                    reached[number] = self.reach(parts[number], *rest)
            return reached[number]

        def finish(number: int, output: Any) -> Tensor:
            with draws.of_step(number), records.collecting():
                returned[:] = [self.finish(output, parts[number], *rest)]
            loss = loss_of(returned[0])
            if loss is None:
                raise MisconfigurationException(
                    four_parts("`training_step` skipped a batch.", got="None", expected="a loss",
                               remedy="A pipeline cannot skip: return a loss that is zero, output.sum() * 0.")
                )  # fmt: skip
            losses.append(loss.detach())
            return loss / len(parts)

        with draws.of_layers(), self._first_checks(len(parts)):
            # Callbacks may freeze layers, or set them free; those of other stages too, as far as these are here.
            learning = tuple(parameter.requires_grad for parameter in self.module.parameters())
            key = (signature(parts[0]), len(parts), learning)
            line = self.line(key, len(parts), kind, True, lambda: entry(0))
            gradients = self._computed(lambda: line.run(entry, finish))
        packet: Any = None
        if self.seat.is_last:
            loss = torch.stack(losses).mean()
            packet = (float(loss), records.log(), isinstance(returned[0], Mapping))
        value, told, in_mapping = self.seat.tell(packet, self.seat.length - 1)
        if not self.seat.is_last:
            loss = torch.tensor(value, device=self.seat.device)
            for record in told:
                trainer.metrics.log(*record)
        result: Tensor = _Handover.apply(self._anchor, loss, gradients.give)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return {"loss": result} if in_mapping else result

    def _divided(self, batch: Batch) -> list[Batch]:
        """Return the microbatches: as many as asked for, in the last batch of an epoch as many as divide it.

        Raises:
            MisconfigurationException: another batch does not divide.
        """
        size, wanted = batch_size(batch), self.split.microbatches
        parts = wanted
        if size % wanted:
            if not self.module.trainer.state.is_last_batch:
                raise MisconfigurationException(
                    four_parts("A batch cannot be divided into equal microbatches.", got=f"{size} samples",
                               expected=f"a multiple of microbatches={wanted}, but in the last batch of an epoch",
                               remedy="Choose another batch size or number of microbatches.")
                )  # fmt: skip
            parts = largest_divisor(size, wanted)
        return split_batch(batch, parts)

    def _computed(self, run: Callable[[], object]) -> _Gradients:
        """Run forward and backward passes; return the gradients, and leave the parameters' own as they were."""
        parameters = [parameter for parameter in self._parameters if parameter.requires_grad]
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        run()
        found = [parameter.grad for parameter in parameters]
        for parameter, own in zip(parameters, before, strict=True):
            parameter.grad = own
        return _Gradients(self.seat, parameters, found)

    @contextmanager
    def _first_checks(self, microbatches: int) -> Iterator[None]:
        """Refuse layers that keep something from each microbatch, after the first batch.

        Raises:
            MisconfigurationException: a buffer of a layer changed.
        """
        if self._is_checked or microbatches == 1:
            yield
            return
        self._is_checked = True
        held = [(name, buffer, buffer.clone()) for name, buffer in self.module.named_buffers()
                if self.split.layers.holds(name) is not None]  # fmt: skip
        yield
        changed = [name for name, buffer, before in held if not torch.equal(buffer, before)]
        if changed:
            raise MisconfigurationException(
                four_parts("Layers change their buffers with every microbatch, not once for a batch.", got=changed,
                           expected="layers without running statistics, or microbatches=1",
                           remedy="Put such layers into evaluation mode, or replace them.")
            )  # fmt: skip


class _Gradients:
    """Gradients of one batch that are not the parameters' yet."""

    def __init__(self, seat: Seat, parameters: Sequence[Tensor], found: list[Tensor | None]) -> None:
        self._seat, self._parameters, self._found = seat, parameters, found

    def give(self, scale: Tensor) -> None:
        """Add them to the parameters' own, times `scale`, averaged over the copies of the pipeline."""
        parameters, found, seat = self._parameters, self._found, self._seat
        self._parameters, self._found = [], []
        if seat.copies > 1:
            used = torch.tensor([float(g is not None) for g in found], device=seat.device)
            found = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
            seat.average([g for g in found if g is not None] + [used])
            found = [g if count else None for g, count in zip(found, used.tolist(), strict=True)]
        is_one = scale.device.type == "cpu" and float(scale) == 1.0
        with torch.no_grad():
            for parameter, gradient in zip(parameters, found, strict=True):
                if gradient is None:
                    continue
                if not is_one:
                    gradient.mul_(scale)
                if parameter.grad is None:
                    parameter.grad = gradient
                else:
                    parameter.grad.add_(gradient)
