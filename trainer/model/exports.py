"""Writing a module in ONNX format."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from trainer.data.transfer import move_to_device
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.hooks import is_overridden

if TYPE_CHECKING:
    from trainer.module import LightningModule


def export_onnx(
    module: LightningModule, file_path: str | Path | BytesIO | None, input_sample: Any, options: dict[str, Any]
) -> Any:
    """Export `module` in evaluation mode; arguments and errors as for `LightningModule.to_onnx`."""
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(
                f"`{type(module).__name__}.to_onnx()` requires `{package}` to be installed: pip install {package}"
            )
    sample = module.example_input_array if input_sample is None else input_sample
    if sample is None:
        raise ValueError(
            "Could not export to ONNX since neither `input_sample` nor `model.example_input_array` attribute is set. "
            "Pass an input of `forward`, or set the attribute."
        )
    sample = _placed(module, sample)
    arguments: dict[str, Any] = {"args": () if isinstance(sample, Mapping) else sample}
    if isinstance(sample, Mapping):
        arguments["kwargs"] = dict(sample)
    _refuse_fixed_samples(sample, options.get("dynamic_shapes"))
    target: Any = str(file_path) if isinstance(file_path, Path) else file_path
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            return torch.onnx.export(module, f=target, **arguments, **options)
    finally:
        for part, training in modes:
            part.training = training


def _placed(module: LightningModule, sample: Any) -> Any:
    """Return the sample as batches of a run would be: on the module's device, through the hooks that are written."""
    from trainer.data.hooks import DataHooks

    sample = module.on_before_batch_transfer(sample, 0)
    if is_overridden("transfer_batch_to_device", module, DataHooks):
        sample = module.transfer_batch_to_device(sample, module.device, 0)
    else:
        sample = move_to_device(sample, module.device)
    return module.on_after_batch_transfer(sample, 0)


def _refuse_fixed_samples(sample: Any, dynamic_shapes: Any) -> None:
    """Refuse a sample of size 1 in a dimension that is to stay open.

    torch's exporter takes a size of 1 for a constant and writes, without a word, a model for that size alone.

    Raises:
        MisconfigurationException: there is one.
    """
    if dynamic_shapes is None:
        return
    leaves, shapes = _pairs(sample, dynamic_shapes)
    for tensor, shape in zip(leaves, shapes, strict=False):
        open_axes = shape.items() if isinstance(shape, Mapping) else enumerate(shape or ())
        for axis, dimension in open_axes:
            if dimension is not None and not isinstance(dimension, int) and tensor.shape[axis] == 1:
                raise MisconfigurationException(
                    four_parts(
                        "The sample has size 1 in a dimension that is to stay open, which the exporter would fix.",
                        got=f"shape {tuple(tensor.shape)}, dimension {axis} open",
                        expected="a size of at least 2 there",
                        remedy="Pass a longer sample.",
                    )
                )


def _pairs(sample: Any, shapes: Any) -> tuple[list[torch.Tensor], list[Any]]:
    if isinstance(sample, torch.Tensor):
        inner = list(shapes.values()) if _is_by_name(shapes) else list(shapes)
        return [sample], inner[:1]
    if isinstance(sample, Mapping):
        names = [name for name in sample if isinstance(sample[name], torch.Tensor) and name in shapes]
        return [sample[name] for name in names], [shapes[name] for name in names]
    inner = list(shapes.values()) if _is_by_name(shapes) else list(shapes)
    kept = [(part, shape) for part, shape in zip(sample, inner, strict=False) if isinstance(part, torch.Tensor)]
    return [part for part, _ in kept], [shape for _, shape in kept]


def _is_by_name(shapes: Any) -> bool:
    return isinstance(shapes, Mapping) and all(isinstance(name, str) for name in shapes)
