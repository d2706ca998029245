"""Batches in equal parts, and parts put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from trainer.data.batch_size import BatchSizeReader
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Batch

_PLAIN = (str, bytes, int, float, bool, type(None))


def batch_size(batch: Batch) -> int:
    """Return the first dimension of the first tensor, 1 where there is none."""
    return BatchSizeReader().read(batch)


def largest_divisor(size: int, most: int) -> int:
    """Return the largest number up to `most` that divides `size`."""
    return next((n for n in range(min(most, size), 1, -1) if size % n == 0), 1)


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Return the batch in equal parts along its first dimension.

    Lists of plain values with one for each sample are divided too; tensors without dimensions and other plain values
    go to every part.

    Raises:
        MisconfigurationException: a tensor has another first dimension, or something cannot be divided.
    """
    if parts == 1:
        return [batch]
    size = batch_size(batch)
    return [_part(batch, size, slice(k * size // parts, (k + 1) * size // parts)) for k in range(parts)]


def _part(value: Any, size: int, rows: slice) -> Any:
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return value
        if value.shape[0] == size:
            return value[rows]
        raise MisconfigurationException(
            four_parts("A batch cannot be divided into microbatches.", got=f"a tensor of shape {tuple(value.shape)}",
                       expected=f"tensors whose first dimension is that of the batch, {size}",
                       remedy="Give what belongs to no sample to the model instead.")
        )  # fmt: skip
    if isinstance(value, Mapping):
        parts = {key: _part(part, size, rows) for key, part in value.items()}
        return parts if type(value) is dict else type(value)(parts)  # type: ignore[call-arg]  # mappings take one
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_part(part, size, rows) for part in value))
    if isinstance(value, list | tuple):
        if len(value) == size and all(isinstance(part, _PLAIN) for part in value):
            return value[rows]
        return type(value)(_part(part, size, rows) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _part(getattr(value, field.name), size, rows) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    if isinstance(value, _PLAIN):
        return value
    raise MisconfigurationException(
        four_parts("A batch cannot be divided into microbatches.", got=type(value).__name__,
                   expected="tensors, plain values, and lists, tuples, dicts and dataclasses of them",
                   remedy="Let the loader's collate function return them, or pass microbatches=1.")
    )  # fmt: skip


def split_arguments(arguments: Sequence[Any], parts: int) -> list[tuple[Any, ...]]:
    """Return what the pipeline was called with in equal parts along the first dimension.

    Raises:
        MisconfigurationException: a tensor cannot be divided into so many.
    """
    if parts == 1:
        return [tuple(arguments)]
    leaves, form = tree_flatten(tuple(arguments))
    for leaf in leaves:
        if isinstance(leaf, Tensor) and leaf.ndim and leaf.shape[0] % parts:
            raise MisconfigurationException(
                four_parts("What the pipeline is called with cannot be divided.", got=tuple(leaf.shape),
                           expected=f"a first dimension that {parts} microbatches divide, as they divide the batch",
                           remedy="Keep the batch first, or pass microbatches=1.")
            )  # fmt: skip
    divided = [leaf.chunk(parts) if isinstance(leaf, Tensor) and leaf.ndim else (leaf,) * parts for leaf in leaves]
    return [tree_unflatten([leaf[k] for leaf in divided], form) for k in range(parts)]


def join_outputs(outputs: Sequence[Any]) -> Any:
    """Return what the pipeline would have given for the whole batch: tensors one after the other.

    Raises:
        MisconfigurationException: an output has no dimension for the samples.
    """
    if len(outputs) == 1:
        return outputs[0]
    flat = [tree_flatten(output) for output in outputs]
    joined: list[Any] = []
    for leaves in zip(*(leaves for leaves, _ in flat), strict=True):
        if not isinstance(leaves[0], Tensor):
            joined.append(leaves[0])
            continue
        if leaves[0].ndim == 0:
            raise MisconfigurationException(
                four_parts("The last layer returns one number for a batch.", got="a tensor without dimensions",
                           expected="outputs whose first dimension is the batch, so that parts can be put together",
                           remedy="Compute the loss in the step instead.")
            )  # fmt: skip
        joined.append(torch.cat(leaves))
    return tree_unflatten(joined, flat[0][1])


def signature(batch: Batch) -> Hashable:
    """Return what tells batches apart whose tensors have other shapes or dtypes."""
    found: list[Hashable] = []
    _describe(batch, found.append)
    return tuple(found)


def _describe(value: Any, note: Callable[[Hashable], None]) -> None:
    if isinstance(value, Tensor):
        note((tuple(value.shape), value.dtype))
    elif isinstance(value, Mapping):
        for key in value:
            note(str(key))
            _describe(value[key], note)
    elif isinstance(value, list | tuple):
        note(len(value))
        for part in value:
            _describe(part, note)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            _describe(getattr(value, field.name), note)
    else:
        note(type(value).__name__)
