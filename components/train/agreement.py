"""Processes of one training that run different code, or with different settings, are told before the first step."""

import json
import sys
from pathlib import Path

import torch

import trainer as tr
from components.artifacts import digest_of
from components.code import FIRST_PARTY
from components.digests import digest_of_file
from components.errors import ConfigError
from components.train.job import Job
from trainer.types import Stage

SHOWN = 5


class Agreement(tr.Callback):
    """Compares what the processes are made of.

    Args:
        job: what this process was told to train.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def setup(self, trainer: tr.Trainer, pl_module: tr.LightningModule, stage: Stage) -> None:
        """Compare all processes with rank zero.

        Raises:
            ConfigError: on every process, where one of them differs.
        """
        if not trainer.strategy.is_distributed:
            return
        own = json.dumps(constituents(self.job)).encode()
        everyone = [json.loads(one) for one in trainer.strategy.gather_bytes(own)]
        for rank, other in enumerate(everyone):
            if different := differences(everyone[0], other):
                shown = ", ".join(different[:SHOWN]) + (
                    f" and {len(different) - SHOWN} more" * (len(different) > SHOWN)
                )
                raise ConfigError(
                    f"The processes of this training are not the same. Got others on rank {rank} than on rank 0: "
                    f"{shown}; expected one configuration and one code everywhere. Install the same version and pass "
                    "the same job to every machine, then begin all of them again."
                )


def constituents(job: Job) -> dict[str, str]:
    """Return digests of the settings and of the source of each module of ours that is loaded, by name."""
    found = {f"configuration {name}": digest_of(value) for name, value in job.config.items()}
    found["application"] = job.package
    found["torch"] = torch.__version__
    roots = (*FIRST_PARTY, job.package.partition(".")[0])
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in roots and file and file.endswith(".py"):
            found[f"module {name}"] = digest_of_file(Path(file))
    return found


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the names whose values differ; a module that only one of them has loaded is no difference."""
    return sorted(
        name
        for name in one.keys() | other.keys()
        if one.get(name) != other.get(name)
        and not (name.startswith("module ") and (name not in one or name not in other))
    )
