"""Optimizer states split over the processes of data parallel training: ZeRO's first stage."""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import LBFGS, Optimizer

from trainer.data.transfer import map_tensors
from trainer.errors import MisconfigurationException, four_parts
from trainer.strategies.state_parts import gather_parts
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.strategies.strategy import Strategy

_BUCKET = 2**22
"""Elements that travel together; what is copied for it stays small beside the model."""
_TRAVELLING = 2
"""Buckets under way at a time: one is filled while another is sent."""
_ATTRIBUTE = "_trainer_shares"


class ShardedOptimizer:
    """Lets each process update its own share of an optimizer's parameters, so that it keeps the state of these alone.

    The optimizer stays the object that the user made, with all its parameter groups: schedulers, hooks and callbacks
    see what they always see. During a step the gradients of the other processes' parameters are out of sight, and
    optimizers of torch skip parameters without a gradient and make no state for them. After it every process sends its
    new parameters to the others.

    torch's own `ZeroRedundancyOptimizer` divides the work in the same way, whole parameters at a time, but is another
    object that has to be built from the user's: the constructor's arguments cannot be read back from an optimizer
    (`AdamW(**AdamW(...).defaults)` is a TypeError in torch 2.13), schedulers keep stepping the first object, and
    parameters of different types are refused.

    An optimizer that looks at all gradients together, such as one that clips inside its step, sees those of its share.

    Args:
        optimizer: what to split; its `step` is replaced.
        rank: of this process.
        world_size: processes in all.

    Raises:
        MisconfigurationException: the optimizer needs all parameters at once.
    """

    def __init__(self, optimizer: Optimizer, rank: int, world_size: int) -> None:
        if isinstance(optimizer, LBFGS):
            raise MisconfigurationException(
                four_parts("The optimizer cannot be split over processes.", got=type(optimizer).__name__,
                           expected="one that updates each parameter by itself", remedy="Pass zero_stage=0.")
            )  # fmt: skip
        self.rank = rank
        self.world_size = world_size
        self._owners: dict[Tensor, int] = {}
        self._loads = [0] * world_size
        self._optimizer = weakref.ref(optimizer)
        optimizer.__dict__[_ATTRIBUTE] = self
        self._assign(optimizer)
        for parameter in [one for one in optimizer.state if self._owners.get(one, rank) != rank]:
            del optimizer.state[parameter]  # some make it at once
        optimizer.register_load_state_dict_pre_hook(self.own_share)
        self._replace_step(optimizer)

    @staticmethod
    def of(optimizer: Optimizer) -> ShardedOptimizer | None:
        """Return what splits an optimizer, None where nothing does."""
        return optimizer.__dict__.get(_ATTRIBUTE)

    def _assign(self, optimizer: Optimizer) -> None:
        """Give each new parameter to the process with the least so far, the largest first."""
        new = [p for group in optimizer.param_groups for p in group["params"] if p not in self._owners]
        for parameter in sorted(new, key=Tensor.numel, reverse=True):
            owner = self._loads.index(min(self._loads))
            self._owners[parameter] = owner
            self._loads[owner] += parameter.numel()

    # The step

    def _replace_step(self, optimizer: Optimizer) -> None:
        inner: Callable[..., Any] = optimizer.step  # a method, or the function that a scheduler put in its place

        @functools.wraps(getattr(inner, "__func__", inner))  # with the marks that schedulers look for
        def step(self_: Optimizer, *args: Any, **kwargs: Any) -> Any:
            closure = args[0] if args else kwargs.get("closure")
            with self._hiding(self_) as hide:
                if closure is None:
                    hide()
                elif args:
                    args = (_followed(closure, hide), *args[1:])
                else:
                    kwargs["closure"] = _followed(closure, hide)
                result = inner(*args, **kwargs)
            self._exchange()
            return result

        optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]  # as torch's schedulers do

    @contextmanager
    def _hiding(self, optimizer: Optimizer) -> Iterator[Callable[[], None]]:
        """Yield what puts the gradients of other processes' parameters out of sight until the block ends."""
        hidden: dict[Tensor, Tensor] = {}

        def hide() -> None:
            self._assign(optimizer)
            for parameter, owner in self._owners.items():
                if owner != self.rank and parameter.grad is not None:
                    hidden[parameter], parameter.grad = parameter.grad, None

        try:
            yield hide
        finally:
            for parameter, gradient in hidden.items():
                parameter.grad = gradient

    @torch.no_grad()
    def _exchange(self) -> None:
        """Send this process's new parameters to the others, and take theirs."""
        travelling: deque[tuple[Any, int, Tensor, list[Tensor]]] = deque()
        for owner, bucket in self._buckets():
            if len(travelling) == _TRAVELLING:
                self._arrive(*travelling.popleft())
            flat = torch.cat([parameter.reshape(-1) for parameter in bucket])
            travelling.append((dist.broadcast(flat, src=owner, async_op=True), owner, flat, bucket))
        while travelling:
            self._arrive(*travelling.popleft())

    def _arrive(self, work: Any, owner: int, flat: Tensor, bucket: list[Tensor]) -> None:  # work: torch's Work
        """Wait for a bucket, and take what another process sent in it."""
        work.wait()
        if owner != self.rank:
            parts = torch.split(flat, [parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.copy_(part.view_as(parameter))

    def _buckets(self) -> Iterator[tuple[int, list[Tensor]]]:
        """Yield each owner with parameters of one kind that travel together; frozen ones stay."""
        open_ones: dict[tuple[int, torch.dtype, torch.device], list[Tensor]] = {}
        sizes: dict[tuple[int, torch.dtype, torch.device], int] = {}
        for parameter, owner in self._owners.items():
            if not (parameter.requires_grad or parameter.grad is not None):
                continue
            key = (owner, parameter.dtype, parameter.device)
            if sizes.get(key, 0) + parameter.numel() > _BUCKET and key in open_ones:
                yield owner, open_ones.pop(key)
                sizes[key] = 0
            open_ones.setdefault(key, []).append(parameter)
            sizes[key] = sizes.get(key, 0) + parameter.numel()
        for (owner, *_), bucket in open_ones.items():
            yield owner, bucket

    # The state

    def own_share(self, optimizer: Optimizer, state: PlainState) -> PlainState:
        """Return what this process needs of a whole state."""
        self._assign(optimizer)
        order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        indices = [index for group in state["param_groups"] for index in group["params"]]
        others = {i for i, one in zip(indices, order, strict=False) if self._owners[one] != self.rank}
        return {**state, "state": {i: held for i, held in state["state"].items() if i not in others}}

    def whole_state(
        self, strategy: Strategy, group: dist.ProcessGroup | None, *, with_values: bool = True
    ) -> PlainState:
        """Return the whole state on rank zero, as one process has it, and this process's share on the others.

        Shares travel through `group`, on the CPU; all processes take part.

        Args:
            strategy: of the run.
            group: of Gloo.
            with_values: without, tensors of other processes (but for single numbers) are on the meta device.

        Raises:
            CheckpointError: on every process, where a share holds something that is not plain.
        """
        optimizer = self._optimizer()
        assert optimizer is not None, "the strategy holds it weakly too"
        state = optimizer.state_dict()
        merged: PlainState = dict(state["state"])
        sent = merged if with_values else map_tensors(_without_values, merged)
        for share in gather_parts(sent, range(1, self.world_size), strategy, group):
            merged |= share
        return {**state, "state": dict(sorted(merged.items()))}


def _without_values(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta") if tensor.dim() else tensor


def _followed(closure: Callable[[], Any], hide: Callable[[], None]) -> Callable[[], Any]:
    """Return the closure with `hide` behind it: it makes the gradients."""

    def run() -> Any:
        loss = closure()
        hide()
        return loss

    return run
