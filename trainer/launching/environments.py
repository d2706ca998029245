"""Who started this process, and which rank it has: alone, our launcher, or torchrun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from trainer.errors import MisconfigurationException, four_parts

LAUNCHED_VARIABLE = "TRAINER_LAUNCHED"
_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """This process's place among the processes of the run.

    Attributes:
        rank: 0 to world_size - 1, over all machines.
        local_rank: the same on this machine.
        world_size: number of processes, over all machines.
        local_world_size: the same on this machine.
        node_rank: index of this machine.
        created_externally: another program (our launcher or torchrun) started this process as one of several.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    node_rank: int = 0
    created_externally: bool = False


def detect_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Return the place that the environment variables give this process.

    Raises:
        MisconfigurationException: the variables of a launcher are there in part only.
    """
    variables = os.environ if variables is None else variables
    is_named = "TORCHELASTIC_RUN_ID" in variables or LAUNCHED_VARIABLE in variables
    if not is_named and not all(name in variables for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")):
        return Environment()
    missing = [name for name in _NEEDED if name not in variables]
    if missing:
        raise MisconfigurationException(
            four_parts(
                "This process was started as one of several, but its place is incomplete.",
                got=f"no {', '.join(missing)}",
                expected=f"the variables {', '.join(_NEEDED)}",
                remedy="Start it with torchrun, or unset RANK, WORLD_SIZE and LOCAL_RANK.",
            )
        )
    world_size = int(variables["WORLD_SIZE"])
    return Environment(
        rank=int(variables["RANK"]),
        local_rank=int(variables["LOCAL_RANK"]),
        world_size=world_size,
        local_world_size=int(variables.get("LOCAL_WORLD_SIZE", world_size)),
        node_rank=int(variables.get("GROUP_RANK", variables.get("NODE_RANK", 0))),
        created_externally=True,
    )


def is_launched_by_us() -> bool:
    """Return whether our own launcher started this process as one of several."""
    return LAUNCHED_VARIABLE in os.environ


def check_environment(environment: Environment, *, devices: int, num_nodes: int) -> None:
    """Refuse arguments that contradict the processes that were started.

    Raises:
        MisconfigurationException: `devices` times `num_nodes` is not the number of processes.
    """
    if environment.created_externally and devices * num_nodes != environment.world_size:
        raise MisconfigurationException(
            four_parts(
                "The trainer and whoever started the processes disagree about their number.",
                got=f"devices={devices}, num_nodes={num_nodes}, WORLD_SIZE={environment.world_size}",
                expected="devices * num_nodes == WORLD_SIZE",
                remedy='Pass devices="auto" and the number of nodes, or correct --nproc-per-node.',
            )
        )
