"""`homeroom score`: whole logs answered with a release, into a file."""

import click


@click.command()
@click.argument("release")
@click.option("--data", multiple=True, required=True, metavar="PATH_OR_URL", help="Logs, as for `homeroom run`.")
@click.option("--out", required=True, help="A .parquet or .csv file to write.")
@click.option(
    "--which",
    type=click.Choice(["all", "last"]),
    default="all",
    show_default=True,
    help="Every step, or each student's last.",
)
@click.option(
    "--config",
    metavar="NAME_OR_TOML",
    help="Read the logs as this configuration says; by default as the release's own logs were read.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change how the logs are read, e.g. --set ingest.quarantine_limit=0.1. May be given several times.",
)
def score(
    release: str, data: tuple[str, ...], out: str, which: str, config: str | None, overrides: tuple[str, ...]
) -> None:
    """Answer every step of the logs with RELEASE, as the service would answer it from the steps before.

    Students stay pseudonyms; `file` and `row` say which row of your data an answer belongs to.

    \b
    Examples:
      homeroom score knowledge_tracing --data answers.csv --out answers.parquet
      homeroom score knowledge_tracing --data other.csv --config other.toml --out answers.csv --which last
    """
    from flows.cli.progress import Progress
    from flows.scoring import score_logs
    from flows.settings import Settings

    with Progress(("ingest",)) as progress:
        count = score_logs(
            release,
            data,
            out,
            which,
            Settings(),
            config=config,
            overrides=overrides,
            observe=progress.observe,
            say=progress.say,
        )
    click.echo(f"{count} answers in {out}")
