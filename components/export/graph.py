"""Writes the ONNX graph: symbolic batch and time axes, metadata, and an optional 8-bit copy."""

import copy
import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import onnx
import torch
from torch import Tensor

from components.app import Application
from components.digests import digest_of_file
from components.errors import ExportError
from components.inference import import_runtime

BATCH, STEPS = "batch", "steps"
# Never 1: an example dimension of 1 is silently fixed by torch.onnx.export (2.13).
EXAMPLE_BATCH, EXAMPLE_STEPS = 3, 5
MOST = 1 << 20


class Exportable(Protocol):
    """What the export asks of a model: names, and random inputs of any batch and time length."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        """Return valid inputs whose first axes are those that `axes_of` says."""


def axes_of(network: Any, name: str) -> tuple[str, ...]:  # Any: an Exportable module
    """Return which of an input's or output's first axes are free: `export_axes[name]` of the network, else both.

    An input without steps, such as one number for each text, has ("batch",).
    """
    axes: tuple[str, ...] = getattr(network, "export_axes", {}).get(name, (BATCH, STEPS))
    return axes


def most_steps(network: Any) -> int:  # Any: an Exportable module
    """Return how many steps the network can take: its `max_steps`, where positions are learned one by one."""
    return int(getattr(network, "max_steps", MOST))


def load_network(application: Application, checkpoint: Path) -> Any:  # Any: the application's module, also Exportable
    """Return the trained model on the CPU, ready to answer."""
    return (
        application.part(application.model).load_from_checkpoint(checkpoint / "model.ckpt", map_location="cpu").eval()
    )


def digest_of_codec(dataset: Path) -> str:
    """Return the digest of the vocabulary that the model was trained with: the schema of its inputs."""
    return digest_of_file(dataset / "codec.json")


def inputs_schema(network: Any) -> str:
    """Return the inputs' names, types and shapes as JSON, batch and steps by name."""
    example = network.export_inputs(EXAMPLE_BATCH, EXAMPLE_STEPS, seed=0)
    shapes = {
        name: {
            "dtype": str(example[name].dtype).removeprefix("torch."),
            "shape": [*axes_of(network, name), *example[name].shape[len(axes_of(network, name)) :]],
        }
        for name in network.input_names
    }
    return json.dumps(shapes)


def write_onnx(network: Any, path: Path, *, opset: int, metadata: Mapping[str, str]) -> None:
    """Export `network` to one file with named symbolic axes and metadata."""
    inputs = network.export_inputs(EXAMPLE_BATCH, EXAMPLE_STEPS, seed=0)
    most = {BATCH: MOST, STEPS: most_steps(network)}
    free = {name: torch.export.Dim(name, min=1, max=size) for name, size in most.items()}
    _forget_recurrent_kernels()
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it talks about torchvision
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own deprecations inside the exporter (2.13)
            torch.onnx.export(
                copy.deepcopy(network),  # the exporter leaves attributes of an LSTM changed
                tuple(inputs[name] for name in network.input_names),
                str(path),
                input_names=list(network.input_names),
                output_names=list(network.output_names),
                dynamic_shapes=tuple(
                    {place: free[axis] for place, axis in enumerate(axes_of(network, name))}
                    for name in network.input_names
                ),
                opset_version=opset,
                external_data=False,
                verbose=False,
                dynamo=True,
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    graph = _with_inferred_shapes(onnx.load(str(path)), network)
    _strip(graph)
    onnx.helper.set_model_props(graph, dict(sorted(metadata.items())))
    onnx.save(graph, str(path))


def _strip(model: onnx.ModelProto) -> None:
    """Take out what the exporter notes of the machine: stack traces with paths, node by node."""
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        del graph.metadata_props[:]
        graph.doc_string = ""
        for part in (*graph.node, *graph.value_info):
            del part.metadata_props[:]
            part.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""


def _forget_recurrent_kernels() -> None:
    """Make the exporter look up LSTM and GRU anew.

    torch 2.13 swaps in an export of LSTM and GRU that keeps the number of steps free, but dispatches by a cache:
    whoever exported or traced one before in this process gets the plain one, which fixes the steps. Unneeded once torch
    clears the cache itself; `check_axes` tells.
    """
    for kernel in (torch.ops.aten.lstm.input, torch.ops.aten.gru.input):
        getattr(kernel, "_dispatch_cache", {}).clear()


def _with_inferred_shapes(model: onnx.ModelProto, network: Any) -> onnx.ModelProto:  # Any: an Exportable module
    """State the outputs' and inner values' shapes as ONNX infers them from the inputs.

    The exporter (torch 2.13) states the example's number of steps behind an LSTM, although the graph computes any. What
    ONNX infers to be a number really is one; where it infers nothing, the axis gets its name.
    """
    del model.graph.value_info[:]
    ranks = []
    for value in model.graph.output:
        ranks.append(len(value.type.tensor_type.shape.dim))
        value.type.tensor_type.ClearField("shape")
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value, rank in zip(model.graph.output, ranks, strict=True):
        dims = value.type.tensor_type.shape.dim
        while len(dims) < rank:
            dims.add()
        for axis, name in enumerate(axes_of(network, value.name)):
            if axis < rank and not dims[axis].HasField("dim_value"):
                dims[axis].dim_param = name
    return model


def check_axes(path: Path, network: Any = None) -> None:  # Any: an Exportable module
    """Make sure that batch and time are symbolic in every input and output that has them.

    Raises:
        ExportError: an axis was fixed to a number; the message names it.
    """
    graph = onnx.load(str(path)).graph
    initial = {tensor.name for tensor in graph.initializer}
    fixed = []
    for value in [*graph.input, *graph.output]:
        if value.name in initial:
            continue
        dims = value.type.tensor_type.shape.dim
        for axis, name in enumerate(axes_of(network, value.name)):
            if axis >= len(dims) or not dims[axis].dim_param:
                size = dims[axis].dim_value if axis < len(dims) else "absent"
                fixed.append(f"axis {axis} ({name}) of {value.name} is {size}")
    if fixed:
        raise ExportError(
            f"The exported graph has fixed axes: {'; '.join(fixed)}. It would answer only inputs of that size. "
            "Remove what depends on the example's size in the model's forward."
        )


def write_int8(source: Path, target: Path) -> None:
    """Write a copy of the model with 8-bit weights (dynamic quantisation)."""
    import_runtime()
    from onnxruntime.quantization import QuantType, quantize_dynamic  # late: most exports need none of it

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on pre-processing at the root logger
    try:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
