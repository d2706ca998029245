"""Stages of one pipeline for batches of one shape, driven by torch.distributed.pipelining."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import pipelining

from trainer.errors import MisconfigurationException, four_parts
from trainer.strategies.pipeline.layers import Apply
from trainer.strategies.pipeline.seat import Seat, generators_kept
from trainer.strategies.pipeline.skeletons import carrier_dtype, filled, slots_of, taken_apart

_schedules: Any = pipelining.schedules  # torch leaves it untyped


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleKind:
    """A schedule of torch's.

    Attributes:
        name: as given to the strategy.
        torch_name: torch's class.
        is_looped: a process has several stages.
    """

    name: str
    torch_name: str
    is_looped: bool


SCHEDULES = {
    kind.name: kind
    for kind in (
        ScheduleKind(name="gpipe", torch_name="ScheduleGPipe", is_looped=False),
        ScheduleKind(name="1f1b", torch_name="Schedule1F1B", is_looped=False),
        ScheduleKind(name="interleaved_1f1b", torch_name="ScheduleInterleaved1F1B", is_looped=True),
        ScheduleKind(name="looped_bfs", torch_name="ScheduleLoopedBFS", is_looped=True),
    )
}


def check_microbatches(kind: ScheduleKind, microbatches: int, length: int) -> None:
    """Refuse a number of microbatches that the schedule cannot arrange over `length` processes.

    Raises:
        MisconfigurationException: it is too small, or no multiple of the rounds.
    """
    if kind.name == "1f1b" and microbatches < length:
        wanted = f"at least the number of stages, {length}"
    elif kind.name == "interleaved_1f1b" and microbatches % max(1, microbatches // length):
        wanted = f"a multiple of the number of processes, {length}, or fewer than two times as many"
    else:
        return
    raise MisconfigurationException(
        four_parts(f"`microbatches` does not fit schedule={kind.name!r}.", got=microbatches, expected=wanted,
                   remedy="Correct it, or take schedule='gpipe', which takes any number.")
    )  # fmt: skip


class Stage(nn.Module):
    """The layers of one stage, between tensors."""

    def __init__(self, layers: Sequence[Apply], *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        self.inner = nn.ModuleList([layer for layer in layers if isinstance(layer, nn.Module)])
        self._layers = tuple(layers)
        self._is_first, self._is_last = is_first, is_last
        self.entry: Callable[[int], tuple[Any, ...]] | None = None  # gives what the pipeline is called with
        self.takes: Any = None  # the skeletons of what goes in, of what has to come out, and of what came out last
        self.gives: Any = None
        self.problem: Exception | None = None
        self.made: Any = None

    def apply_layers(self, *arguments: Any) -> Any:
        """Return what the last of the layers returns."""
        value = self._layers[0](*arguments)
        for layer in self._layers[1:]:
            value = layer(value)
        return value

    def forward(self, *tensors: Tensor) -> Any:
        """Return the tensors for the next stage; those for the first one are the number of the microbatch.

        Raises:
            MisconfigurationException: they have other shapes than the next stage waits for.
        """
        try:
            return self._computed(tensors)
        except Exception as error:
            self.problem = error  # torch raises another one, of its own
            raise

    def _computed(self, tensors: tuple[Tensor, ...]) -> Any:
        carriers: list[Tensor] = []
        if self._is_first and self.entry is not None:
            value = self.apply_layers(*self.entry(int(tensors[0])))
        else:
            slots = slots_of(self.takes)
            carriers = [t for t, slot in zip(tensors, slots, strict=True) if slot.is_carried and t.requires_grad]
            given = [t.detach().to(s.dtype) if s.is_carried else t for t, s in zip(tensors, slots, strict=True)]
            value = self.apply_layers(filled(self.takes, given))
        found, self.made = taken_apart(value)
        if carriers:
            found = _tied(found, carriers)
        if not self._is_last:
            found = self._sent(found)
        return found[0] if len(found) == 1 else found

    def _sent(self, found: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        slots = slots_of(self.gives)
        kinds = [(tuple(tensor.shape), tensor.dtype) for tensor in found]
        wanted = [(slot.shape, slot.dtype) for slot in slots]
        if kinds != wanted:
            raise MisconfigurationException(
                four_parts("A stage returned something else than for an earlier microbatch of the same shapes.",
                           got=kinds, expected=f"{wanted}, shapes that follow from those of the batch",
                           remedy="Cut and pad batches in the loader, not in the step or the layers.")
            )  # fmt: skip
        return tuple(
            tensor.detach().to(carrier_dtype(slot.dtype)).contiguous().requires_grad_(torch.is_grad_enabled())
            if slot.is_carried
            else tensor.contiguous()
            for tensor, slot in zip(found, slots, strict=True)
        )


class _Tie(torch.autograd.Function):
    """A tensor as it is, whose backward pass gives zeros to others, so that each of them has a gradient to send."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, *others: Tensor) -> Tensor:
        ctx.kinds = [(other.shape, other.dtype, other.device) for other in others]
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, ...]:
        zeros = (torch.zeros(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.kinds)
        return gradients[0], *zeros


def _tied(found: tuple[Tensor, ...], carriers: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Tie the carriers to the first tensor that a gradient comes back for."""
    learning = next((index for index, tensor in enumerate(found) if tensor.requires_grad), None)
    if learning is None:
        return found
    tied: Tensor = _Tie.apply(found[learning], *carriers)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return *found[:learning], tied, *found[learning + 1 :]


CARRIES = "input_grads" not in inspect.signature(pipelining.PipelineStage.__init__).parameters
"""Whether this version of torch (before 2.13) expects a gradient for everything that a stage receives."""


class Line:
    """One arrangement of stages, microbatches and shapes.

    Args:
        seat: this process.
        layers: for each stage of this process, its layers.
        kind: the schedule.
        microbatches: how many.
        learns: whether a backward pass follows.
        first: what the pipeline is called with for microbatch 0; asked on the first stage.
    """

    def __init__(
        self,
        seat: Seat,
        layers: Sequence[Sequence[Apply]],
        kind: ScheduleKind,
        microbatches: int,
        *,
        learns: bool,
        first: Callable[[], tuple[Any, ...]],
    ) -> None:
        self._seat, self._microbatches = seat, microbatches
        self._parts = [
            Stage(own, is_first=stage == 0, is_last=stage == seat.stages - 1)
            for stage, own in zip(seat.own_stages, layers, strict=True)
        ]
        self._finish: Callable[[int, Any], Tensor] | None = None
        self._outputs: list[Any] = []
        borders = self._look(first, learns)
        stages = [self._stage(part, stage, borders) for stage, part in zip(seat.own_stages, self._parts, strict=True)]
        made = getattr(_schedules, kind.torch_name)
        self._schedule: Any = made(
            stages if kind.is_looped else stages[0],
            microbatches,
            loss_fn=self._end if learns else None,
            scale_grads=False,
        )
        # Versions that lack it put the outputs together, which nobody reads.
        returns = "return_outputs" in inspect.signature(self._schedule.step).parameters
        self._options = {"return_outputs": False} if returns else {}

    def _look(self, first: Callable[[], tuple[Any, ...]], learns: bool) -> list[Any]:
        """Run one microbatch through all stages, one after the other, and note what passes from each to the next."""
        borders: list[Any] = []
        for stage in range(self._seat.stages):
            position = stage % self._seat.length
            border = None
            if position == self._seat.position:
                part = self._parts[stage // self._seat.length]
                with ExitStack() as stack:
                    stack.enter_context(generators_kept(self._seat.device))
                    stack.enter_context(torch.set_grad_enabled(learns))
                    stack.enter_context(_buffers_kept(part))
                    if stage == 0:
                        value = part.apply_layers(*first())
                    else:
                        part.takes = borders[-1]
                        tensors = [slot.zeros(self._seat.device) for slot in slots_of(part.takes)]
                        value = part.apply_layers(filled(part.takes, tensors))
                    carries = CARRIES and learns and stage < self._seat.stages - 1
                    part.gives = border = taken_apart(value, learns=learns, carries=carries)[1]
                    del value
            borders.append(self._seat.tell(border, position))
        return borders

    def _stage(self, part: Stage, stage: int, borders: Sequence[Any]) -> Any:
        before: tuple[Tensor, ...] = (torch.zeros(1, dtype=torch.int64),)
        if stage > 0:
            before = tuple(slot.example for slot in slots_of(borders[stage - 1]))
        return pipelining.PipelineStage(
            part,
            stage,
            self._seat.stages,
            self._seat.device,
            input_args=before,
            output_args=tuple(slot.example for slot in slots_of(borders[stage])),
            group=self._seat.line,
        )

    def run(
        self, entry: Callable[[int], tuple[Any, ...]], finish: Callable[[int, Any], Tensor] | None = None
    ) -> list[Any]:
        """Pass every microbatch through the stages, and back where the line learns.

        Args:
            entry: returns what the pipeline is called with for a microbatch; asked on the first stage.
            finish: returns the loss of a microbatch from its output; asked on the last stage.

        Returns:
            On the last stage the outputs, where no backward pass follows.
        """
        seat, numbers = self._seat, torch.arange(self._microbatches)
        self._finish, self._outputs = finish, []
        last = self._parts[-1] if seat.is_last else None
        hook = None
        if last is not None and finish is None:
            hook = last.register_forward_hook(self._keep)
        if seat.is_first:
            self._parts[0].entry = entry
        try:
            self._schedule.step(
                *((numbers,) if seat.is_first else ()),
                **({"target": numbers} if finish is not None and seat.is_last else {}),
                **self._options,
            )
        except RuntimeError as error:
            problem = next((part.problem for part in self._parts if part.problem is not None), None)
            if problem is None:
                raise
            raise problem from error
        finally:
            if hook is not None:
                hook.remove()
            self._finish = self._parts[0].entry = None
        outputs, self._outputs = self._outputs, []
        return outputs

    def _keep(self, part: nn.Module, given: Any, found: Any) -> None:
        self._outputs.append(self._output(found))

    def _output(self, found: Any) -> Any:
        return filled(self._parts[-1].made, found if isinstance(found, tuple) else (found,))

    def _end(self, found: Any, number: Tensor) -> Tensor:
        assert self._finish is not None
        return self._finish(int(number), self._output(found))


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Leave the buffers of a module as they were before the block."""
    before = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
