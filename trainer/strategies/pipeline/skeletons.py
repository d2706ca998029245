"""Structures of tensors, taken apart into the tensors and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a tensor.

    Attributes:
        shape: of the tensor.
        dtype: of the tensor.
        learns: a gradient comes back for it.
        is_carried: it needs no gradient, and is sent as if it did: a mask, say.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    learns: bool
    is_carried: bool = False

    def zeros(self, device: torch.device | str) -> Tensor:
        """Return a tensor that fits, without memory on "meta"."""
        return torch.zeros(self.shape, dtype=self.dtype, device=device).requires_grad_(self.learns)

    @property
    def example(self) -> Tensor:
        """Return what is sent, without memory."""
        dtype = carrier_dtype(self.dtype) if self.is_carried else self.dtype
        return torch.empty(self.shape, dtype=dtype, device="meta").requires_grad_(self.learns or self.is_carried)


def carrier_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the floating format that values of `dtype` are sent in: whole numbers up to 2**53 stay exact."""
    return dtype if dtype.is_floating_point else torch.float64


def taken_apart(value: Any, *, learns: bool = False, carries: bool = False) -> tuple[tuple[Tensor, ...], Any]:
    """Return the tensors in lists, tuples and dicts, and the same structure with slots in their places.

    Args:
        value: the structure.
        learns: gradients come back for tensors that require them.
        carries: those that require none are sent as if they did.
    """
    tensors: list[Tensor] = []

    def take(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        tensors.append(leaf)
        is_learning = learns and leaf.requires_grad
        return Slot(tuple(leaf.shape), leaf.dtype, is_learning, carries and not is_learning)

    skeleton = tree_map(take, value)
    return tuple(tensors), skeleton


def filled(skeleton: Any, tensors: Sequence[Tensor]) -> Any:
    """Return a skeleton with tensors in its slots."""
    given = iter(tensors)
    return tree_map(lambda leaf: next(given) if isinstance(leaf, Slot) else leaf, skeleton)


def slots_of(skeleton: Any) -> list[Slot]:
    """Return the slots in their order."""
    return [leaf for leaf in tree_flatten(skeleton)[0] if isinstance(leaf, Slot)]
