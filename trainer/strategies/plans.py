"""Plans of tensor parallelism: which layers of a model are split, and how, kept in a short file beside the model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from trainer.errors import MisconfigurationException, four_parts
from trainer.strategies.local_views import locally_read, read_locally

Plan: TypeAlias = Mapping[str, ParallelStyle] | Callable[[nn.Module, DeviceMesh], Mapping[str, ParallelStyle]]
"""Names of modules, `*` for one part of a name, and their style; or a function of the model and the mesh."""


class LocalParameters(ParallelStyle):
    """A module's own parameters as plain tensors: each process's share of some, the whole of the others.

    For a module whose forward pass mixes parameters of its own with activations that are split, such as the heads of
    an attention. Torch's styles know layers of linear algebra only.

    Args:
        split: parameter -> the dimension along which it is split.
        divide: integer attributes of the module that count what is split, such as its number of heads.
        partial: whole parameters that each process uses on a part of the activations: gradients are added up.
    """

    def __init__(
        self, split: Mapping[str, int] | None = None, *, divide: Sequence[str] = (), partial: Sequence[str] = ()
    ) -> None:
        self.split = dict(split or {})
        self.divide = tuple(divide)
        self.partial = tuple(partial)

    def problems(self, name: str, module: nn.Module, size: int) -> Iterator[str]:
        """Yield what does not divide by `size`, or is not there."""
        own = dict(module.named_parameters(recurse=False))
        for key in (*self.split, *self.partial):
            if key not in own:
                yield f"`{name}` has no parameter {key!r} of its own; it has {sorted(own)}"
        for key, dim in self.split.items():
            if key in own and (dim >= own[key].dim() or own[key].shape[dim] % size):
                yield f"`{name}.{key}` has shape {tuple(own[key].shape)}, split along dimension {dim}"
        for key in self.divide:
            if getattr(module, key, size + 1) % size:
                yield f"`{name}.{key}` is {getattr(module, key, None)!r}"

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        placements: dict[str, Placement] = {name: Shard(dim) for name, dim in self.split.items()}
        for name, parameter in list(module.named_parameters(recurse=False)):
            placement = placements.setdefault(name, Replicate())
            made = distribute_tensor(parameter.data, device_mesh, [placement])
            module.register_parameter(name, nn.Parameter(made, requires_grad=parameter.requires_grad))
        read_locally(module, device_mesh, placements, partial=self.partial)
        for name in self.divide:
            setattr(module, name, getattr(module, name) // device_mesh.size())
        return module


def apply_plan(module: nn.Module, mesh: DeviceMesh, plan: Plan) -> None:
    """Split the layers that the plan names over `mesh`, which has one dimension, and copy all other parameters.

    Raises:
        MisconfigurationException: a name matches no module, two names match one, a layer does not divide, or a
            parameter that several modules share would be split.
    """
    styles = _resolved(module, plan(module, mesh) if callable(plan) else plan)
    size = mesh.size()
    problems = [problem for name, style in styles.items() for problem in _misfits(module, name, style, size)]
    if problems:
        raise MisconfigurationException(
            four_parts("A layer cannot be split as the plan says.", got="; ".join(problems),
                       expected=f"sizes that {size} divides, as the mesh has {size} processes in 'tensor_parallel'",
                       remedy="Change the layer's size, `tensor_parallel_size`, or the plan.")
        )  # fmt: skip
    _refuse_shared(module, styles)
    for name, style in styles.items():
        parallelize_module(module.get_submodule(name), mesh, style)
    _refuse_uneven(module, size)


def copy_others(module: nn.Module, mesh: DeviceMesh) -> None:
    """Make every parameter that is no DTensor yet one, whole on each process of `mesh`; values are equal already."""
    made: dict[int, nn.Parameter] = {}
    for part in module.modules():
        plain = [(n, p) for n, p in part._parameters.items() if p is not None and not isinstance(p, DTensor)]
        for name, parameter in plain:
            if id(parameter) not in made:
                whole = DTensor.from_local(parameter.data, mesh, [Replicate()], run_check=False)
                made[id(parameter)] = nn.Parameter(whole, requires_grad=parameter.requires_grad)
            part.register_parameter(name, made[id(parameter)])
        if plain:
            read_locally(part, mesh, {name: Replicate() for name, _ in plain})


def add_up_gradients(module: nn.Module) -> None:
    """Let partial gradients of copied parameters be added up as they come, so that they can be clipped by value."""

    def added(parameter: nn.Parameter) -> None:
        gradient = parameter.grad
        if isinstance(gradient, DTensor) and gradient.placements != parameter.placements:  # type: ignore[attr-defined]
            parameter.grad = gradient.redistribute(placements=parameter.placements)  # type: ignore[attr-defined]

    for part in module.modules():
        own = locally_read(part)
        for name, parameter in part.named_parameters(recurse=False):
            if name not in own and isinstance(parameter, DTensor) and parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(added)  # type: ignore[no-untyped-call]  # torch's


def _resolved(module: nn.Module, plan: Mapping[str, Any]) -> dict[str, ParallelStyle]:
    if not isinstance(plan, Mapping) or not all(isinstance(style, ParallelStyle) for style in plan.values()):
        raise MisconfigurationException(
            four_parts("A plan says for names of modules how they are split.", got=plan,
                       expected="a mapping to torch.distributed.tensor.parallel.ParallelStyle, or a function returning "
                       "one", remedy="See docs/how-to/model-parallel.md.")
        )  # fmt: skip
    names = [name for name, _ in module.named_modules()]
    found: dict[str, tuple[str, ParallelStyle]] = {}
    unknown = []
    for pattern, style in plan.items():
        matches = [name for name in names if _fits(name, pattern)]
        if not matches:
            unknown.append(pattern)
        for name in matches:
            if name in found:
                raise MisconfigurationException(
                    four_parts("Two names of the plan match one module.", got=(found[name][0], pattern, name),
                               expected="one style for each module", remedy="Make one of them narrower.")
                )  # fmt: skip
            found[name] = (pattern, style)
    if unknown:
        near = sorted({close for pattern in unknown for close in difflib.get_close_matches(pattern, names, n=3)})
        raise MisconfigurationException(
            four_parts(f"Names of the plan match no module of {type(module).__name__}.", got=unknown,
                       expected=f"names such as {near or [name for name in names if name][:8]}",
                       remedy="Correct them; `*` stands for one part of a name. Is it the plan of this model?")
        )  # fmt: skip
    return {name: style for name, (_, style) in found.items()}


def _fits(name: str, pattern: str) -> bool:
    parts, wanted = name.split("."), pattern.split(".")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _misfits(root: nn.Module, name: str, style: ParallelStyle, size: int) -> Iterator[str]:
    module = root.get_submodule(name)
    if isinstance(style, LocalParameters):
        yield from style.problems(name, module, size)
        return
    if not isinstance(style, ColwiseParallel | RowwiseParallel):
        return
    if isinstance(module, nn.Linear):
        split = "out_features" if isinstance(style, ColwiseParallel) else "in_features"
    elif isinstance(module, nn.Embedding):
        split = "embedding_dim" if isinstance(style, ColwiseParallel) else "num_embeddings"
    else:
        yield f"`{name}` is a {type(module).__name__}, and {type(style).__name__} splits nn.Linear and nn.Embedding"
        return
    if getattr(module, split) % size:
        yield f"`{name}` has {split}={getattr(module, split)}"


def _refuse_shared(module: nn.Module, styles: Mapping[str, ParallelStyle]) -> None:
    owners: dict[int, list[str]] = {}
    for owner, part in module.named_modules(remove_duplicate=False):
        for name, parameter in part.named_parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(f"{owner}.{name}".lstrip("."))
    for name in styles:
        for parameter in module.get_submodule(name).parameters(recurse=False):
            if len(owners[id(parameter)]) > 1:
                raise MisconfigurationException(
                    four_parts("The plan would split a parameter that several modules share, and untie them.",
                               got=owners[id(parameter)], expected="a parameter of one module",
                               remedy="Leave these modules out of the plan, or untie them.")
                )  # fmt: skip


def _refuse_uneven(module: nn.Module, size: int) -> None:
    """Refuse what a style that is not torch's own split unevenly: optimizers fail on it later."""
    for name, parameter in module.named_parameters():
        if not isinstance(parameter, DTensor):
            continue
        for placement in parameter.placements:
            if isinstance(placement, Shard) and parameter.shape[placement.dim] % size:
                raise MisconfigurationException(
                    four_parts("A parameter cannot be split evenly.", got=f"{name} of shape {tuple(parameter.shape)}",
                               expected=f"a dimension {placement.dim} that {size} divides, as the mesh has {size} "
                               "processes in 'tensor_parallel'", remedy="Change the size or the plan.")
                )  # fmt: skip
