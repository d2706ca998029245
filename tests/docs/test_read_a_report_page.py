"""docs/how-to/read-a-report.md and docs/reference/run-summary.md: each word and field is one that there is."""

import dataclasses
import json
import re
from pathlib import Path

from flows.reporting.contents import FORMAT, without_small_groups
from flows.reporting.drawing import forest
from flows.reporting.estimates import WORDS
from flows.reporting.verdict import HEADINGS
from tests.docs.pages import HOW_TO, Page
from tests.flows.reporting.made_up import contents

PAGE = Page.named("read-a-report")
FIELDS = (HOW_TO.parent / "reference" / "run-summary.md").read_text(encoding="utf-8")


def test_every_decision_and_every_word_is_explained() -> None:
    for heading in HEADINGS.values():
        assert f"| {heading} |" in PAGE.text
    for word in ("too few", "not estimable", "not measured"):
        assert f"**{word}**" in PAGE.text
    assert {WORDS["too_few"], WORDS["not_estimable"]} == {"too few", "not estimable"}
    assert f"Above {forest.MOST_NAMED} rows" in PAGE.text
    assert f"above {forest.MOST_LINES} the intervals" in PAGE.text


def test_its_code_reads_a_summary(tmp_path: Path) -> None:
    made = contents()
    plain = dataclasses.replace(made, groups=without_small_groups(made.groups)).to_json()
    (tmp_path / "summary.json").write_text(json.dumps(plain))
    found = PAGE.run_all()["gaps"](tmp_path / "summary.json")
    assert found == {"first_language: auc": 0.008, "region: auc": 0.088}


def test_every_field_is_described() -> None:
    plain = contents().to_json()
    described = set(re.findall(r"`([a-z_0-9]+)`", FIELDS))
    own = set(plain) - {"baselines", "warnings"}
    assert own <= described
    assert set(plain["details"]) <= described
    assert set(plain["stages"][0]) <= described
    assert set(plain["gate"]["findings"][0]) <= described
    assert set(plain["comparisons"][0]) | set(plain["comparisons"][0]["rows"][0]) <= described
    assert set(plain["details"]["lineage"][0]) <= described
    assert f"| `format` | {FORMAT};" in FIELDS
