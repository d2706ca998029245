"""Saving the run of a trainer as a folder: at once, or beside the steps that follow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from trainer.checkpoints import places
from trainer.checkpoints.files import check_plain
from trainer.checkpoints.sharded.exchange import exchange_of, own_exchange
from trainer.checkpoints.sharded.tensors import SECTIONS, take_apart
from trainer.checkpoints.sharded.writing import Contents, write_folder
from trainer.data.transfer import map_tensors
from trainer.errors import MisconfigurationException, four_parts
from trainer.plugins.io import AsyncCheckpointIO, TorchCheckpointIO
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.trainer import Trainer


def save_sharded(trainer: Trainer, checkpoint: PlainState, path: str | Path, storage_options: object = None) -> None:
    """Write a checkpoint, of which every process has its part, to the folder `path`; all processes call it.

    With an AsyncCheckpointIO among the plugins, this returns when the tensors are copied.

    Raises:
        CheckpointError: it cannot be written; on every process.
        MisconfigurationException: the place, or a plugin, cannot take a folder.
    """
    plugin = trainer.plugins.checkpoint_io
    _refuse(path, plugin, storage_options)
    module = trainer.lightning_module
    plain, tensors = take_apart(checkpoint, dict(module.named_parameters()), trainer.optimizers)
    if trainer.strategy.data_share.rank != 0:
        tensors = _not_only_ours(tensors, {name for name, _ in module.named_parameters()})
    exchange_of(trainer.strategy).together(partial(_get_ready, trainer, plain))
    exchange = own_exchange(trainer.strategy)
    strategy = type(trainer.strategy).__name__
    place = Path(places.normal(path))
    if isinstance(plugin, AsyncCheckpointIO):
        contents = Contents(plain=map_tensors(_copied, plain), tensors=stage(tensors, plugin.staged), strategy=strategy)
        plugin.after(partial(write_folder, place, contents, exchange))
        if trainer.state.stage is None:  # there are no steps to go on with, and nobody who would hear of a failure
            exchange_of(trainer.strategy).together(plugin.teardown)
    else:
        write_folder(place, Contents(plain=plain, tensors=tensors, strategy=strategy), exchange)


def finish_saving(trainer: Trainer) -> None:
    """Wait for what is written beside the steps; where it failed on one process, all raise."""
    plugin = trainer.plugins.checkpoint_io
    if trainer.strategy.saves_sharded and isinstance(plugin, AsyncCheckpointIO):
        exchange_of(trainer.strategy).together(plugin.wait)


def _get_ready(trainer: Trainer, plain: PlainState) -> None:
    """Raise what is wrong with the checkpoint, or was wrong with the one before."""
    plugin = trainer.plugins.checkpoint_io
    if isinstance(plugin, AsyncCheckpointIO):
        plugin.wait()
    if trainer.is_global_zero:
        check_plain(plain)


_WHOLE = "have the strategy save one file (state_dict_type='full'; under a mesh save_distributed_checkpoint=False)"


def _refuse(path: str | Path, plugin: object, storage_options: object) -> None:
    if storage_options is not None:
        raise TypeError(
            f"Sharded checkpoints take no storage options. Got {storage_options!r}; expected None. Leave them out."
        )
    if places.is_remote(path):
        raise MisconfigurationException(
            four_parts("Sharded checkpoints are written to folders.", got=str(path), expected="a path",
                       remedy=f"Save to a folder that all machines see, or {_WHOLE}.")
        )  # fmt: skip
    inner = plugin.checkpoint_io if isinstance(plugin, AsyncCheckpointIO) else plugin
    if inner is not None and type(inner) is not TorchCheckpointIO:
        raise MisconfigurationException(
            four_parts("Sharded checkpoints are not written by a plugin of one's own.", got=type(inner).__name__,
                       expected="no CheckpointIO, or AsyncCheckpointIO()", remedy=f"Save as it is, or {_WHOLE}.")
        )  # fmt: skip


def _not_only_ours(tensors: dict[str, Tensor], parameters: set[str]) -> dict[str, Tensor]:
    """Leave out what each process has changed for itself, such as running means: those of the first process count."""

    def is_shared(key: str, value: Tensor) -> bool:
        section, _, name = key.partition(".")
        return isinstance(value, DTensor) or section not in SECTIONS[:2] or name in parameters

    return {key: value for key, value in tensors.items() if is_shared(key, value)}


def stage(tensors: Mapping[str, Tensor], staged: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the tensors in the CPU's memory.

    Args:
        tensors: by name.
        staged: copies from the last time, whose memory is used again; left with those of this time.
    """
    for key in staged.keys() - tensors.keys():
        del staged[key]
    with torch.inference_mode(False), torch.no_grad():  # after a validation, too, copies are to be written to again
        for key, tensor in tensors.items():
            before = staged.get(key)
            if before is not None and _is_alike(before, tensor):
                _local(before).copy_(_local(tensor))
            else:
                staged[key] = _copied(tensor)
    return dict(staged)


def _is_alike(one: Tensor, other: Tensor) -> bool:
    layouts = [(tensor.device_mesh, tensor.placements) for tensor in (one, other) if isinstance(tensor, DTensor)]
    same = len(layouts) != 1 and (not layouts or layouts[0] == layouts[1])
    return same and one.dtype == other.dtype and one.shape == other.shape


def _local(tensor: Any) -> Tensor:
    local: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone() if tensor.device.type == "cpu" else tensor.detach().to("cpu")
