"""Layers whose statistics are taken over all processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.errors import MisconfigurationException, four_parts


class LayerSync(ABC):
    """Replaces layers by ones that work together over processes."""

    def check_devices(self, kind: str, processes: int) -> None:  # noqa: B027 - most run anywhere
        """Refuse devices of `kind` that cannot run the layers.

        Raises:
            MisconfigurationException: they cannot.
        """

    @abstractmethod
    def apply(self, model: nn.Module) -> nn.Module:
        """Return the model with its layers replaced."""

    @abstractmethod
    def revert(self, model: nn.Module) -> nn.Module:
        """Return the model as it was."""


class TorchSyncBatchNorm(LayerSync):
    """Batch normalisation over all processes, by torch; on GPUs only."""

    def __init__(self) -> None:
        self._replaced: dict[str, _BatchNorm] = {}

    def check_devices(self, kind: str, processes: int) -> None:
        """Refuse several processes on devices for which torch has no such layer."""
        if processes > 1 and kind in ("cpu", "mps"):
            raise MisconfigurationException(
                four_parts("Batch norms work together over processes on GPUs only: torch's SyncBatchNorm runs nowhere "
                           "else.", got=f"sync_batchnorm=True, {processes} processes on {kind!r} devices",
                           expected="accelerator='cuda', or one process",
                           remedy="Leave it out, or use GroupNorm or LayerNorm, which need no other sample.")
            )  # fmt: skip

    def apply(self, model: nn.Module) -> nn.Module:
        """Return the model with every batch norm replaced; parameters and statistics are shared with the old ones."""
        self._replaced = {
            name: part
            for name, part in model.named_modules()
            if isinstance(part, _BatchNorm) and not isinstance(part, nn.SyncBatchNorm)
        }
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the batch norms back, with what the others learned."""
        for name, original in self._replaced.items():
            synced: Any = model.get_submodule(name)  # a SyncBatchNorm
            original.weight, original.bias = synced.weight, synced.bias
            original.running_mean, original.running_var = synced.running_mean, synced.running_var
            original.num_batches_tracked = synced.num_batches_tracked
            original.train(synced.training)
            owner, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(owner), attribute, original)
        self._replaced = {}
        return model
