"""A DataLoader in one of several processes: its own part of the indices, its workers seeded."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from trainer.data.sampling import Split, is_split_already, view_loader
from trainer.seed import SeedWorker, workers_are_seeded
from trainer.strategies import Strategy


def set_up_loader(loader: DataLoader[Any], strategy: Strategy, *, splits: bool) -> DataLoader[Any]:
    """Return a view of `loader` that reads this process's part; the loader itself where nothing has to be done.

    The user's samplers stay. Parts are filled up to equal lengths with the first items, so that every process takes
    equally many steps. An iterable dataset has to split itself.
    """
    share = strategy.data_share
    worker_init = SeedWorker(share.rank) if workers_are_seeded() and loader.num_workers else None
    has_indices = not isinstance(loader.dataset, IterableDataset)
    split = None
    if splits and strategy.is_distributed and has_indices and not is_split_already(loader):
        split = Split(
            rank=share.rank,
            world_size=share.world_size,
            repeats=True,
            drops=False,
            share=lambda payload: strategy.gather_bytes(payload)[0],
        )
    if split is None and worker_init is None:
        return loader
    if split is None:
        if loader.worker_init_fn is None:
            loader.worker_init_fn = worker_init
        return loader
    view, _ = view_loader(loader, split=split, worker_init=worker_init)
    return view
