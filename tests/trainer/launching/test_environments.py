"""The process's place, from the environment."""

from __future__ import annotations

import pytest

from trainer.errors import MisconfigurationException
from trainer.launching.environments import Environment, check_environment, detect_environment

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "1234",
}


def test_a_process_alone_is_rank_zero() -> None:
    assert detect_environment({}) == Environment()
    assert detect_environment({"WORLD_SIZE": "4"}) == Environment()


def test_torchruns_variables_are_read() -> None:
    assert detect_environment(TORCHRUN) == Environment(
        rank=3, local_rank=1, world_size=4, local_world_size=2, node_rank=1, created_externally=True
    )


def test_half_an_environment_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="no MASTER_ADDR, MASTER_PORT"):
        detect_environment({name: value for name, value in TORCHRUN.items() if not name.startswith("MASTER")})


def test_contradicting_arguments_are_refused() -> None:
    environment = detect_environment(TORCHRUN)
    check_environment(environment, devices=2, num_nodes=2)
    with pytest.raises(MisconfigurationException, match="devices=2, num_nodes=1, WORLD_SIZE=4"):
        check_environment(environment, devices=2, num_nodes=1)
    check_environment(Environment(), devices=8, num_nodes=1)
