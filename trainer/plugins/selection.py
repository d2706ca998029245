"""Sorting the trainer's `plugins` argument."""

from __future__ import annotations

from collections.abc import Iterable

from trainer.configuration.plugin_slots import Plugins
from trainer.errors import MisconfigurationException, four_parts
from trainer.plugins.io import CheckpointIO
from trainer.plugins.layer_sync import LayerSync, TorchSyncBatchNorm
from trainer.plugins.precision import Precision


def read_plugins(given: object, *, sync_batchnorm: bool) -> Plugins:
    """Return the plugins by kind.

    Raises:
        MisconfigurationException: something is no plugin, or two are of one kind.
    """
    chosen: Plugins = Plugins()
    kinds = {"precision": Precision, "checkpoint_io": CheckpointIO, "layer_sync": LayerSync}
    for plugin in given if isinstance(given, Iterable) else [] if given is None else [given]:
        kind = next((name for name, base in kinds.items() if isinstance(plugin, base)), None)
        if kind is None or getattr(chosen, kind) is not None:
            raise MisconfigurationException(
                four_parts(
                    "`plugins` cannot be used as given.",
                    got=plugin,
                    expected="a Precision, a CheckpointIO and a LayerSync of trainer.plugins, each once at most",
                    remedy="Pass a strategy as `strategy`; processes of a cluster are found by their variables.",
                )
            )
        setattr(chosen, kind, plugin)
    if sync_batchnorm:
        if chosen.layer_sync is not None and not isinstance(chosen.layer_sync, TorchSyncBatchNorm):
            raise MisconfigurationException(
                four_parts(
                    "`sync_batchnorm` and a plugin for layers contradict each other.",
                    got=chosen.layer_sync,
                    expected="one of them",
                    remedy="Leave sync_batchnorm out.",
                )
            )
        chosen.layer_sync = chosen.layer_sync or TorchSyncBatchNorm()
    return chosen
