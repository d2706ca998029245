"""`homeroom simulate`: logs of simulated students."""

import shutil

import click


@click.command()
@click.option("--out", required=True, help="The .parquet file to write.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="e.g. --set students=500 --set seed=1.")
def simulate(out: str, overrides: tuple[str, ...]) -> None:
    """Write logs of a simulated district: students who learn and forget, in groups, with biases that you can plant.

    \b
    Example:
      homeroom simulate --out district.parquet --set students=500
    """
    from components.config import make_config
    from components.simulate.config import SimulateConfig
    from components.simulate.stage import simulate as simulate_stage
    from components.stage import Runner
    from flows.outputs import check_output, could_not_write
    from flows.settings import Settings

    target = check_output(out, (".parquet",))
    store = Settings().open_store()
    logs = Runner(store)(simulate_stage, make_config(SimulateConfig, {}, overrides, source="--set"))
    answers = store.folder(logs) / "answers.parquet"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(answers, target)
    except OSError as error:
        raise could_not_write(target, error) from error
    click.echo(f"{logs.rows} answers of {logs.students} simulated students in {out}")
