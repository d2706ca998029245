"""Configuration of the ingest of scored writing: the layout, columns, rubrics, and how much may be unusable."""

import math
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Literal

from components.config import config_class
from components.ingest.config import DELIMITERS
from components.writing.schema import SPLITS

Resolution = Literal["rounded_mean", "mean", "sum", "first"]
EVERY = "*"
"""In `prompts`: the rubric of all prompts that are not named."""


@config_class
class TraitRange:
    """The scale of a trait for one prompt."""

    low: float
    """Lowest score."""
    high: float
    """Highest score."""

    def __post_init__(self) -> None:
        """Check the range."""
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low below high.")


@config_class
class Rubric:
    """The scale on which a prompt is scored, and what is known of the prompt itself."""

    low: float
    """Lowest score."""
    high: float
    """Highest score."""
    step: float = 1.0
    """Between two scores next to each other, above 0."""
    text: str | None = None
    """The prompt's own text, from which copied passages are told."""
    reference_answers: tuple[str, ...] = ()
    """Answers that are known to be right, the best first."""
    traits: Mapping[str, TraitRange] = field(default_factory=dict)
    """Name of a trait -> its scale."""

    def __post_init__(self) -> None:
        """Check that the scale has at least two scores and whole steps."""
        if not self.low < self.high:
            raise ValueError(f"low is {self.low} and high is {self.high}; expected low below high.")
        steps = (self.high - self.low) / self.step if self.step > 0 else 0.0
        if steps < 1 or not math.isclose(steps, round(steps), abs_tol=1e-6):
            raise ValueError(
                f"step is {self.step} on a scale from {self.low} to {self.high}; expected one that divides the scale "
                "into whole steps, e.g. 1 or 0.5."
            )


@config_class
class WritingMapping:
    """Says which column of a table holds what. Only `text` is needed, and a score in one of the ways below."""

    text: str
    """Column with what the student wrote."""
    response: str | None = None
    """Column with the id of the response. None: it is named after its file and row, and nothing tells one delivered
    twice."""
    student: str | None = None
    """Column with the student's id. None: each response counts as a student of its own."""
    prompt: str | None = None
    """Column with the id of the prompt or question. None: all rows answer one prompt, `1`."""
    score: str | None = None
    """Column with the score that counts; or, with `rater`, that rater's score. None: resolved from `raters`."""
    decimal_comma: bool = False
    """Whether scores are written with a decimal comma (`3,5`). A point is then unreadable."""
    raters: tuple[str, ...] = ()
    """Columns with the scores of the first, second and further rater."""
    rater: str | None = None
    """Column that names who gave the score, where a response has a row per rater; such rows become one."""
    traits: Mapping[str, str] = field(default_factory=dict)
    """Name of a trait, such as `organization` -> column with its score."""
    split: str | None = None
    """Column that says what each response is for: train, valid or test (or training, validation, val, dev)."""
    split_values: Mapping[str, Literal["train", "valid", "test"]] = field(default_factory=dict)
    """What the values of `split` mean where it holds others, such as numbers of folds: {"0" = "test", "1" = "valid"}.
    Values that are not listed then mean train."""
    groups: tuple[str, ...] = ()
    """Columns with group attributes of the student, kept as they are, for the fairness report. One that identifies
    people is refused."""
    delimiter: str = "auto"
    """Between columns of a text file: `auto`, or one of comma, tab, semicolon and bar."""

    def __post_init__(self) -> None:
        """Refuse mappings that cannot work."""
        problems = []
        if self.rater is not None and (self.raters or self.score is None or self.response is None):
            problems.append(
                "rater says that a response has a row per rater; that needs response and score, and no raters"
            )
        ids = [name for name in (self.response, self.student) if name is not None]
        if both := sorted({*ids, self.text} & set(self.groups)):
            problems.append(f"groups holds {both}; ids and texts are no group attributes, so take them out")
        if len(set(self.groups)) != len(self.groups):
            problems.append(f"groups = {list(self.groups)} repeats a column; name each once")
        if len(set(self.raters)) != len(self.raters):
            problems.append(f"raters = {list(self.raters)} repeats a column; name each once")
        if reserved := sorted({"student", "declared_split"} & set(self.groups)):
            problems.append(
                f"groups holds {reserved}, which are columns of students.parquet; rename them in the source"
            )
        if "" in self.traits:
            problems.append("traits has an empty name; give the trait one")
        if self.split_values and self.split is None:
            problems.append("split_values needs the column that they stand in; name it as split")
        if self.delimiter not in {"auto", *DELIMITERS}:
            problems.append(
                f"delimiter = {self.delimiter!r} is none of auto, comma, tab, semicolon and bar; use one of these"
            )
        if problems:
            raise ValueError("; ".join(problems) + ".")

    @property
    def has_scores(self) -> bool:
        """Whether some column holds scores."""
        return self.score is not None or bool(self.raters)

    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns that are read, each once."""
        named = (
            self.response, self.student, self.prompt, self.text, self.score, self.rater, *self.raters,
            *self.traits.values(), self.split, *self.groups,
        )  # fmt: skip
        return tuple(dict.fromkeys(name for name in named if name is not None))


@config_class
class WritingIngestConfig:
    """How raw files become scored responses."""

    layout: Literal["auto", "homeroom", "asap_aes", "asap_sas", "semeval", "mapped"] = "auto"
    """`auto`: found from the files themselves."""
    mapping: WritingMapping | None = None
    """Columns of a table in a layout of your own; makes the layout `mapped`."""
    prompts: Mapping[str, Rubric] = field(default_factory=dict)
    """Prompt -> its rubric, e.g. {"1" = {low = 2, high = 12}}; `*` is all others. Scores outside it go to quarantine.
    Of a prompt without one, the lowest and highest score seen are taken."""
    labels: tuple[str, ...] = ()
    """Names of the grades, the lowest first, where they are no numbers, such as ["wrong", "partly right", "right"]: the
    first counts as 0, the next as 1. Any case."""
    resolve: Resolution = "rounded_mean"
    """The score that counts where only raters' scores are given: their mean, rounded (halves up) to a score of the
    rubric; their mean; their sum; or the first rater's."""
    needs_scores: bool = True
    """Whether a response without a score is unusable. Not so for writing that is to be graded."""
    longest_text_chars: int = 50_000
    """Longer texts go to quarantine."""
    quoting: Literal["auto", "standard", "none"] = "auto"
    """`standard`: cells may stand in double quotes (RFC 4180). `none`: a quote is a character like others. `auto`:
    `none` for tab-separated files whose quotes cannot be those of cells, else `standard`."""
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    """Encoding of text files. UTF-8 and UTF-16 with a mark at the start are read as what the mark says."""
    fallback: Literal["cp1252", "latin-1", "none"] = "cp1252"
    """Encoding of single lines that are not UTF-8 in a file that is; they are counted in the report. `none`: they go to
    quarantine."""
    quarantine_limit: float = 0.05
    """Largest share, in [0, 1], of rows that may be unusable before the run stops."""
    protocol: Literal["scored_writing"] = "scored_writing"
    """What a row is: one response with its score."""

    def __post_init__(self) -> None:
        """Check ranges and that layout and mapping agree."""
        if not 0.0 <= self.quarantine_limit <= 1.0:
            raise ValueError(
                f"quarantine_limit is {self.quarantine_limit}; expected a share, 0 (stop at any bad row) to 1."
            )
        if self.longest_text_chars < 1:
            raise ValueError(f"longest_text_chars is {self.longest_text_chars}; expected at least 1.")
        if self.layout == "mapped" and self.mapping is None:
            raise ValueError(
                "layout = 'mapped' needs a mapping; add a section that names the columns, see WritingMapping."
            )
        if self.mapping is not None and self.layout not in {"auto", "mapped"}:
            raise ValueError(
                f"layout = {self.layout!r} and a mapping exclude each other (a mapping is layout 'mapped'); drop one."
            )
        if self.mapping is not None and self.needs_scores and not self.mapping.has_scores:
            raise ValueError(
                "the mapping names neither score nor raters; name the column with the scores, or set needs_scores = "
                "false for writing that is to be graded."
            )
        spelled = [label.strip().lower() for label in self.labels]
        if self.labels and (len(set(spelled)) != len(spelled) or len(spelled) < 2 or "" in spelled):
            raise ValueError(
                f"labels = {list(self.labels)}; expected two or more different names (case does not count)."
            )


SPLIT_WORDS: Mapping[str, str] = {
    **{name: name for name in SPLITS},
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "testing": "test",
}
"""How sources say what a response is for, in lower case."""


def for_grading(config: WritingIngestConfig) -> WritingIngestConfig:
    """Return how responses are read that a release is to grade: as those of its training, but without any score."""
    mapping = config.mapping
    if mapping is not None:
        mapping = replace(mapping, score=None, raters=(), rater=None, traits={}, split=None, split_values={}, groups=())
    return replace(config, needs_scores=False, mapping=mapping)
