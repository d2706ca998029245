"""The one schema of scored writing that every source is mapped to; columns, types, units.

`ScoredWriting` holds three tables and two JSON files. Rows of `responses` are sorted by prompt, then response.
"""

from components.schema import QUARANTINE, QUARANTINE_COLUMNS, REPORT, STUDENTS, Column

RESPONSES = "responses.parquet"
PROMPTS = "prompts.json"
RATER = "rater_"
"""Columns `rater_1`, `rater_2` and so on: each rater's score, on the scale that raters have."""
TRAIT = "trait_"
"""Columns `trait_<name>`: resolved score of one trait; null where the prompt has no such trait."""
TRAIN, VALID, TEST = "train", "valid", "test"
SPLITS = (TRAIN, VALID, TEST)

RESPONSE_COLUMNS = (
    Column(name="response", dtype="String", nullable=False, meaning="keyed pseudonym, 32 hex digits; one row each"),
    Column(
        name="student",
        dtype="String",
        nullable=False,
        meaning="keyed pseudonym; the response's own where none is named",
    ),
    Column(name="prompt", dtype="String", nullable=False, meaning="the source's id of the prompt"),
    Column(name="text", dtype="String", nullable=False, meaning="NFC, lines end with a feed, no NUL; else as written"),
    Column(name="score", dtype="Float64", nullable=True, meaning="on the rubric's scale; null where not scored"),
    # then one Float64 column per rater and per trait, nullable
    Column(name="declared_split", dtype="String", nullable=True, meaning="`train`, `valid`, `test`, or null if unsaid"),
    Column(name="file", dtype="UInt16", nullable=False, meaning="index of the file in RawFiles"),
    Column(
        name="row", dtype="UInt32", nullable=False, meaning="1-based data row (or line) in the file, the first merged"
    ),
)

WRITER_COLUMNS = (
    Column(name="student", dtype="String", nullable=False, meaning="keyed pseudonym; one row per student, sorted"),
    Column(
        name="declared_split", dtype="String", nullable=True, meaning="that of all their responses; null if they differ"
    ),
    # then one String column per group attribute, named as ScoredWriting.groups says; null where unknown
)

__all__ = [
    "PROMPTS",
    "QUARANTINE",
    "QUARANTINE_COLUMNS",
    "RATER",
    "REPORT",
    "RESPONSES",
    "RESPONSE_COLUMNS",
    "SPLITS",
    "STUDENTS",
    "TEST",
    "TRAIN",
    "TRAIT",
    "VALID",
    "WRITER_COLUMNS",
]
