"""The layout `asap_sas`: the short answers of the Automated Student Assessment Prize."""

from components.ingest.heads import Head
from components.writing.ingest.config import Rubric, WritingMapping
from components.writing.ingest.layouts.layout import TableLayout

HIGHEST = {"1": 3, "2": 3, "3": 2, "4": 2, "5": 3, "6": 3, "7": 2, "8": 2, "9": 2, "10": 2}
"""Set -> top score; the lowest is 0."""


class AsapSas(TableLayout):
    """`Id`, `EssaySet` and `EssayText`, with `Score1` (the target) and `Score2` where they are known, in any order.

    The first rater's score is the one that counts; the second's tells how far people agree.
    """

    name = "asap_sas"
    rubrics = {prompt: Rubric(low=0, high=high) for prompt, high in HIGHEST.items()}  # noqa: RUF012  # never changed

    def recognise(self, head: Head) -> bool:
        """Return whether the columns are there by name."""
        return {"Id", "EssaySet", "EssayText"} <= set(head.columns)

    def mapping(self, columns: tuple[str, ...]) -> WritingMapping:
        """Return the fixed mapping, of the columns that the file has."""
        return WritingMapping(
            text="EssayText",
            response="Id",
            prompt="EssaySet",
            score="Score1" if "Score1" in columns else None,
            raters=tuple(c for c in ("Score1", "Score2") if c in columns),
        )

    def source_column(self, target: str) -> str:
        """Return the published name."""
        return {"response": "Id", "prompt": "EssaySet", "score": "Score1"}.get(target, target)
