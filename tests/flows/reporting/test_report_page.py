"""The page and its JSON: the verdict first, words in place of numbers that are not there, nothing from elsewhere."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from components.gate.override import Override
from flows.reporting.contents import Contents, without_small_groups
from flows.reporting.estimates import estimate_of, shown
from flows.reporting.figures import Gallery
from flows.reporting.page import rendered
from flows.reporting.short import short_report
from flows.reporting.verdict import verdict_of
from tests.flows.reporting.made_up import LONG, SMALL, bare, contents, groups, scores, summary


def clean(made: Contents) -> Contents:
    """Return contents as they are read from files."""
    return dataclasses.replace(made, groups=without_small_groups(made.groups))


def text_of(page: str) -> str:
    """Return a page's text as people read it, without plots."""
    page = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return Gallery()


@pytest.fixture(scope="module")
def page(gallery: Gallery) -> str:
    return rendered(clean(contents()), gallery)


def test_the_verdict_stands_first_with_its_reasons_and_the_override(page: str) -> None:
    text = text_of(page)
    assert text.index("Stop") < text.index("What stops it") < text.index("Warnings") < text.index("What was judged")
    assert text.index("What was judged and kept") < text.index("What was trained on what")
    assert "Region: auc is 0.088 higher for one group than for another." in text
    assert "Overridden. A. Principal lets this release serve all the same: pilot in one school" in text
    assert "(until 2027-01-31)" in text


def test_the_override_of_the_fixture_is_one_that_the_gate_writes() -> None:
    assert set(summary()["gate"]["override"]) == {field.name for field in dataclasses.fields(Override)}


def test_every_section_is_there_and_can_be_reached(page: str, gallery: Gallery) -> None:
    assert gallery.problems == []
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "an id stands twice"
    for target in re.findall(r'href="#([^"]+)"', page):
        assert target in ids
    for name in (
        "decision",
        "trained",
        "figures",
        "groups",
        "comparisons",
        "limits",
        "leakage",
        "data",
        "time",
        "card",
    ):
        assert name in ids


def test_what_cannot_be_said_is_said_in_words_and_never_as_zero(page: str) -> None:
    text = text_of(page)
    row = page.split('<th scope="row">equalized odds difference</th>')[1].split("</tr>")[0]
    assert "too few" in row
    row = page.split('<th scope="row">AUC gap</th>')[1].split("</tr>")[0]
    assert "not estimable" in row
    assert "Gap not estimable." in text
    for found in ({"status": "not_estimable"}, {"status": "too_few", "value": 0.0}, {}, None, {"value": float("nan")}):
        assert estimate_of(found).value is None
    assert shown(None) == "not estimable"
    assert (shown(-0.0001), shown(-0.0006), shown(-0.0, signed=True)) == ("0.000", "\N{MINUS SIGN}0.001", "+0.000")


def test_the_name_of_a_small_group_is_nowhere(page: str) -> None:
    made = clean(contents())
    assert SMALL in json.dumps(contents().groups), "the fixture has it"
    assert SMALL not in page
    assert SMALL not in json.dumps(made.to_json())
    assert LONG in page


def test_nothing_comes_from_elsewhere_and_nothing_runs(page: str) -> None:
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b", page)
    assert not re.search(r"\b(src|srcset|action)=", page)
    assert not re.search(r"\son\w+=", page)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    outside = set(re.findall(r"https?://[^\s\"'<>]+", page)) - {"http://www.w3.org/1999/xlink"}
    assert outside == set()


def test_markup_in_names_stays_text(gallery: Gallery) -> None:
    made = groups()
    hostile = '</script><img src=x onerror="alert(1)">'
    made["attributes"]["region"]["groups"][0]["group"] = hostile
    made["attributes"][hostile] = copy.deepcopy(made["attributes"]["region"])
    own = summary()
    own["gate"]["findings"][0] = {**own["gate"]["findings"][0], "reason": hostile, "subject": hostile}
    page = rendered(clean(contents(groups=made, summary=own)), Gallery(earlier=gallery.used))
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_an_older_run_has_a_page_without_what_it_lacks(gallery: Gallery) -> None:
    own = Gallery(earlier=gallery.used)
    page = rendered(clean(bare()), own)
    assert own.problems == []
    assert "No decision of the gate is recorded" in page
    for name in ("comparisons", "limits", "leakage", "card"):
        assert f'id="{name}"' not in page
    assert "ABROCA" not in page
    assert "Reliability by group" not in page
    assert "not recorded" in page


def _optional() -> Iterator[tuple[str, str]]:
    for part in ("summary", "metrics", "groups"):
        made = getattr(contents(), part)
        kept = {
            "summary": {"run", "request", "seconds", "stages", "data", "metrics", "confidence", "parity", "release"},
            "metrics": set(scores()) - {"curves", "ece", "skills"},
            "groups": {"attributes", "verdict"},
        }[part]
        for name in made:
            if name not in kept:
                yield part, name


@pytest.mark.parametrize(("part", "name"), sorted(_optional()))
def test_a_field_that_is_absent_costs_its_own_part_only(part: str, name: str, gallery: Gallery) -> None:
    made = contents()
    without = {key: value for key, value in getattr(made, part).items() if key != name}
    again = Gallery(earlier=gallery.used)
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)} | {part: without}
    page = rendered(clean(Contents(**values)), again)
    assert again.problems == []
    assert "Held-out metrics" in page


@pytest.mark.parametrize("missing", ["gaps", "departures", "too_few", "summary", "pairs"])
def test_an_attribute_without_a_field_is_shown(missing: str, gallery: Gallery) -> None:
    made = groups()
    for found in made["attributes"].values():
        del found[missing]
    again = Gallery(earlier=gallery.used)
    assert LONG in rendered(clean(contents(groups=made)), again)
    assert again.problems == []


def test_no_attribute_and_no_group_are_said(gallery: Gallery) -> None:
    none = {**groups(), "attributes": {}}
    assert "nothing is known about how groups of students are served" in rendered(
        contents(groups=none), Gallery(earlier=gallery.used)
    )
    empty = {**groups(), "attributes": {"language": {"groups": [], "too_few": 4, "gaps": {}}}}
    page = rendered(contents(groups=empty), Gallery(earlier=gallery.used))
    assert "No group of language is large enough to be shown." in page
    assert "Groups with too few students or answers to be shown: 4." in page


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"outcome": "pass", "findings": []}, "pass"),
        ({"outcome": "perhaps", "findings": []}, "stop"),
        ({"findings": []}, "stop"),
        (None, "none"),
        ("pass", "none"),
    ],
)
def test_a_decision_that_is_not_understood_is_no_pass(gate: Any, expected: str) -> None:
    own = summary()
    own["gate"] = gate
    assert verdict_of(contents(summary=own)).outcome == expected


def test_a_finding_whose_outcome_is_not_known_stands_among_what_stops() -> None:
    own = summary()
    own["gate"]["findings"] = [{"check": "gap", "outcome": "fine", "reason": "who knows"}]
    assert verdict_of(contents(summary=own)).reasons == {"stop": ["Who knows."]}
    assert "| stop |" not in short_report({**own, "report": "r"})


def test_limits_have_value_interval_limit_and_outcome(page: str) -> None:
    table = page.split('<section id="limits"')[1].split("</section>")[0]
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in table.split("<tr>")[2:]]
    assert rows[0].startswith("\N{MULTIPLICATION X} stop gap between groups region: Bachelor") or "stop" in rows[0]
    assert "AUC 0.088 0.051 to 0.125 0.03 4,212" in rows[0]
    assert any("not worse than the release that serves all AUC \N{MINUS SIGN}0.001" in row for row in rows)
    outcomes = [next(word for word in ("stop", "warn", "pass") if f" {word} " in f" {row} ") for row in rows]
    assert outcomes == sorted(outcomes, key=["stop", "warn", "pass"].index)


def test_a_useless_model_does_not_look_fair(gallery: Gallery) -> None:
    made = {**groups(), "useless": "The model gives every student the same probability: equal figures say nothing."}
    text = text_of(rendered(clean(contents(groups=made)), Gallery(earlier=gallery.used)))
    assert text.index("The model gives every student the same") < text.index("What was trained on what")


def test_time_and_cost_are_those_of_the_making(page: str) -> None:
    part = text_of(page.split('<section id="time"')[1].split("</section>")[0])
    assert "To make all its results took 18.9 s on the wall, then or earlier." in part
    assert "ingest result was there 0.9 1.1" in part
    assert "train ran 17.9 31.0" in part
    assert "deploy ran 0.1 not recorded" in part


def test_the_json_has_all_that_the_page_shows() -> None:
    made = clean(contents())
    plain = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert plain["details"]["groups"] == made.groups
    assert plain["details"]["evaluation"] == made.metrics
    assert set(plain["details"]) == {"evaluation", "groups", "leakage", "ingest", "lineage", "card"}
    assert plain["gate"] == made.summary["gate"]


def test_the_short_report_has_the_decision_and_stays_one_table() -> None:
    own = summary() | {"report": "/runs/r1/report.html"}
    own["gate"]["findings"].append(
        {"check": "gap", "subject": "a|b", "outcome": "stop", "reason": "[link](https://example.org) <b>\nnew line"}
    )
    text = short_report(own)
    assert text.startswith("# Stop\n")
    assert "**Overridden** by A. Principal: pilot in one school, reviewed weekly (until 2027-01-31)" in text
    assert "| AUC | 0.713 | 0.706 to 0.721 |" in text
    assert "a\\|b" in text
    assert "\\[link\\](https://example.org) \\<b\\> new line" in text
    assert text.index("0.088 higher") < text.index("Auc is 0.713")
    own["release"] |= {"promoted": False, "status": "waits for approval", "reason": "until 2026-12-06"}
    assert f"Release `{own['release']['version']}`: waits for approval (until 2026-12-06)." in short_report(own)
    without = short_report(summary(gate=False) | {"report": "r"})
    assert without.startswith("# No decision of the gate is recorded\n")
    assert "Fairness verdict: fail." in without
