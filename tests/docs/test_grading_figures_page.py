"""docs/how-to/grading-figures.md: its configurations are read, its limits are the defaults, its code makes a file."""

import re
import tomllib

import polars as pl

from components.config import make_config
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.metrics import NAMES
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.scorer import COLUMNS
from tests.docs.pages import Page

PAGE = Page.named("grading-figures")


def test_its_limits_are_the_defaults() -> None:
    evaluate, fairness = (tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE.text, re.S))
    assert make_config(WritingEvaluateConfig, evaluate["evaluate"]) == WritingEvaluateConfig()
    named = fairness["fairness"] | {"attributes": []}
    assert make_config(WritingFairnessConfig, named) == WritingFairnessConfig()


def test_every_figure_is_explained() -> None:
    for name in (*NAMES, "humans", "drop", "prmse", "dsm", "osa", "osd", "csd"):
        assert f"`{name}`" in PAGE.text


def test_its_code_puts_ids_back() -> None:
    names = PAGE.run_all()
    answers = pl.DataFrame(
        {
            "response": ["r1", "r2"],
            "student": ["p1", "p2"],
            "prompt": ["essay", "essay"],
            "score": [4.0, None],
            "raw": [4.1, None],
            "low": [3.0, None],
            "high": [5.0, None],
            "abstained": [None, "too_short"],
            "file": [0, 0],
            "row": [2, 1],
        },
        schema=COLUMNS,
    )
    submitted = pl.DataFrame({"sis_id": ["901", "902"], "name": ["Ada", "Bo"], "essay": ["", "..."]})
    assert names["import_file"](answers, submitted) == "SIS User ID,Student,essay\n902,Bo,4.0\n901,Ada,\n"
