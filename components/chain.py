"""What all applications on one kind of data share: the stages from raw files to a release, and what decides on one.

Light on purpose, and everything is named, not imported: the key of one stage must not hang on the code of another.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STAGES = ("ingest", "preprocess", "leakage", "train", "evaluate", "fairness", "export", "deploy")
"""The stages, in their order; the same for every kind of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A kind of data, and what its applications inherit. Every field but the first four is a `module:name`."""

    name: str
    """Also of the module in `flows/views` and of the template in `flows/templates` that show its figures."""
    title: str
    """What raw files of this kind hold, e.g. `student logs`."""
    headline: str
    """The metric that decides whether a release takes over; larger is better."""
    unit: str
    """What a model's answers are measured in, e.g. `probability`: in it, an exported model differs from torch."""
    ingest: str
    """The stage functions; each is marked with `@stage` and has the name of its field."""
    preprocess: str
    leakage: str
    """Takes what ingest and preprocess published; before training, as there is no use in training what is no test."""
    train: str = "components.train.stage:train"
    evaluate: str
    fairness: str
    export: str
    deploy: str = "components.deploy.stage:deploy"
    comparison: str
    """A function like `answers_on_held_out` of `components/sequences/comparison.py`."""
    headline_of: str
    """A function like `headline_of` of the same: the headline of such answers, also by group."""
    unscored: str = ""
    """A function from the ingest configuration of training data to that of data which a release is to answer."""
    takes_overrides: bool = False
    """Whether ingest takes teachers' overrides (`components/overrides.py`) with the raw files."""
    card: str
    """A template (jinja) of the model card's figures."""

    def stage(self, name: str) -> Callable[..., Any]:  # Any: each stage has its own kind of artifact
        """Import and return the stage of this name, one of `STAGES`."""
        function: Callable[..., Any] = self.part(getattr(self, name))
        return function

    def part(self, name: str) -> Any:  # Any: a function or text that the chain names
        """Import and return what a `module:name` points to."""
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Local folders with the files of a run, for a comparison of releases on the rows that it held out."""

    logs: Path
    """What ingest published."""
    evaluation: Path
    """What evaluate published: which rows count, and their labels."""
