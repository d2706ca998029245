"""One logged metric: its options, its newest value, and its running sum."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from trainer.data.transfer import whole_tensor
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import PlainState, ReduceOp

Options: TypeAlias = tuple[bool, bool | None, bool | None, bool | None, Any, bool | None, bool, bool]
"""(prog_bar, logger, on_step, on_epoch, reduce_fx, sync_dist, add_dataloader_idx, rank_zero_only)"""

_OPS: dict[Any, ReduceOp] = {
    "mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max",
    torch.mean: "mean", torch.sum: "sum", torch.min: "min", torch.max: "max",
    min: "min", max: "max", sum: "sum",
}  # fmt: skip

_SAVED = (
    "key", "step_key", "epoch_key", "plain_key", "op", "on_step", "on_epoch", "prog_bar", "logger", "sync_dist",
    "rank_zero_only", "last", "tensor_sum", "number_sum", "weight", "fresh", "open",
)  # fmt: skip


@dataclass(slots=True, kw_only=True)
class MetricEntry:
    """A metric in one place of the run.

    Tensors are added to a double-precision sum on their own device and plain numbers to a plain sum, so that nothing
    is read back and nothing keeps a graph alive.

    Attributes:
        key: the name, with the loader's index where there are several.
        fresh: a value was added since the epoch was closed.
        open: the same, and not yet combined.
        metric: a metric object that keeps its own sums.
    """

    key: str
    step_key: str
    epoch_key: str
    plain_key: str
    op: ReduceOp
    options: Options | None
    on_step: bool = False
    on_epoch: bool = True
    prog_bar: bool = False
    logger: bool = True
    sync_dist: bool | None = None
    rank_zero_only: bool = False
    last: Tensor | float | None = None
    tensor_sum: Tensor | None = None
    number_sum: float | None = None
    weight: int = 0
    fresh: bool = False
    open: bool = False
    metric: Any = None  # a metric object: torchmetrics is not a dependency

    @property
    def is_weighted(self) -> bool:
        """Return whether the batch size matters."""
        return self.on_epoch and self.op == "mean" and self.metric is None

    def add(self, value: Any, weight: int) -> None:
        """Take one value in; the only method of an ordinary step."""
        self.fresh = self.open = True
        if isinstance(value, Tensor):
            value = value.detach()
            if type(value) is not Tensor:
                value = whole_tensor(value)
            if value.ndim:
                value = self._scalar(value)
            self.last = value
            if self.on_epoch:
                self.weight += weight
                self._add_tensor(value, weight)
        elif isinstance(value, int | float) or (isinstance(value, Real) and not callable(value)):
            self.last = float(value)
            if self.on_epoch:
                self.weight += weight
                self._add_number(float(value), weight)
        else:
            self._add_object(value)

    def _scalar(self, value: Tensor) -> Tensor:
        if value.numel() != 1:
            raise MisconfigurationException(
                four_parts(
                    f"`self.log({self.key!r}, ...)` takes one number.",
                    got=f"a tensor of shape {tuple(value.shape)}",
                    expected="a tensor of one element",
                    remedy="Reduce it first, for example with `.mean()`.",
                )
            )
        return value.reshape(())

    def _add_tensor(self, value: Tensor, weight: int) -> None:
        running = self.tensor_sum
        if running is None or running.device != value.device:
            initial = {"min": torch.inf, "max": -torch.inf}.get(self.op, 0.0) if running is None else running
            running = self.tensor_sum = torch.as_tensor(initial, dtype=torch.float64, device=value.device).clone()
        if self.op == "mean":
            running.add_(value, alpha=weight)
        elif self.op == "sum":
            running.add_(value)
        elif self.op == "min":
            torch.minimum(running, value.to(torch.float64), out=running)
        else:
            torch.maximum(running, value.to(torch.float64), out=running)

    def _add_number(self, value: float, weight: int) -> None:
        running = self.number_sum
        if self.op == "mean":
            self.number_sum = (running or 0.0) + value * weight
        elif running is None:
            self.number_sum = value
        elif self.op == "sum":
            self.number_sum = running + value
        else:
            self.number_sum = min(running, value) if self.op == "min" else max(running, value)

    def _add_object(self, value: Any) -> None:
        if not (callable(getattr(value, "compute", None)) and callable(getattr(value, "reset", None))):
            raise MisconfigurationException(
                four_parts(
                    f"`self.log({self.key!r}, ...)` takes one number.",
                    got=type(value).__name__,
                    expected="a number, a tensor of one element, or a metric object with `compute` and `reset`",
                    remedy="Log several numbers with `self.log_dict`.",
                )
            )
        if callable(getattr(value, "items", None)):
            raise MisconfigurationException(
                four_parts(
                    f"`self.log({self.key!r}, ...)` takes one metric.",
                    got=f"the collection {type(value).__name__}",
                    expected="a metric object",
                    remedy="Pass the collection to `self.log_dict`.",
                )
            )
        self.metric = value
        newest = getattr(value, "_forward_cache", None)
        self.last = newest.detach() if isinstance(newest, Tensor) else newest

    def total(self) -> Tensor | float:
        """Return the sum (or extreme) so far, without reading the device."""
        if self.metric is not None:
            computed = self.metric.compute()
            return computed.detach() if isinstance(computed, Tensor) else float(computed)
        if self.tensor_sum is None or self.number_sum is None:
            only = self.number_sum if self.tensor_sum is None else self.tensor_sum
            return 0.0 if only is None else only
        if self.op in ("mean", "sum"):
            return self.tensor_sum + self.number_sum
        return (
            self.tensor_sum.clamp(max=self.number_sum)
            if self.op == "min"
            else self.tensor_sum.clamp(min=self.number_sum)
        )

    def average(self) -> Tensor | float:
        """Return the value reduced so far, without reading the device."""
        return self.total() / (self.weight if self.op == "mean" and self.weight else 1)

    def clear(self) -> None:
        """Start the sums again."""
        self.tensor_sum = self.number_sum = None
        self.weight = 0
        if self.metric is not None:
            self.metric.reset()

    def state_dict(self) -> PlainState:
        """Return the sums as plain data and tensors; a metric object's own are saved apart."""
        return {name: getattr(self, name) for name in _SAVED} | {"is_object": self.metric is not None}

    @classmethod
    def from_state(cls, state: PlainState) -> MetricEntry:
        """Return the saved entry; the next `log` call of its name may bring any options."""
        return cls(**{name: state[name] for name in _SAVED}, options=None)

    def continue_from(self, saved: MetricEntry) -> None:
        """Take over the sums of a saved entry."""
        self.tensor_sum, self.number_sum, self.weight = saved.tensor_sum, saved.number_sum, saved.weight
        self.open, self.fresh, self.last = saved.open, saved.fresh, saved.last
        self.metric = saved.metric


def reduction_of(reduce_fx: Any) -> ReduceOp | None:
    """Return what `reduce_fx` of a `log` call means, None where it is unknown."""
    reduce_fx = reduce_fx.lower() if isinstance(reduce_fx, str) else reduce_fx
    return _OPS.get(reduce_fx) if isinstance(reduce_fx, str) or callable(reduce_fx) else None


def make_entry(
    name: str,
    options: Options,
    *,
    in_train_step: bool,
    level: Literal["batch", "epoch"],
    loader: int | None,
) -> MetricEntry:
    """Return a new entry with every default decided.

    Raises:
        MisconfigurationException: the name or an option is impossible.
    """
    prog_bar, logger, on_step, on_epoch, reduce_fx, sync_dist, add_loader, rank_zero_only = options
    if "/dataloader_idx_" in name:
        raise MisconfigurationException(
            four_parts(
                "`self.log` adds the loader's index itself.", got=name, expected="a name without '/dataloader_idx_'",
                remedy="Remove it.",
            )
        )  # fmt: skip
    op = reduction_of(reduce_fx)
    if op is None:
        raise MisconfigurationException(
            four_parts(
                f"`self.log({name!r}, reduce_fx=...)` is not supported.",
                got=reduce_fx,
                expected="'mean', 'sum', 'min' or 'max', or torch's function of that name",
                remedy="Log a metric object with `compute` and `reset` for other reductions.",
            )
        )
    on_step = in_train_step if on_step is None else on_step
    on_epoch = not in_train_step if on_epoch is None else on_epoch
    if on_step and level == "epoch":
        raise MisconfigurationException(
            four_parts(
                f"`self.log({name!r}, on_step=True)` was called in a hook that no step runs in.",
                got="on_step=True",
                expected="on_epoch=True alone",
                remedy="Leave on_step out.",
            )
        )
    if not on_epoch and (level == "epoch" or not on_step):
        raise MisconfigurationException(
            four_parts(
                f"`self.log({name!r}, ...)` would record a value that is never shown.",
                got=f"on_step={on_step}, on_epoch=False",
                expected="on_step=True in a step, or on_epoch=True",
                remedy="Leave on_epoch out.",
            )
        )
    suffix = f"/dataloader_idx_{loader}" if loader is not None and add_loader else ""
    forked = on_step and on_epoch
    return MetricEntry(
        key=name + suffix,
        step_key=name + ("_step" if forked else "") + suffix,
        epoch_key=name + ("_epoch" if forked else "") + suffix,
        plain_key=name + suffix,
        op=op,
        options=options,
        on_step=on_step,
        on_epoch=on_epoch,
        prog_bar=prog_bar,
        logger=True if logger is None else logger,
        sync_dist=sync_dist,
        rank_zero_only=rank_zero_only,
    )
