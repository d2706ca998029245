"""Limits on overall figures: by the figure or by the worse end of its interval, and what crossing one leads to."""

import pytest

from components.config import make_config
from components.errors import ConfigError
from components.evaluate.config import EvaluateConfig
from components.evaluate.limits import crossed_of, warned
from components.writing.evaluate.config import WritingEvaluateConfig

Ends = tuple[float | None, float | None]


@pytest.mark.parametrize(
    ("judge_by", "value", "ends", "outcome"),
    [
        ("point", 0.71, (0.65, 0.77), "pass"),
        ("point", 0.69, (0.65, 0.77), "stop"),
        ("point", 0.70, (None, None), "pass"),
        ("interval", 0.71, (0.65, 0.77), "stop"),
        ("interval", 0.80, (0.70, 0.90), "pass"),
        ("interval", 0.71, (None, None), "stop"),  # what cannot be estimated shows nothing
        ("interval", 0.69, (0.71, 0.77), "stop"),  # a percentile interval may leave its figure out
    ],
)
def test_a_figure_that_has_to_be_large(judge_by: str, value: float, ends: Ends, outcome: str) -> None:
    config = make_config(EvaluateConfig, {"min_auc": 0.70, "judge_by": judge_by})
    found = config.level("min_auc", "auc", value, ends, 300, said=f"auc is {value:.4f}")
    assert (found.outcome, found.limit, found.n) == (outcome, 0.70, 300)
    assert found.reason.startswith(f"auc is {value:.4f}, the limit is at least 0.7")


@pytest.mark.parametrize(
    ("judge_by", "value", "ends", "outcome"),
    [
        ("point", 0.09, (0.05, 0.13), "pass"),
        ("point", 0.11, (0.05, 0.13), "stop"),
        ("interval", 0.09, (0.05, 0.13), "stop"),
        ("interval", 0.06, (0.03, 0.10), "pass"),
    ],
)
def test_a_figure_that_has_to_be_small(judge_by: str, value: float, ends: Ends, outcome: str) -> None:
    config = make_config(WritingEvaluateConfig, {"max_drop_against_humans": 0.10, "judge_by": judge_by})
    found = config.level("max_drop_against_humans", "drop", value, ends, 300, said="it is lower")
    assert (found.outcome, found.reason.startswith("it is lower, the limit is at most 0.1")) == (outcome, True)


def test_the_severity_of_a_limit_is_what_crossing_it_leads_to_and_it_is_told_as_crossed() -> None:
    config = make_config(EvaluateConfig, {"min_auc": 0.7, "severity": {"min_auc": "warn"}})
    found = config.level("min_auc", "auc", 0.6, (0.5, 0.65), 300, said="auc is 0.6000")
    assert found.outcome == "warn"
    more = warned("auc", ["The model is not shown to be better than a guess."])
    assert [f.outcome for f in more] == ["warn"]
    assert crossed_of([found, *more]) == [found.reason]


@pytest.mark.parametrize("kind", [EvaluateConfig, WritingEvaluateConfig])
def test_a_severity_of_no_limit_is_refused(kind: type[EvaluateConfig]) -> None:
    for name in ("min_scored", "max_everything"):
        with pytest.raises(ConfigError, match=rf"severity names \['{name}'\]; the limits here are "):
            make_config(kind, {"severity": {name: "warn"}})
    with pytest.raises(ConfigError, match="severity"):
        make_config(kind, {"severity": {"min_auc": "shrug"}})
