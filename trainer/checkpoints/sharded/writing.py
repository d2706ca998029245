"""Writing a checkpoint folder: it appears under its name when every byte of it is on the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.storage import WriteResult

from trainer.checkpoints import places
from trainer.checkpoints.digests import write_with_digest
from trainer.checkpoints.renaming import destroy, flush_folder, put_in_place
from trainer.checkpoints.sharded import manifest
from trainer.checkpoints.sharded.exchange import Exchange
from trainer.checkpoints.sharded.manifest import Entry, Manifest
from trainer.checkpoints.sharded.reading import PLAIN, TENSORS
from trainer.errors import CheckpointError
from trainer.types import PlainState


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a checkpoint folder is to hold.

    Attributes:
        plain: everything but the tensors; the first process's counts.
        tensors: whole ones or this process's parts of them, by name.
        strategy: the class of the strategy.
    """

    plain: PlainState
    tensors: Mapping[str, Tensor]
    strategy: str


class _Writer(FileSystemWriter):
    """torch's writer, without the name of the folder in what it writes."""

    def storage_meta(self) -> StorageMeta | None:
        return None


def write_folder(path: Path, contents: Contents, exchange: Exchange) -> None:
    """Write a checkpoint to the folder `path`, whose predecessor of that name stays until the new one is whole.

    All processes take part. Each writes its shards under a temporary name, flushes and measures them; the first adds
    the rest and the manifest, and renames the folder.

    Raises:
        CheckpointError: a file system refuses, or `path` is something that is no checkpoint; on every process.
    """
    with _explained(path):
        [name, *_] = exchange.together(lambda: _begin(path, contents.plain) if exchange.rank == 0 else None)
        temporary = path.with_name(name)
        try:
            share = _Share(temporary, contents.tensors, exchange)
            exchange.together(share.make_plan)
            plans = exchange.objects(share.plan)
            files = exchange.together(lambda: share.write(plans))
            written = exchange.objects(share.written)

            def complete() -> None:
                if exchange.rank == 0:
                    share.writer.finish(share.metadata, written)
                    _complete(temporary, path, contents, files)

            exchange.together(complete)
        finally:
            if exchange.rank == 0 and temporary.exists():
                destroy(temporary)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(
            f"The checkpoint {path} could not be written: {error}. The previous one, if any, is untouched. "
            "Check the space left and the rights of the folder."
        ) from error


def _begin(path: Path, plain: PlainState) -> str:
    """Make the temporary folder and return its name."""
    if path.is_dir() and not (path / manifest.NAME).is_file() and any(path.iterdir()):
        raise CheckpointError("a folder of this name is there, and it is no checkpoint")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(places.temporary_folder(int(plain.get("global_step", 0))))
    temporary.mkdir()
    return temporary.name


class _Share:
    """What one process writes: planned, then told to the others, then written."""

    def __init__(self, temporary: Path, tensors: Mapping[str, Tensor], exchange: Exchange) -> None:
        self.temporary = temporary
        self.tensors = dict(tensors)
        self.exchange = exchange
        self.planner = DefaultSavePlanner()
        self.writer = _Writer(temporary, sync_files=True)
        self.plan: SavePlan
        self.metadata: Metadata
        self.written: list[WriteResult]

    def make_plan(self) -> None:
        is_first = self.exchange.rank == 0
        self.planner.set_up_planner(self.tensors, self.writer.storage_meta(), is_first)
        self.writer.set_up_storage_writer(is_first)
        self.plan = self.writer.prepare_local_plan(self.planner.create_local_plan())

    def write(self, plans: list[SavePlan]) -> dict[str, Any]:
        """Write this process's part of what all planned; return what its files are."""
        # Each process comes to the same plan of all; dcp.save lets the first one make it and send it around.
        plans, self.metadata = self.planner.create_global_plan(plans)
        plan = self.planner.finish_plan(self.writer.prepare_global_plan(plans)[self.exchange.rank])
        self.written = self.writer.write_data(plan, self.planner).wait()
        own = sorted(self.temporary.glob(f"__{self.exchange.rank}_*"))
        return {file.name: asdict(manifest.measure(file)) for file in own}


def _complete(temporary: Path, path: Path, contents: Contents, found: list[dict[str, Any]]) -> None:
    with open(temporary / PLAIN, "wb") as file:
        write_with_digest(contents.plain, file)
        file.flush()
        os.fsync(file.fileno())
    files = {name: Entry(**entry) for one in found for name, entry in one.items()}
    files |= {name: manifest.measure(temporary / name) for name in (PLAIN, TENSORS)}
    hyperparameters = contents.plain.get("hyper_parameters")
    whole = Manifest(
        format=manifest.FORMAT,
        step=int(contents.plain.get("global_step", 0)),
        world=len(found),
        strategy=contents.strategy,
        config="" if not hyperparameters else hashlib.sha256(repr(hyperparameters).encode()).hexdigest(),
        files=files,
    )
    with open(temporary / manifest.NAME, "wb") as file:
        file.write(manifest.encode(whole))
        file.flush()
        os.fsync(file.fileno())
    flush_folder(temporary)
    put_in_place(temporary, path)
