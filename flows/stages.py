"""The stages by name, and a runner for them: what code that chains data to a release imports.

from flows.stages import collect, ingest, open_application, preprocess

run, config = open_application("knowledge_tracing", "small")
logs = run(ingest, collect(run.store, ["answers.csv"]), config.ingest)
"""

from collections.abc import Callable, Sequence
from typing import Any

from components.app import load_application
from components.deploy.stage import deploy
from components.evaluate.stage import evaluate
from components.export.stage import export
from components.fairness.stage import fairness
from components.ingest.collect import collect
from components.ingest.stage import ingest
from components.leakage.stage import leakage
from components.preprocess.stage import preprocess
from components.simulate.stage import simulate
from components.stage import Runner
from components.train.stage import train
from flows.operations import make_runner
from flows.settings import Settings

__all__ = [
    "collect",
    "deploy",
    "evaluate",
    "export",
    "fairness",
    "ingest",
    "leakage",
    "open_application",
    "preprocess",
    "simulate",
    "train",
]


def open_application(
    name: str,
    config: str = "small",
    overrides: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Runner, Any]:  # Any: the application's configuration class
    """Return a stage runner over this installation's store, and the configuration of an application.

    Args:
        name: the application's, as `homeroom apps` lists it.
        config: a configuration of the application, or the path of a TOML file.
        overrides: `section.key=value`.
        settings: where and with whose keys; the environment says it by default.
        say: called with each line of progress.

    Raises:
        ConfigError: no such application or configuration, or something in it is wrong.
    """
    settings = settings or Settings()
    application = load_application(name)
    runner = make_runner(settings, application, settings.open_store(), say=say)
    return runner, application.configuration(config, overrides)
