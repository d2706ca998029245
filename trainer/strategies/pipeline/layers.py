"""Which layers a pipeline is made of, how they are dealt out to its stages, and what becomes of those elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NoReturn, TypeAlias

import torch
from torch import Tensor, nn

from trainer.errors import MisconfigurationException, four_parts

Apply: TypeAlias = Callable[..., Any]
"""A layer: what the one before returned goes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of a pipeline in their order.

    Attributes:
        owner: the module that the pipeline stands in for: calling it means running all layers.
        names: of the layers, from the root.
        parts: the layers.
    """

    owner: nn.Module
    names: tuple[str, ...]
    parts: tuple[Apply, ...]

    def holds(self, key: str) -> str | None:
        """Return the name of the layer that the parameter or buffer called `key` belongs to, None for the others."""
        return next((name for name in self.names if key.startswith(f"{name}.")), None)


def find_layers(module: nn.Module, wanted: str | None) -> Layers:
    """Return the layers of `module`.

    Args:
        module: the whole model.
        wanted: the name of the part that is the pipeline; None to look for it.

    Raises:
        MisconfigurationException: there is none, or parameters are outside it.
    """
    owner = _named_owner(module, wanted) if wanted is not None else _found_owner(module)
    own = getattr(owner, "pipeline_layers", None)
    parts: tuple[Any, ...] = tuple(own()) if callable(own) else tuple(owner._modules.values())
    places: dict[int, str] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        places.setdefault(id(part), name)
    names = tuple(places.get(id(part), f"layer {index}") for index, part in enumerate(parts))
    layers = Layers(owner=owner, names=names, parts=parts)
    _check(module, layers)
    return layers


def _named_owner(module: nn.Module, wanted: str) -> nn.Module:
    owner: nn.Module | None = dict(module.named_modules()).get(wanted)
    if owner is None or not (_plain_sequence(owner) or callable(getattr(owner, "pipeline_layers", None))):
        raise MisconfigurationException(
            four_parts("`layers` names no sequence of layers.", got=wanted,
                       expected="an nn.Sequential of the model, or a part with a method `pipeline_layers`",
                       remedy="Correct it, or leave it out.")
        )  # fmt: skip
    return owner


def _found_owner(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if callable(getattr(part, "pipeline_layers", None)):
            return part
    everything = {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
    for part in module.modules():
        if _plain_sequence(part) and everything <= {id(parameter) for parameter in part.parameters()}:
            return part
    raise MisconfigurationException(
        four_parts(
            f"{type(module).__name__} does not say what its layers are.",
            got="no nn.Sequential with all parameters and no method `pipeline_layers`",
            expected="one of them",
            remedy="Write `pipeline_layers(self)`, which returns the modules that `forward` calls one after the other.",
        )
    )


def _plain_sequence(part: nn.Module) -> bool:
    return isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward


def _check(module: nn.Module, layers: Layers) -> None:
    inside: set[int] = set()
    for name, part in zip(layers.names, layers.parts, strict=True):
        if not callable(part) or (isinstance(part, nn.ModuleList | nn.ModuleDict)):
            raise MisconfigurationException(
                four_parts("A layer of the pipeline cannot be called.", got=f"{name}: {type(part).__name__}",
                           expected="modules and functions", remedy="List the modules in it one by one.")
            )  # fmt: skip
        if isinstance(part, nn.Module):
            if name.startswith("layer ") and any(True for _ in part.parameters()):
                raise MisconfigurationException(
                    four_parts("A layer of the pipeline is no part of the model.", got=type(part).__name__,
                               expected="attributes of the model, or modules without parameters",
                               remedy="Assign it in `__init__`.")
                )  # fmt: skip
            inside.update(id(parameter) for parameter in part.parameters())
    outside = [name for name, p in module.named_parameters() if p.requires_grad and id(p) not in inside]
    if outside:
        raise MisconfigurationException(
            four_parts("Parameters are outside the pipeline, so no stage could train them.", got=outside,
                       expected="every parameter that learns in one of the layers",
                       remedy="Make the layers that hold them part of the sequence, or of `pipeline_layers`.")
        )  # fmt: skip


# Stages


def starts_of_stages(layers: Layers, stages: int, split_points: Sequence[str] | None) -> list[int]:
    """Return the index of the first layer of each stage: at the names given, or so that the largest stage is smallest.

    Raises:
        MisconfigurationException: there are fewer layers than stages, or other split points than stages need.
    """
    count = len(layers.parts)
    if count < stages:
        raise MisconfigurationException(
            four_parts("The model has fewer layers than the pipeline has stages.", got=list(layers.names),
                       expected=f"at least {stages}", remedy="Use fewer processes or stages, or list smaller layers.")
        )  # fmt: skip
    if split_points is None:
        sizes = [
            sum(p.numel() for p in part.parameters()) if isinstance(part, nn.Module) else 0 for part in layers.parts
        ]
        return even_starts(sizes, stages)
    starts = [0, *(layers.names.index(name) for name in split_points if name in layers.names)]
    if len(starts) != stages or any(later <= earlier for earlier, later in pairwise(starts)):
        raise MisconfigurationException(
            four_parts("`split_points` does not make the stages of this pipeline.", got=list(split_points),
                       expected=f"{stages - 1} different names of {list(layers.names[1:])}, in this order",
                       remedy="Name the first layer of every stage but the first, or leave it out.")
        )  # fmt: skip
    return starts


def even_starts(sizes: Sequence[int], stages: int) -> list[int]:
    """Return where each of `stages` runs of `sizes` begins, so that the largest sum is smallest; none is empty."""
    sums = [0, *accumulate(sizes)]
    count = len(sizes)
    # best[n]: (largest sum, starts) of the first n sizes in as many runs as were added so far
    best: list[tuple[float, list[int]]] = [(sums[n], [0]) for n in range(count + 1)]
    best[0] = (float("inf"), [])
    for _ in range(1, stages):
        best = [
            min(
                ((max(best[at][0], sums[n] - sums[at]), [*best[at][1], at]) for at in range(1, n)),
                default=(float("inf"), []),
                key=lambda one: one[0],
            )
            for n in range(count + 1)
        ]
    return best[count][1]


def check_ties(layers: Layers, starts: Sequence[int]) -> None:
    """Refuse parameters that two stages would share.

    Raises:
        MisconfigurationException: there are some.
    """
    owners: dict[int, dict[int, str]] = {}
    stage = -1
    for index, (name, part) in enumerate(zip(layers.names, layers.parts, strict=True)):
        stage += index in starts
        if isinstance(part, nn.Module):
            for own, parameter in part.named_parameters():
                owners.setdefault(id(parameter), {}).setdefault(stage, f"{name}.{own}")
    tied = [sorted(places.values()) for places in owners.values() if len(places) > 1]
    if tied:
        raise MisconfigurationException(
            four_parts("Parameters are shared by layers on different stages.", got=tied,
                       expected="each parameter on one stage",
                       remedy="Choose `split_points` so that the layers come together, or give each its own.")
        )  # fmt: skip


# What is elsewhere


class Elsewhere:
    """Stands in the place of `forward` in a layer that belongs to another process."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse.

        Raises:
            MisconfigurationException: always.
        """
        raise MisconfigurationException(
            four_parts(
                "A layer of the pipeline was called by itself, and it is on another process.",
                got=self.name,
                expected="calls of the whole pipeline, from a step of the model, in a run with strategy='pipeline'",
                remedy="Call the whole model. For one with all layers, load a checkpoint with `load_from_checkpoint`.",
            )
        )


def leave_elsewhere(layers: Layers, mine: Sequence[int]) -> None:
    """Let go of the parameters and buffers of all layers but those with the indices `mine`.

    They keep their names, order and number of dimensions and have no element: an optimizer numbers its parameters on
    every process as one process would, and has no state for these.
    """
    own = [layers.parts[index] for index in mine]
    kept = {id(part) for layer in own if isinstance(layer, nn.Module) for part in layer.modules()}
    emptied: dict[int, Tensor] = {}
    before: list[Tensor] = []  # alive until the end, so that no other tensor gets its `id`
    for name, layer in zip(layers.names, layers.parts, strict=True):
        if not isinstance(layer, nn.Module) or id(layer) in kept:
            continue
        layer.forward = Elsewhere(name)
        for part in layer.modules():
            if id(part) in kept:
                continue
            for key, tensor in [*part._parameters.items(), *part._buffers.items()]:
                if tensor is not None:
                    before.append(tensor)
                    # Not into the dict: an LSTM keeps a second list of its weights.
                    setattr(part, key, emptied.setdefault(id(tensor), _without_elements(tensor)))


def _without_elements(tensor: Tensor) -> Tensor:
    empty = tensor.detach().new_empty((0, *tensor.shape[1:]))
    return nn.Parameter(empty, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty


def is_elsewhere(tensor: Tensor) -> bool:
    """Return whether the tensor's elements are on another process."""
    return tensor.numel() == 0


def refuse_batch_norm(module: nn.Module) -> None:
    """Refuse layers that mix the samples of a batch, of which a stage sees a part at a time.

    Raises:
        MisconfigurationException: there are some.
    """
    kinds = torch.nn.modules.batchnorm._BatchNorm
    found = [name for name, part in module.named_modules() if isinstance(part, kinds)]
    if found:
        raise MisconfigurationException(
            four_parts("Batch norms would see microbatches instead of batches.", got=found,
                       expected="layers that treat each sample by itself, or microbatches=1",
                       remedy="Use LayerNorm or GroupNorm.")
        )  # fmt: skip
