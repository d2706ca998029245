"""`homeroom simulate`: data of simulated students."""

import shutil

import click


@click.command()
@click.option("--out", required=True, help="The .parquet file to write.")
@click.option(
    "--kind",
    type=click.Choice(["logs", "writing"]),
    default="logs",
    show_default=True,
    help="Answer logs, or texts with human scores.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="e.g. --set students=500 --set seed=1.")
def simulate(out: str, kind: str, overrides: tuple[str, ...]) -> None:
    """Write data of a simulated district: students who learn and forget, in groups, with biases that you can plant.

    \b
    Examples:
      homeroom simulate --out district.parquet --set students=500
      homeroom simulate --kind writing --out essays.parquet --set prompts=2
    """
    from components.artifacts import SimulatedLogs, SimulatedWriting
    from components.config import make_config
    from components.simulate.config import SimulateConfig
    from components.simulate.stage import ANSWERS
    from components.simulate.stage import simulate as simulate_logs
    from components.simulate.writing_config import SimulateWritingConfig
    from components.simulate.writing_stage import RESPONSES, simulate_writing
    from components.stage import Runner
    from flows.outputs import check_output, could_not_write
    from flows.settings import Settings

    target = check_output(out, (".parquet",))
    store = Settings().open_store()
    run = Runner(store)
    made: SimulatedLogs | SimulatedWriting
    if kind == "logs":
        made, name = run(simulate_logs, make_config(SimulateConfig, {}, overrides, source="--set")), ANSWERS
    else:
        made, name = run(simulate_writing, make_config(SimulateWritingConfig, {}, overrides, source="--set")), RESPONSES
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(store.folder(made) / name, target)
    except OSError as error:
        raise could_not_write(target, error) from error
    what = "answers" if kind == "logs" else "scored texts"
    click.echo(f"{made.rows} {what} of {made.students} simulated students in {out}")
