"""`homeroom demo`: the whole path on simulated students, ending with served answers."""

import hashlib
import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import click

SIMULATED = ("students=1500",)


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path(".homeroom/demo"),
    show_default=True,
    help="Where the demo keeps its store, keys and (unless PREFECT_HOME is set) Prefect's database.",
)
@click.option("--prefect/--no-prefect", default=True, help="Run as a Prefect flow (default), or in this process alone.")
def demo(folder: Path, prefect: bool) -> None:
    """Simulate a district of students, take their logs to a release, serve it, and ask it for answers.

    Needs no server, account, GPU, network service or data. Everything stays below --folder; delete it to start afresh.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(folder / "prefect"))  # before Prefect reads it
    from components.artifacts import SimulatedLogs
    from components.config import make_config
    from components.secrets import SecretKey, write_key
    from components.simulate.config import SimulateConfig
    from components.simulate.stage import simulate
    from components.stage import Runner
    from flows.cli.progress import Progress
    from flows.cli.run import print_summary
    from flows.operations import run_request
    from flows.pipeline import STAGES
    from flows.request import RunRequest
    from flows.settings import Settings

    settings = Settings(store=str(folder / "store"), cache=folder / "cache", keys=folder / "keys")
    # The students are made up: a known key makes the demo's figures the same everywhere.
    write_key(settings.keys / "pseudonym.key", SecretKey(hashlib.sha256(b"homeroom demo").digest()))
    store = settings.open_store()
    with Progress(("simulate", *STAGES)) as progress:
        runner = Runner(store, observe=progress.observe, say=progress.say)
        district: SimulatedLogs = runner(simulate, make_config(SimulateConfig, {}, SIMULATED, source="the demo"))
        logs = folder / "district.parquet"
        shutil.copyfile(store.folder(district) / "answers.parquet", logs)
        request = RunRequest(application="knowledge_tracing", data=(str(logs),))
        if prefect:
            from flows.tasks import run_as_flow

            summary = run_as_flow(request, settings, observe=progress.observe, say=progress.say)
        else:
            summary = run_request(request, settings, observe=progress.observe, say=progress.say)
    print_summary(summary.to_json())
    click.echo(f"run: {summary.seconds:.1f} s")
    _ask(settings, summary.outcome.release.version)


def _ask(settings: Any, version: str) -> None:
    """Start the service on the release, ask it about two made-up students, and stop it."""
    from flows.releases import find_release
    from serving.run import start

    store = settings.open_store()
    release = find_release(store, version)
    skill, item = _known(store.folder(release))
    asked = [{"item": item, "skills": [skill]}, {"item": "an item that is new", "skills": [skill]}]
    histories = {
        "right four times": [{"item": item, "skills": [skill], "correct": 1}] * 4,
        "wrong four times": [{"item": item, "skills": [skill], "correct": 0}] * 4,
    }
    click.echo("\nstarting the service ...", err=True)
    with start(store.folder(release), key_file=settings.release_key_file()) as server:
        click.echo(f"ready on {server.url}; asking for the next answer of two students:")
        for name, history in histories.items():
            body = json.dumps({"history": history, "candidates": asked}).encode()
            call = urllib.request.Request(
                f"{server.url}/v1/predict", body, {"Content-Type": "application/json"}, method="POST"
            )
            with urllib.request.urlopen(call, timeout=30) as response:
                answer = json.load(response)
            known, new = answer["answer"]["predictions"]
            click.echo(
                f"  {name}: probability right {known['probability']:.3f}, on a new item {new['probability']:.3f} "
                f"{list(new['flags'])}  (release {answer['release']})"
            )
    click.echo(
        f"service stopped. To ask it yourself:\n"
        f"  HOMEROOM_STORE={settings.store} HOMEROOM_KEYS={settings.keys} homeroom serve knowledge_tracing\n"
        f"Your own logs: homeroom run knowledge_tracing --data YOUR_LOGS"
    )


def _known(bundle: Path) -> tuple[str, str | None]:
    """Return a skill and an item that the release knows, from its vocabulary."""
    vocabulary = json.loads((bundle / "codec.json").read_text(encoding="utf-8"))
    items = vocabulary["items"]
    return vocabulary["skills"][0], items[0] if items else None
