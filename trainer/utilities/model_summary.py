"""What a model consists of: its layers with their parameters, sizes, modes and floating point operations."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.utils.hooks import RemovableHandle

from trainer.errors import MisconfigurationException, four_parts

if TYPE_CHECKING:
    from trainer.module import LightningModule

UNKNOWN_SIZE = "?"
NOT_APPLICABLE = "n/a"
LEFTOVER_PARAMS_NAME = "other params"
_UNITS = (" ", "K", "M", "B", "T")
_BITS = {"64-true": 64, "16-true": 16, "bf16-true": 16}


class LayerSummary:
    """One layer.

    Args:
        module: the layer. Its sizes are those of the first call after this.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._in_size: str | list[Any] | None = None
        self._out_size: str | list[Any] | None = None
        self._handle: RemovableHandle | None = None
        if not isinstance(module, torch.jit.ScriptModule):
            self._handle = module.register_forward_hook(self._note, with_kwargs=True)

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        inputs = (*args, *kwargs.values())
        self._in_size = parse_batch_shape(inputs[0] if len(inputs) == 1 else inputs)
        self._out_size = parse_batch_shape(output)
        self.detach_hook()

    def detach_hook(self) -> None:
        """Look no longer."""
        if self._handle is not None:
            self._handle.remove()

    @property
    def in_size(self) -> str | list[Any]:
        """Return the shape of the input, or of each of several, "?" where it is not known."""
        return self._in_size or UNKNOWN_SIZE

    @property
    def out_size(self) -> str | list[Any]:
        """Return the shape of the output, or of each of several, "?" where it is not known."""
        return self._out_size or UNKNOWN_SIZE

    @property
    def layer_type(self) -> str:
        """Return the name of the layer's class."""
        return type(self._module).__name__

    @property
    def num_parameters(self) -> int:
        """Return the number of its parameters."""
        return count_parameters(self._module)

    @property
    def training(self) -> bool:
        """Return whether it is in training mode."""
        return self._module.training


class ModelSummary:
    """The layers of a model; as text, a table.

    Where the model has an `example_input_array`, it is called once on it, in evaluation mode and without gradients, for
    the sizes and operations of its layers.

    Args:
        model: the model.
        max_depth: how deep layers inside layers are listed; 0 lists none, -1 all.

    Raises:
        MisconfigurationException: `max_depth` is no integer of at least -1.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1) -> None:
        if not isinstance(max_depth, int) or max_depth < -1:
            raise MisconfigurationException(
                four_parts("`max_depth` of a model summary makes no sense.", got=max_depth,
                           expected="-1 (all), 0 (none) or a positive number", remedy="Correct it.")
            )  # fmt: skip
        self._model = model
        self._max_depth = max_depth
        self._flops: dict[str, dict[Any, int]] = {}
        self._layer_summary = self.summarize()

    # The model

    @property
    def named_modules(self) -> list[tuple[str, nn.Module]]:
        """Return the layers that are looked at, with their names."""
        if self._max_depth == 0:
            return []
        if self._max_depth == 1:
            return list(self._model.named_children())
        return list(self._model.named_modules())[1:]

    def summarize(self) -> dict[str, LayerSummary]:
        """Look at the model and return its layers by name."""
        summary = {name: LayerSummary(module) for name, module in self.named_modules}
        if self._example is not None:
            self._call_on_example()
        for layer in summary.values():
            layer.detach_hook()
        if self._max_depth < 1:
            return summary
        return {name: layer for name, layer in summary.items() if name.count(".") < self._max_depth}

    @property
    def _example(self) -> Any:
        return getattr(self._model, "example_input_array", None)

    def _call_on_example(self) -> None:
        from torch.utils.flop_counter import FlopCounterMode  # costs too much at import

        model, example = self._model, self._example
        trainer = getattr(model, "_trainer", None)
        context: Any = contextlib.nullcontext()
        if trainer is not None:
            context = (trainer.precision_options.step_context(trainer.strategy.device) or contextlib.nullcontext)()
        first = next(model.parameters(), None)
        if first is not None:
            example = _to_device(example, first.device)
        modes = [(part, part.training) for part in model.modules()]
        counter = FlopCounterMode(display=False)
        model.eval()
        try:
            with torch.no_grad(), context, counter:
                if isinstance(example, list | tuple):
                    model(*example)
                elif isinstance(example, Mapping):
                    model(**example)
                else:
                    model(example)
        finally:
            for part, training in modes:
                part.training = training
        self._flops = {name: dict(counts) for name, counts in counter.get_flop_counts().items()}

    # The layers

    @property
    def layer_names(self) -> list[str]:
        """Return the names of the layers."""
        return list(self._layer_summary)

    @property
    def layer_types(self) -> list[str]:
        """Return the names of the layers' classes."""
        return [layer.layer_type for layer in self._layer_summary.values()]

    @property
    def in_sizes(self) -> list[str | list[Any]]:
        """Return the shapes of the layers' inputs."""
        return [layer.in_size for layer in self._layer_summary.values()]

    @property
    def out_sizes(self) -> list[str | list[Any]]:
        """Return the shapes of the layers' outputs."""
        return [layer.out_size for layer in self._layer_summary.values()]

    @property
    def param_nums(self) -> list[int]:
        """Return the numbers of the layers' parameters."""
        return [layer.num_parameters for layer in self._layer_summary.values()]

    @property
    def training_modes(self) -> list[bool]:
        """Return which layers are in training mode."""
        return [layer.training for layer in self._layer_summary.values()]

    @property
    def flop_counts(self) -> dict[str, dict[Any, int]]:
        """Return the operations of each layer on the example input, by kind."""
        root = type(self._model).__name__
        return {name: self._flops.get(f"{root}.{name}", {}) for name in self.layer_names}

    # The whole

    @property
    def total_training_modes(self) -> dict[str, int]:
        """Return how many layers, at any depth, are in which mode."""
        modes = [module.training for module in self._model.modules()][1:]
        return {"train": modes.count(True), "eval": modes.count(False)}

    @property
    def total_parameters(self) -> int:
        """Return the number of all parameters."""
        return count_parameters(self._model)

    @property
    def trainable_parameters(self) -> int:
        """Return the number of parameters that require gradients."""
        return count_parameters(self._model, trainable_only=True)

    @property
    def total_layer_params(self) -> int:
        """Return the number of parameters in the layers listed."""
        return sum(self.param_nums)

    @property
    def model_size(self) -> float:
        """Return the size of all parameters in MB (10^6 bytes), at the precision of the trainer, else 32 bits."""
        trainer = getattr(self._model, "_trainer", None)
        bits = 32 if trainer is None else _BITS.get(trainer.precision, 32)
        return self.total_parameters * bits / 8 * 1e-6

    @property
    def total_flops(self) -> int:
        """Return the floating point operations of the model on its example input, 0 without one."""
        return sum(self._flops.get("Global", {}).values())

    # The table

    def _get_summary_data(self) -> list[tuple[str, list[str]]]:
        """Return the table's columns, each with its heading."""
        columns = [
            (" ", [str(index) for index in range(len(self._layer_summary))]),
            ("Name", self.layer_names),
            ("Type", self.layer_types),
            ("Params", [get_human_readable_count(number) for number in self.param_nums]),
            ("Mode", ["train" if training else "eval" for training in self.training_modes]),
            ("FLOPs", [get_human_readable_count(sum(counts.values())) for counts in self.flop_counts.values()]),
        ]
        if self._example is not None:
            columns += [("In sizes", [str(size) for size in self.in_sizes])]
            columns += [("Out sizes", [str(size) for size in self.out_sizes])]
        leftover = self.total_parameters - self.total_layer_params
        if leftover > 0:
            known = {" ": " ", "Name": LEFTOVER_PARAMS_NAME, "Params": get_human_readable_count(leftover)}
            for heading, cells in columns:
                cells.append(known.get(heading, NOT_APPLICABLE))
        return columns

    def __str__(self) -> str:
        return format_summary_table(
            self._get_summary_data(),
            total_parameters=self.total_parameters,
            trainable_parameters=self.trainable_parameters,
            model_size=self.model_size,
            total_training_modes=self.total_training_modes,
            total_flops=self.total_flops,
        )

    __repr__ = __str__


def summarize(lightning_module: LightningModule | nn.Module, max_depth: int = 1) -> ModelSummary:
    """Return the summary of a model; `print` shows it as a table."""
    return ModelSummary(lightning_module, max_depth=max_depth)


def format_summary_table(
    columns: list[tuple[str, list[str]]],
    *,
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    total_training_modes: Mapping[str, int],
    total_flops: int,
) -> str:
    """Return the table as text, with the totals below it."""
    widths = [max([len(heading), *(len(cell) for cell in cells)]) for heading, cells in columns]
    rule = "-" * (sum(widths) + 3 * (len(columns) + 1))
    rows = [[heading for heading, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    lines = [" | ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    totals = [
        (get_human_readable_count(trainable_parameters), "Trainable params"),
        (get_human_readable_count(total_parameters - trainable_parameters), "Non-trainable params"),
        (get_human_readable_count(total_parameters), "Total params"),
        (f"{model_size:,.3f}", "Total estimated model params size (MB)"),
        (str(total_training_modes["train"]), "Modules in train mode"),
        (str(total_training_modes["eval"]), "Modules in eval mode"),
        (get_human_readable_count(total_flops), "Total Flops"),
    ]
    return "\n".join([lines[0], rule, *lines[1:], rule, *(f"{value:<10}{meaning}" for value, meaning in totals)])


def get_human_readable_count(number: int) -> str:
    """Return a number of at least 0 with K, M, B or T: 123 -> "123  ", 1234 -> "1.2 K", 4e14 -> "400 T"."""
    if number < 0:
        raise ValueError(f"A count is not negative. Got {number!r}; expected a number of at least 0.")
    group = min((len(str(int(number))) - 1) // 3, len(_UNITS) - 1)
    shown = number / 1000**group
    if group == 0 or shown >= 100:
        return f"{int(shown):,d} {_UNITS[group]}"
    return f"{shown:,.1f} {_UNITS[group]}"


def parse_batch_shape(batch: Any) -> str | list[Any]:
    """Return the shape of a tensor, or of each in a list or tuple; "?" for anything else."""
    if hasattr(batch, "shape"):
        return list(batch.shape)
    if isinstance(batch, list | tuple):
        return [parse_batch_shape(part) for part in batch]
    return UNKNOWN_SIZE


def count_parameters(module: nn.Module, *, trainable_only: bool = False) -> int:
    """Return the number of parameters; those of lazy layers that were not called yet count 0."""
    return sum(
        parameter.numel()
        for parameter in module.parameters()
        if not isinstance(parameter, UninitializedParameter) and (parameter.requires_grad or not trainable_only)
    )


def _to_device(example: Any, device: torch.device) -> Any:
    if isinstance(example, torch.Tensor):
        return example.to(device)
    if isinstance(example, Mapping):
        return {key: _to_device(value, device) for key, value in example.items()}
    if isinstance(example, list | tuple):
        return type(example)(_to_device(part, device) for part in example)
    return example
