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
    """The place of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    learns: bool

    def zeros(self, device: torch.device | str) -> Tensor:
        """Return a tensor that fits, without memory on "meta"."""
        return torch.zeros(self.shape, dtype=self.dtype, device=device).requires_grad_(self.learns)


def taken_apart(value: Any, *, learns: bool = False) -> tuple[tuple[Tensor, ...], Any]:
    """Return the tensors in lists, tuples and dicts, and the same structure with slots in their places."""
    tensors: list[Tensor] = []

    def take(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        tensors.append(leaf)
        return Slot(tuple(leaf.shape), leaf.dtype, learns and leaf.requires_grad)

    skeleton = tree_map(take, value)
    return tuple(tensors), skeleton


def filled(skeleton: Any, tensors: Sequence[Tensor]) -> Any:
    """Return a skeleton with tensors in its slots."""
    given = iter(tensors)
    return tree_map(lambda leaf: next(given) if isinstance(leaf, Slot) else leaf, skeleton)


def slots_of(skeleton: Any) -> list[Slot]:
    """Return the slots in their order."""
    return [leaf for leaf in tree_flatten(skeleton)[0] if isinstance(leaf, Slot)]
