"""A table of grades that a learning management system can import, from the answers of batch scoring.

Answers know students by pseudonym alone. `file` and `row` say which row of which submitted file an answer belongs to,
so whoever has these files can put names and ids back: `grades_of` copies the columns that the configuration names.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl

from components.config import config_class
from components.errors import ConfigError, SchemaError
from components.writing.scale import PromptScale

OWN = "own:"
"""Begins a source that is a column of the submitted files."""
SOURCES = ("student", "response", "prompt", "grade", "raw", "low", "high", "note")


@config_class
class GradesConfig:
    """What the table looks like."""

    columns: tuple[str, ...] = ("Student = student", "Assignment = prompt", "Grade = grade", "Note = note")
    """`Header = source`, in the order of the table. Sources: student (pseudonym), response, prompt, grade, raw, low,
    high, note (why there is no grade), or `own:NAME` for a column of the submitted file. In a `wide` table `grade`
    gives one column per prompt, and `{prompt}` in its header stands for the prompt."""
    shape: Literal["long", "wide"] = "long"
    """A row per response, or a row per student with a column for each prompt."""
    grade: Literal["points", "percent"] = "points"
    """On the rubric's scale, or in percent of its range."""
    decimals: int = 2
    """Of grades in percent."""

    def __post_init__(self) -> None:
        problems = []
        if not self.columns:
            problems.append("columns is empty; expected at least one `Header = source`.")
        for text in self.columns:
            header, sign, source = (part.strip() for part in text.partition("="))
            known = source in SOURCES or (source.startswith(OWN) and source != OWN)
            if not (sign and header and known):
                problems.append(
                    f"columns has {text!r}; expected `Header = source` with a source of {', '.join(SOURCES)} or "
                    f"{OWN}NAME."
                )
        headers = [text.partition("=")[0].strip() for text in self.columns]
        if len(set(headers)) != len(headers):
            problems.append(f"columns has a header twice in {headers}. Rename one.")
        if self.shape == "wide":
            per_row = [s for _, s in self.pairs if s in {"response", "prompt", "raw", "low", "high", "note"}]
            if per_row or [s for _, s in self.pairs].count("grade") != 1:
                problems.append(
                    f"columns has {per_row or 'no single grade'}; a wide table has a row per student: expected "
                    "`grade` once, besides student and own columns."
                )
            elif "{prompt}" not in next(h for h, s in self.pairs if s == "grade"):
                problems.append("the header of grade has no {prompt}; in a wide table every prompt needs its own.")
        if not 0 <= self.decimals <= 6:
            problems.append(f"decimals is {self.decimals}; expected 0 to 6.")
        if problems:
            raise ValueError(" ".join(problems))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Header and source of each column."""
        split = (text.partition("=") for text in self.columns)
        return tuple((header.strip(), source.strip()) for header, _, source in split)


def grades_of(
    answers: pl.DataFrame,
    config: GradesConfig,
    *,
    scales: Sequence[PromptScale] = (),
    submitted: Mapping[int, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Return the table. Where the model abstained the grade is empty, so that an import changes nothing there.

    Args:
        answers: of `score_writing`, or a teacher's corrections in the same columns.
        config: which columns.
        scales: of the prompts; needed for grades in percent.
        submitted: `file` -> that file as a table, its rows in order; needed for own columns.

    Raises:
        ConfigError: grades in percent without the scales of all prompts, or own columns without the files.
        SchemaError: a file has no such column, or fewer rows than an answer says; or, in a wide table, a student has
            several answers to one prompt.
    """
    named = {scale.prompt: scale.score for scale in scales}
    table = answers.with_columns(grade=pl.col("score"), note=pl.col("abstained").fill_null(""))
    if config.grade == "percent":
        unknown = table["prompt"].unique().is_in(list(named)).not_().sum()
        if unknown:
            raise ConfigError(
                f"grade is 'percent', but the rubric's range is not known for {unknown} of the prompts. Give their "
                "scales (prompts.json), or write points."
            )
        low = pl.col("prompt").replace_strict({n: s.low for n, s in named.items()}, return_dtype=pl.Float64)
        high = pl.col("prompt").replace_strict({n: s.high for n, s in named.items()}, return_dtype=pl.Float64)
        table = table.with_columns(grade=(100.0 * (pl.col("score") - low) / (high - low)).round(config.decimals))
    own = [source.removeprefix(OWN) for _, source in config.pairs if source.startswith(OWN)]
    table = _with_own(table, list(dict.fromkeys(own)), submitted)
    if config.shape == "long":
        return table.select(pl.col(source).alias(header) for header, source in config.pairs)
    return _wide(table, config)


def _with_own(table: pl.DataFrame, own: Sequence[str], submitted: Mapping[int, pl.DataFrame] | None) -> pl.DataFrame:
    if not own:
        return table
    files = sorted(table["file"].unique().to_list())
    absent = [file for file in files if submitted is None or file not in submitted]
    if absent:
        raise ConfigError(
            f"columns names {OWN}{own[0]}, but {len(absent)} of the {len(files)} submitted files are not given. Give "
            "them all, in the order in which they were scored."
        )
    parts: list[pl.DataFrame] = []
    if not files:
        return table.with_columns(pl.lit(None, pl.String).alias(OWN + name) for name in own)
    for file in files:
        given = (submitted or {})[file]
        lacking = [name for name in own if name not in given.columns]
        rows = table.filter(pl.col("file") == file)["row"]
        last = int(rows.max() or 0)  # type: ignore[arg-type]  # polars types max() broadly
        if lacking or last > given.height:
            what = f"no column {', '.join(lacking)}" if lacking else f"{given.height} rows, an answer is of row {last}"
            raise SchemaError(f"Submitted file {file} has {what}. Give the very files that were scored.")
        copied = given.select(pl.col(name).cast(pl.String).alias(OWN + name) for name in own)
        parts.append(
            copied.with_columns(
                file=pl.lit(file, pl.UInt16), row=pl.int_range(1, given.height + 1, dtype=pl.UInt32, eager=True)
            )
        )
    return table.join(pl.concat(parts), on=["file", "row"], how="left", maintain_order="left")


def _wide(table: pl.DataFrame, config: GradesConfig) -> pl.DataFrame:
    twice = table.group_by("student", "prompt").len().filter(pl.col("len") > 1).height
    if twice:
        raise SchemaError(
            f"{twice} times a student has several answers to one prompt, which have one cell in a wide table. Score "
            "each student's last response only, or write a long table."
        )
    prompts = sorted(table["prompt"].unique().to_list())
    per_student = table.group_by("student", maintain_order=True).agg(
        *(pl.col(source).first() for _, source in config.pairs if source.startswith(OWN)),
        *(pl.col("grade").filter(pl.col("prompt") == prompt).first().alias(f"grade {prompt}") for prompt in prompts),
    )
    columns = []
    for header, source in config.pairs:
        if source == "grade":
            columns += [pl.col(f"grade {p}").alias(header.replace("{prompt}", p)) for p in prompts]
        else:
            columns.append(pl.col(source).alias(header))
    return per_student.select(columns)
