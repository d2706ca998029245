"""docs/explanation/fairness-figures.md: its code runs, it names every figure, its tables are what the data give."""

import re
from pathlib import Path

import pytest

from benchmarks.fairness_real import CASES, Predicted, tables
from components.evaluate.measures import MEANINGS
from components.fairness.config import FairnessConfig
from components.fairness.summary import SUMMARIES
from tests.docs.pages import HOW_TO, Page

PAGE = Page(HOW_TO.parent / "explanation" / "fairness-figures.md")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def test_its_code_runs() -> None:
    names = PAGE.run_all()
    assert names["gap"].status == "ok"
    assert 0 < names["pair"].abroca.p <= 1


def test_every_figure_and_least_size_is_explained() -> None:
    for name in (*MEANINGS, *SUMMARIES, "useless", "too_few", "not_estimable"):
        if name not in {"base_rate", "mean_probability"}:  # they say what they are
            assert f"`{name}`" in PAGE.text, name
    for name in ("min_students", "min_scored", "min_rarer_class"):
        assert f"`{name}` " in PAGE.text
        assert f"({getattr(FairnessConfig(), name)})" in PAGE.text.split(f"`{name}`")[1][:30]


@pytest.mark.data
def test_its_tables_are_what_the_data_give(data_folder: Path) -> None:
    shown = re.findall(r"<!-- table: (survey|law|day 90) (.+?) -->\n(.*?)\n\n", PAGE.text, re.S)
    assert [name for name, _, _ in shown] == ["survey", "law", "day 90"]
    for name, attribute, text in shown:
        found: Predicted = CASES[name][0](data_folder)
        # all attributes of the case: their small groups are left out together; points do not hang on resamples
        groups = tables(found, CASES[name][1], 20).attributes[attribute].comparison.groups
        rows = [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]
        assert [row[0] for row in rows] == [g.name for g in groups if g.status == "ok"]
        measures = [cell.strip().replace(" ", "_") for cell in text.splitlines()[0].strip("| ").split("|")[2:]]
        for row, group in zip(rows, (g for g in groups if g.status == "ok"), strict=True):
            assert int(row[1]) == group.students
            for measure, cell in zip(measures, row[2:], strict=True):
                point, low, high = (float(number) for number in NUMBER.findall(cell))
                assert point == pytest.approx(group.estimates[measure].value, abs=0.0015), (name, row[0], measure)
                assert low <= point <= high
