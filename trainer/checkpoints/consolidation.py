"""One file from a checkpoint folder: its weights for other programs, or an ordinary checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import torch

from trainer.checkpoints import places
from trainer.checkpoints.files import save_checkpoint
from trainer.checkpoints.sharded.manifest import is_sharded
from trainer.errors import CheckpointError, MisconfigurationException, four_parts

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ALIGNED = 8


def consolidate(
    folder: str | Path, target: str | Path, format: Literal["safetensors", "ckpt"] = "safetensors"
) -> dict[str, int]:
    """Write what a sharded checkpoint holds to one file; the folder is verified first and stays.

    Args:
        folder: a checkpoint folder.
        target: the file, replaced only when the new one is whole.
        format: "safetensors" writes the weights alone, one tensor in memory at a time; "ckpt" writes an ordinary
            checkpoint with all that the folder holds, which is in memory whole.

    Returns:
        How many tensors of weights were written, and how many bytes the file has.

    Raises:
        CheckpointError: the folder is damaged, incomplete or no checkpoint, or the file cannot be written.
        MisconfigurationException: the format is unknown, or the file would be in the folder.
    """
    if format not in ("safetensors", "ckpt"):
        raise MisconfigurationException(
            four_parts("`format` is unknown.", got=format, expected="'safetensors' or 'ckpt'", remedy="Correct it.")
        )
    if not is_sharded(folder):
        what = "a file" if places.exists(folder) else "not there"
        raise CheckpointError(
            f"Only checkpoint folders are consolidated. {folder} is {what}. Pass a folder that a run with "
            "state_dict_type='sharded' wrote."
        )
    source = Path(places.normal(folder))
    if not places.is_remote(target) and source.resolve() in (Path(places.normal(target)).resolve(), *_parents(target)):
        raise MisconfigurationException(
            four_parts("The file would be in the folder, whose manifest names all that belongs to it.", got=str(target),
                       expected="a path outside of it", remedy="Write it beside the folder.")
        )  # fmt: skip
    from trainer.checkpoints.sharded.reading import Folder  # late: they take a while to import
    from trainer.checkpoints.sharded.tensors import read_whole

    checkpoint = Folder(source).checkpoint()
    weights = {name: value for name, value in checkpoint["state_dict"].items() if isinstance(value, torch.Tensor)}
    if format == "ckpt":
        save_checkpoint(read_whole(checkpoint), target)
    else:
        _write_safetensors(weights, target, {"format": "pt", "step": str(checkpoint["global_step"])})
    size = 0 if places.is_remote(target) else os.path.getsize(places.normal(target))
    return {"tensors": len(weights), "bytes": size}


def _parents(target: str | Path) -> list[Path]:
    return list(Path(places.normal(target)).resolve().parents)


def _write_safetensors(weights: dict[str, torch.Tensor], target: str | Path, metadata: dict[str, str]) -> None:
    """Write the format of the safetensors library (its format.md): a length, a JSON header, the bytes in its order.

    The library itself wants all tensors in memory.
    """
    from trainer.checkpoints.sharded.tensors import read_whole

    unknown = sorted({str(value.dtype) for value in weights.values() if value.dtype not in _NAMES})
    if unknown:
        raise CheckpointError(
            f"A safetensors file cannot hold tensors of {', '.join(unknown)}. Pass format='ckpt' instead."
        )
    order = sorted(weights, key=lambda name: (-weights[name].element_size(), name))  # so that all are aligned
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name in order:
        start, end = end, end + weights[name].numel() * weights[name].element_size()
        header[name] = {
            "dtype": _NAMES[weights[name].dtype],
            "shape": list(weights[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    with places.written_whole(places.normal(target)) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            whole = read_whole(weights[name]).contiguous()
            if whole.numel():
                file.write(memoryview(whole.reshape(-1).view(torch.uint8).numpy()))
