"""Reading a checkpoint folder: every byte is compared first, then each process reads what it needs."""

from __future__ import annotations

import io
import pickle
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata

from trainer.checkpoints.sharded import manifest
from trainer.checkpoints.sharded.exchange import Exchange
from trainer.checkpoints.sharded.manifest import Manifest
from trainer.checkpoints.sharded.tensors import StoredTensor, put_together, read_whole
from trainer.data.transfer import map_tensors
from trainer.errors import CheckpointError
from trainer.types import PlainState

PLAIN = "meta.pt"
TENSORS = ".metadata"
_ALLOWED = {
    "torch": {"Size", "device"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.metadata": {
        "ChunkStorageMetadata",
        "Metadata",
        "MetadataIndex",
        "StorageMeta",
        "TensorProperties",
        "TensorStorageMetadata",
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
}


class _Unpickler(pickle.Unpickler):
    """Reads the list of tensors that torch writes, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        found = getattr(torch, name, None) if module == "torch" else None
        if name in _ALLOWED.get(module, ()) or isinstance(found, torch.dtype):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which does not belong there")


class Folder:
    """A checkpoint folder whose bytes are those that were written.

    Making one compares them: each process its part, and none goes on before all have.

    Args:
        path: the folder.
        exchange: the processes that read it; this one alone by default.

    Attributes:
        manifest: what the folder says about itself.

    Raises:
        CheckpointError: it is damaged, incomplete, or holds what could run code; on every process.
    """

    def __init__(self, path: Path, exchange: Exchange | None = None) -> None:
        self.path = path
        self._exchange = Exchange() if exchange is None else exchange
        self.manifest: Manifest
        self._exchange.together(self._compare)
        self._exchange.together(self._open)

    def _compare(self) -> None:
        self.manifest = manifest.read(self.path)
        mine = manifest.share(self.manifest.files, self._exchange.rank, self._exchange.world)
        manifest.compare(self.path, self.manifest.files, mine)

    def _open(self) -> None:
        data = (self.path / TENSORS).read_bytes()
        try:
            found = _Unpickler(io.BytesIO(data)).load()
            plain = torch.load(self.path / PLAIN, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"The checkpoint {self.path} holds more than plain data and is not read, as that could run code: "
                f"{error}. Folders of this trainer never do."
            ) from error
        places = {info.relative_path for info in found.storage_data.values()}
        odd = [key for key, value in found.state_dict_metadata.items() if type(value) is not TensorStorageMetadata]
        if odd or not places <= self.manifest.files.keys():
            raise CheckpointError(
                f"The checkpoint {self.path} was not written by this trainer: it holds {odd or sorted(places)} beside "
                "its tensors. Write it again, or load it with torch.distributed.checkpoint where you trust it."
            )
        found.storage_meta = StorageMeta()
        self._tensors: Metadata = found
        self._plain: PlainState = plain

    def stored(self, key: str) -> StoredTensor:
        """Return the tensor of this name without its values."""
        found: Any = self._tensors.state_dict_metadata[key]
        return StoredTensor.at(self, key, found.size, found.properties.dtype)

    def read(self, targets: Mapping[str, Tensor]) -> None:
        """Read tensors by name into others of the same shape, of which a process may hold a part each.

        Raises:
            CheckpointError: something cannot be read; on every process.
        """

        def load() -> None:
            # Each process finds alone what it needs; dcp.load would ask the others, or warn that it cannot.
            planner, reader = DefaultLoadPlanner(), FileSystemReader(self.path)
            planner.set_up_planner(dict(targets), self._tensors, is_coordinator=True)
            reader.set_up_storage_reader(self._tensors, is_coordinator=True)
            reader.read_data(planner.finish_plan(planner.create_local_plan()), planner).wait()

        try:
            self._exchange.together(load)
        except CheckpointError as error:
            raise CheckpointError(f"The checkpoint {self.path} could not be read: {error}") from error

    @property
    def names(self) -> list[str]:
        """Return the names of the stored tensors."""
        return sorted(self._tensors.state_dict_metadata)

    def checkpoint(self) -> PlainState:
        """Return the checkpoint; weights, optimizer states and gradients are stored tensors in it."""
        return put_together(self._plain, self)


def read_folder(path: Path, map_location: Any = "cpu", leaves: Collection[str] = ()) -> PlainState:
    """Return a whole checkpoint from its folder, on this process alone.

    Args:
        path: the folder.
        map_location: where tensors go, as for `torch.load`.
        leaves: of which parts the tensors are not read.

    Raises:
        CheckpointError: the folder is damaged or incomplete.
    """
    checkpoint = Folder(path).checkpoint()
    left = {key: value for key, value in checkpoint.items() if key in leaves}
    whole: PlainState = read_whole({key: value for key, value in checkpoint.items() if key not in leaves})
    if isinstance(map_location, str | int | torch.device):
        whole = map_tensors(lambda tensor: tensor.to(map_location), whole)
    elif map_location is not None:
        buffer = io.BytesIO()  # the other kinds are torch's to understand
        torch.save(whole, buffer)
        buffer.seek(0)
        whole = torch.load(buffer, map_location=map_location, weights_only=True)
    return {key: left[key] if key in left else whole[key] for key in checkpoint}
