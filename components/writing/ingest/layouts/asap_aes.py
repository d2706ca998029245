"""The layout `asap_aes`: the essays of the Automated Student Assessment Prize (tab separated, quoting off)."""

from collections.abc import Mapping

import polars as pl

from components.ingest.heads import Head
from components.ingest.readings import as_number, as_text, is_given
from components.writing.ingest.config import Rubric, TraitRange, WritingMapping
from components.writing.ingest.layouts.layout import TableLayout

CONVENTIONS = "conventions"
OF_SET_7 = ("ideas", "organization", "style", CONVENTIONS)
OF_SET_8 = ("ideas", "organization", "voice", "word_choice", "sentence_fluency", CONVENTIONS)
TRAITS = tuple(dict.fromkeys((*OF_SET_7, *OF_SET_8)))
MOST_RATERS = 3
_MADE = "trait "
_UNREADABLE = "?"


def _ranges(names: tuple[str, ...], low: float, high: float) -> dict[str, TraitRange]:
    return {name: TraitRange(low=low, high=high) for name in names}


RUBRICS = {
    "1": Rubric(low=2, high=12),
    "2": Rubric(low=1, high=6, traits=_ranges((CONVENTIONS,), 1, 4)),
    "3": Rubric(low=0, high=3),
    "4": Rubric(low=0, high=3),
    "5": Rubric(low=0, high=4),
    "6": Rubric(low=0, high=4),
    "7": Rubric(low=0, high=30, traits=_ranges(OF_SET_7, 0, 6)),
    "8": Rubric(low=0, high=60, traits=_ranges(OF_SET_8, 2, 12)),
}
"""Scales as the papers on these data use them (Taghipour and Ng 2016)."""


class AsapAes(TableLayout):
    """28 columns, one row per essay; the competition's files without scores have fewer.

    Texts begin and end with quotes that belong to no cell, so quotes are characters like others.

    `score` is `domain1_score`, `rater_1` to `rater_3` are the raters' scores of that domain. Traits: of set 2 the
    second domain, which is language conventions; of sets 7 and 8 the sum of the first two raters, or twice the third's
    where there is one, as the competition resolved the score itself.
    """

    name = "asap_aes"
    rubrics = RUBRICS
    has_quotes = False

    def recognise(self, head: Head) -> bool:
        """Return whether the columns are there by name."""
        return {"essay_id", "essay_set", "essay"} <= set(head.columns)

    def mapping(self, columns: tuple[str, ...]) -> WritingMapping:
        """Return the fixed mapping, of the columns that the file has."""
        raters = [f"rater{number}_domain1" for number in range(1, MOST_RATERS + 1)]
        return WritingMapping(
            text="essay",
            response="essay_id",
            prompt="essay_set",
            score="domain1_score" if "domain1_score" in columns else None,
            raters=tuple(c for c in raters if c in columns),
            traits={name: _MADE + name for name in TRAITS if _MADE + name in self.made_from(columns)},
        )

    def made_from(self, columns: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """Return the columns of each trait."""
        wanted: dict[str, list[str]] = {name: [] for name in TRAITS}
        wanted[CONVENTIONS].append("domain2_score")
        for names in (OF_SET_7, OF_SET_8):
            for place, name in enumerate(names, 1):
                wanted[name] += [f"rater{rater}_trait{place}" for rater in range(1, MOST_RATERS + 1)]
        return {
            _MADE + name: tuple(dict.fromkeys(sources))
            for name, sources in wanted.items()
            if set(sources) <= set(columns)
        }

    def prepare(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the block with a column per trait; where something in it is no number, it is none either."""
        made = self.made_from(tuple(frame.columns))
        if not made:
            return frame
        scores = pl.DataFrame({c: as_number(frame[c]) for sources in made.values() for c in sources})
        unreadable = pl.DataFrame({c: scores[c].is_null() & is_given(frame[c]) for c in scores.columns})
        scores = scores.with_columns(as_text(frame["essay_set"]).alias("set"))
        columns = []
        for column, sources in made.items():
            is_bad = pl.any_horizontal(unreadable[c] for c in sources)
            value = _resolved(column.removeprefix(_MADE)).cast(pl.String)
            columns.append(pl.when(is_bad).then(pl.lit(_UNREADABLE)).otherwise(value).alias(column))
        return frame.with_columns(scores.select(columns))

    def source_column(self, target: str) -> str:
        """Return the published name."""
        return {"response": "essay_id", "prompt": "essay_set", "score": "domain1_score"}.get(target, target)


def _resolved(trait: str) -> pl.Expr:
    """Return a trait's score from the columns of its set; null for other sets."""
    parts = []
    if trait == CONVENTIONS:
        parts.append(pl.when(pl.col("set") == "2").then(pl.col("domain2_score")))
    for number, names in (("7", OF_SET_7), ("8", OF_SET_8)):
        if trait in names:
            place = names.index(trait) + 1
            first, second, third = (pl.col(f"rater{rater}_trait{place}") for rater in range(1, MOST_RATERS + 1))
            parts.append(pl.when(pl.col("set") == number).then(pl.coalesce(2 * third, first + second)))
    return pl.coalesce(parts)
