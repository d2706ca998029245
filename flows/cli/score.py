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
@click.option("--grades", help="Also write a .csv of grades for a learning management system (releases that grade).")
@click.option(
    "--lms",
    type=click.Choice(["plain", "canvas", "moodle"]),
    default="plain",
    show_default=True,
    help="Which system imports the grades; it knows students by a column of your file, such as SIS User ID.",
)
@click.option(
    "--assignment",
    default="{prompt}",
    show_default=True,
    help="Header of the grades for canvas and moodle; {prompt} stands for the prompt's id.",
)
@click.option(
    "--grade-as",
    type=click.Choice(["points", "percent"]),
    default="points",
    show_default=True,
    help="Grades on the rubric's scale, or in percent of its range.",
)
def score(
    release: str,
    data: tuple[str, ...],
    out: str,
    which: str,
    config: str | None,
    overrides: tuple[str, ...],
    grades: str | None,
    lms: str,
    assignment: str,
    grade_as: str,
) -> None:
    """Answer every step of the logs with RELEASE, as the service would answer it from the steps before.

    Students stay pseudonyms; `file` and `row` say which row of your data an answer belongs to.

    \b
    Examples:
      homeroom score knowledge_tracing --data answers.csv --out answers.parquet
      homeroom score knowledge_tracing --data other.csv --config other.toml --out answers.csv --which last
      homeroom score essay_grading --data night.csv --out answers.parquet --grades grades.csv --lms canvas
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
            grades=grades,
            grades_as={"lms": lms, "assignment": assignment, "grade": grade_as},
            observe=progress.observe,
            say=progress.say,
        )
    click.echo(f"{count} answers in {out}" + (f", grades in {grades}" if grades is not None else ""))
