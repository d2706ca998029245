"""The tensors of a checkpoint, apart from the rest of it: named on the way out, and read to where they belong."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from trainer.errors import CheckpointError
from trainer.types import PlainState

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from trainer.checkpoints.sharded.reading import Folder

SECTIONS = ("state_dict", "current_model_state", "optimizer_states", "gradients")
"""What the weights, the optimizers and open windows keep; its tensors are read when they are asked for."""
_MARK = "trainer.sharded.tensor"


class StoredTensor(Tensor):
    """A tensor that is in a folder still: it has a shape and a dtype, and no values.

    Attributes:
        folder: where it is.
        key: its name there.
    """

    folder: Folder
    key: str
    # What is computed from one is no stored tensor any more.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # torch's own kind of function

    @staticmethod
    def at(folder: Folder, key: str, shape: Sequence[int], dtype: torch.dtype) -> StoredTensor:
        """Return the one of this name."""
        made: StoredTensor = torch.empty(*shape, dtype=dtype, device="meta").as_subclass(StoredTensor)
        made.folder, made.key = folder, key
        return made

    def __deepcopy__(self, memo: object) -> StoredTensor:
        return self


# Out


def take_apart(
    checkpoint: PlainState, named: Mapping[str, Tensor], optimizers: Sequence[Optimizer]
) -> tuple[PlainState, dict[str, Tensor]]:
    """Return a checkpoint with names in the place of its tensors, and the tensors by name.

    Taken are all that are split over processes, and the larger ones of weights, optimizers and gradients.

    Args:
        checkpoint: as the trainer collects it.
        named: the parameters of the model by name.
        optimizers: those whose states are in the checkpoint.
    """
    tensors: dict[str, Tensor] = {}
    used: set[str] = set()
    names = {id(parameter): name for name, parameter in named.items()}
    checkpoint = dict(checkpoint)
    if "optimizer_states" in checkpoint:
        states = zip(checkpoint["optimizer_states"], optimizers, strict=True)
        checkpoint["optimizer_states"] = [_by_name(state, optimizer, names) for state, optimizer in states]

    def taken(value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            if not isinstance(value, DTensor) and (place[0] not in SECTIONS or not value.dim()):
                return value
            key = ".".join(place)
            while key in used:
                key += "~"  # keys such as 1 and "1" in one dict
            used.add(key)
            if not value.is_meta or place[0] != "optimizer_states":  # else another process has the values
                tensors[key] = value.detach()
            return (_MARK, key)
        return _rebuilt(value, place, taken)

    apart = {
        key: value if key == "ranks" else taken(value, (str(key),))  # a process's own are no shares
        for key, value in checkpoint.items()
    }
    return apart, tensors


def _rebuilt(value: Any, place: tuple[str, ...], change: Any) -> Any:
    """Return a collection with its parts changed; anything else as it is."""
    if type(value) in (dict, OrderedDict):
        changed = type(value)((key, change(part, (*place, str(key)))) for key, part in value.items())
        if hasattr(value, "_metadata"):
            changed._metadata = value._metadata  # versions of the modules that the weights are from
        return changed
    if type(value) in (list, tuple):
        return type(value)(change(part, (*place, str(index))) for index, part in enumerate(value))
    return value


def _by_name(state: PlainState, optimizer: Optimizer, names: Mapping[int, str]) -> PlainState:
    """Return an optimizer's state with the names of parameters in the place of their numbers."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state.get("param_groups", ()) for number in group["params"]]
    if len(numbers) != len(parameters):
        return state  # an optimizer with a form of its own
    found = {
        number: names.get(id(parameter), f"#{number}") for number, parameter in zip(numbers, parameters, strict=True)
    }
    return {
        **state,
        "state": {found.get(number, number): held for number, held in state["state"].items()},
        "param_groups": [
            {**group, "params": [found[number] for number in group["params"]]} for group in state["param_groups"]
        ],
    }


# Back


def put_together(apart: PlainState, folder: Folder) -> PlainState:
    """Return a checkpoint with stored tensors in the place of their names, and optimizers as torch writes them."""

    def given(value: Any, place: tuple[str, ...]) -> Any:
        if type(value) is tuple and len(value) == 2 and value[0] == _MARK:
            return folder.stored(value[1])
        return _rebuilt(value, place, given)

    checkpoint = {key: value if key == "ranks" else given(value, (str(key),)) for key, value in apart.items()}
    if "optimizer_states" in checkpoint:
        checkpoint["optimizer_states"] = [_by_number(state) for state in checkpoint["optimizer_states"]]
    others = {key: value for key, value in checkpoint.items() if key not in SECTIONS and key != "ranks"}
    checkpoint |= read_whole(others)
    return checkpoint


def _by_number(state: PlainState) -> PlainState:
    numbers = {name: at for at, name in enumerate(name for group in state["param_groups"] for name in group["params"])}
    return {
        **state,
        "state": {numbers.get(name, name): held for name, held in state["state"].items()},
        "param_groups": [
            {**group, "params": [numbers[name] for name in group["params"]]} for group in state["param_groups"]
        ],
    }


def read_whole(value: Any) -> Any:
    """Return `value` with every stored tensor in it read whole, on the CPU."""
    wanted: dict[int, StoredTensor] = {}
    _collect(value, wanted)
    read = {number: torch.empty(stored.shape, dtype=stored.dtype) for number, stored in wanted.items()}
    _read([(stored, read[number]) for number, stored in wanted.items()])
    return _replaced(value, read)


def fill(state: Mapping[str, Any], own: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return a state of weights whose stored tensors were read into the model's own, shard by shard.

    What the model has not, or has in another shape, stays as it is: loading the state says what is wrong with it.

    Args:
        state: weights by name.
        own: the model's own, which are written to.
    """
    fitting = {
        name: value
        for name, value in state.items()
        if isinstance(value, StoredTensor) and isinstance(own.get(name), Tensor) and own[name].shape == value.shape
    }
    empty = sorted(name for name in fitting if own[name].is_meta)
    if empty:
        raise CheckpointError(
            f"The weights {empty[:3]} of the model have no storage yet (they are on the meta device), so that nothing "
            "can be read into them. Build the model in `configure_model`, or call `to_empty` on it."
        )
    # A process whose part of the model has none of them takes part all the same.
    folders = {id(v.folder): v.folder for v in state.values() if isinstance(v, StoredTensor)}
    _read([(value, own[name].detach()) for name, value in fitting.items()], folders)
    return {name: own[name] if name in fitting else _refused_if_computed(name, value) for name, value in state.items()}


def _refused_if_computed(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_meta and not isinstance(value, StoredTensor):
        raise CheckpointError(
            f"`on_load_checkpoint` computed {name!r} from weights of a sharded checkpoint, which are not read at that "
            "time. Rename, add and remove them there, or call `trainer.checkpoints.consolidate` and pass the file."
        )
    return value


def fill_optimizer(whole: PlainState, optimizer: Optimizer, state: PlainState) -> PlainState:
    """Return a state whose stored tensors were read, each split as its parameter is.

    Args:
        whole: the state in the checkpoint.
        optimizer: into which it goes.
        state: what this process needs of it.

    Raises:
        CheckpointError: the state is of other parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    wanted: dict[int, StoredTensor] = {}
    read: dict[int, Tensor] = {}
    owners = dict(zip(numbers, parameters, strict=False))
    for number, held in state["state"].items():
        mine: dict[int, StoredTensor] = {}
        _collect(held, mine)
        like = owners.get(number)
        for key, stored in mine.items():
            is_split = isinstance(like, DTensor) and like.shape == stored.shape
            read[key] = (
                torch.empty_like(like.detach(), dtype=stored.dtype)
                if is_split and like is not None
                else torch.empty(stored.shape, dtype=stored.dtype)
            )
        wanted |= mine
    anyone: dict[int, StoredTensor] = {}
    _collect(whole["state"], anyone)  # a process that needs nothing takes part all the same
    folders = {id(stored.folder): stored.folder for stored in anyone.values()}
    _read([(stored, read[key]) for key, stored in wanted.items()], folders)
    filled: PlainState = _replaced(state, read)
    return filled


def fill_like(state: Mapping[str, Any], models: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return tensors by name, those that are stored read and split as the model's of the same names are."""
    wanted = {name: value for name, value in state.items() if isinstance(value, StoredTensor)}
    read = {
        name: torch.empty_like(models[name].detach())
        if name in models and models[name].shape == value.shape
        else torch.empty(value.shape, dtype=value.dtype)
        for name, value in wanted.items()
    }
    _read([(value, read[name]) for name, value in wanted.items()])
    return {name: read.get(name, value) for name, value in state.items()}


def _collect(value: Any, into: dict[int, StoredTensor]) -> None:
    if isinstance(value, StoredTensor):
        into[id(value)] = value
    elif isinstance(value, dict):
        for part in value.values():
            _collect(part, into)
    elif isinstance(value, list | tuple):
        for part in value:
            _collect(part, into)


def _replaced(value: Any, read: Mapping[int, Tensor]) -> Any:
    if isinstance(value, StoredTensor):
        return read[id(value)]
    return _rebuilt(value, (), lambda part, _: _replaced(part, read))


def _read(pairs: Sequence[tuple[StoredTensor, Tensor]], folders: Mapping[int, Any] | None = None) -> None:
    """Read stored tensors into others; all processes take part, from the same folders."""
    given = {id(stored.folder): stored.folder for stored, _ in pairs} if folders is None else folders
    for folder in given.values():
        wanted: dict[str, list[Tensor]] = {}
        for stored, target in pairs:
            if stored.folder is folder:
                wanted.setdefault(stored.key, []).append(target)
        folder.read({key: targets[0] for key, targets in wanted.items()})
        for first, *others in wanted.values():
            for other in others:
                other.copy_(first)
