"""All figures of a grader against scikit-learn and scipy on the same rows, resampled rows, and degenerate prompts."""

import dataclasses
import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import cohen_kappa_score, root_mean_squared_error

from components.evaluate.bootstrap import resampled_students
from components.writing.evaluate.baselines import Baseline
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.rows import Human, Predicted
from components.writing.evaluate.scores import Scores, scores_of
from components.writing.scale import Scale
from tests.components.writing.evaluate.made_up import PROMPTS, simulated

Floats = npt.NDArray[np.float64]
CONFIG = WritingEvaluateConfig(resamples=60, confidence=0.9)
SCALES = [Scale(low=p["low"], high=p["high"], step=p["step"]) for p in PROMPTS]


def human_of(rows: int, seed: int, students: int | None = None) -> tuple[Human, Predicted]:
    """Return simulated responses, and predictions with intervals."""
    found, truth = simulated(rows, seed)
    source = np.random.default_rng(seed + 100)
    student = np.arange(rows) if students is None else np.arange(rows) % students
    human = Human(
        score=found.score,
        prompt=found.prompt.astype(np.int64),
        student=student.astype(np.int64),
        ratings=np.stack(list(found.raters.values()), axis=1),
        scales=SCALES,
    )
    width = human.row_scales.width
    raw = human.row_scales.clipped(truth + source.normal(0, 0.12, rows) * width)
    return human, Predicted(raw=raw, low=raw - 0.25 * width, high=raw + 0.25 * width)


def constant(human: Human) -> Mapping[str, Baseline]:
    means = np.array([human.score[human.prompt == p].mean() for p in range(len(human.scales))])
    return {"constant": Baseline(title="the training mean", formula="mean", raw=means[human.prompt])}


def judged(human: Human, model: Predicted, config: WritingEvaluateConfig = CONFIG) -> Scores:
    return scores_of(human, model, constant(human), config)


def kappa(x: Floats, y: Floats, scale: Scale) -> float:
    points = [np.rint((v - scale.low) / scale.step).astype(int) for v in (x, y)]
    return float(cohen_kappa_score(*points, weights="quadratic", labels=range(scale.points)))


def expected_figures(human: Human, model: Predicted, p: int) -> dict[str, float]:
    own, scale = human.prompt == p, human.scales[p]
    x, raw = human.score[own], model.raw[own]
    y = human.row_scales.rounded(model.raw)[own]
    width = scale.high - scale.low
    assert model.low is not None
    assert model.high is not None
    inside = (model.low[own] <= x) & (x <= model.high[own])
    return {
        "qwk": kappa(x, y, scale),
        "qwk_continuous": 2
        * float(np.cov(x, raw, ddof=0)[0, 1])
        / (x.var() + raw.var() + (x.mean() - raw.mean()) ** 2),
        "exact": float(np.mean(x == y)),
        "adjacent": float(np.mean(np.abs(x - y) <= scale.step + 1e-9)),
        "pearson": float(pearsonr(x, raw).statistic),
        "rmse": root_mean_squared_error(x, raw) / width,
        "smd": (raw.mean() - x.mean()) / x.std(ddof=1),
        "coverage": float(inside.mean()),
        "width": float((model.high[own] - model.low[own]).mean() / width),
    }


def test_every_figure_of_every_prompt_is_scikit_learns_or_scipys() -> None:
    human, model = human_of(400, 0)
    found = judged(human, model)
    for p, prompt in enumerate(found.prompts):
        expected = expected_figures(human, model, p)
        assert {name: figure.value for name, figure in prompt.model.items()} == pytest.approx(expected, abs=1e-9)
        for figure in prompt.model.values():
            assert figure.value is not None
            assert figure.interval.low is not None
            assert figure.interval.high is not None
            assert figure.interval.low <= figure.value + 1e-9
            assert figure.interval.high >= figure.value - 1e-9


def test_over_prompts_is_the_plain_mean_and_of_smd_the_largest() -> None:
    human, model = human_of(400, 1)
    found = judged(human, model)
    each = [expected_figures(human, model, p) for p in range(3)]
    for name in ("qwk", "exact", "adjacent", "pearson", "rmse", "coverage", "width"):
        assert found.model[name].value == pytest.approx(np.mean([e[name] for e in each]), abs=1e-9)
    assert found.model["smd"].value == pytest.approx(max(abs(e["smd"]) for e in each), abs=1e-9)
    assert (found.scored, found.students) == (400, 400)


def test_humans_stand_beside_the_model_on_the_double_scored_rows() -> None:
    human, model = human_of(400, 2)
    ratings = human.ratings.copy()
    ratings[::3, 1] = np.nan
    human = dataclasses.replace(human, ratings=ratings)
    found = judged(human, model)
    drops = []
    for p, prompt in enumerate(found.prompts):
        own = (human.prompt == p) & np.isfinite(ratings).all(axis=1)
        scale = Scale(low=1, high=6) if p == 1 else human.scales[p]  # the score of prompt 1 is a sum of two
        raters = kappa(ratings[own, 0], ratings[own, 1], scale)
        alone = kappa(human.score[own], human.row_scales.rounded(model.raw)[own], human.scales[p])
        assert prompt.humans is not None
        assert prompt.double_scored == own.sum()
        assert prompt.humans["qwk"].value == pytest.approx(raters, abs=1e-9)
        assert prompt.humans["model_qwk"].value == pytest.approx(alone, abs=1e-9)
        assert prompt.humans["drop"].value == pytest.approx(raters - alone, abs=1e-9)
        assert prompt.rating_factor == (2.0 if p == 1 else 1.0)
        assert prompt.prmse is not None
        assert prompt.prmse["prmse"].status == "ok"
        drops.append(raters - alone)
    assert found.humans is not None
    assert found.humans["drop"].value == pytest.approx(np.mean(drops), abs=1e-9)


def test_intervals_are_the_quantiles_of_figures_of_literally_repeated_rows() -> None:
    human, model = human_of(240, 3, students=50)
    found = judged(human, model)
    drawn = []
    for counts in resampled_students(50, 60, seed=0):
        rows = np.concatenate(
            [np.flatnonzero(human.student == s) for s, times in enumerate(counts) for _ in range(times)]
        )
        again = dataclasses.replace(human, score=human.score[rows], prompt=human.prompt[rows])
        each = [expected_figures(again, model.at(rows), p) for p in range(3)]
        drawn.append([np.mean([e[name] for e in each]) for name in ("qwk", "pearson", "rmse")])
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    for at, name in enumerate(("qwk", "pearson", "rmse")):
        interval = found.model[name].interval
        assert (interval.low, interval.high) == pytest.approx((low[at], high[at]), abs=1e-9)


def test_the_difference_to_a_baseline_is_drawn_in_pairs_and_judged() -> None:
    human, model = human_of(400, 4)
    found = judged(human, model)
    assert found.best == "constant"
    assert found.baselines["constant"].figures["qwk"].value == 0.0
    assert found.baselines["constant"].figures["pearson"].status == "not_estimable"
    assert "pearson" not in found.baselines["constant"].differences
    assert found.verdict == "better"
    assert found.sentence(0.9).startswith("The model is better than the training mean: QWK 0.")
    twin = {"twin": Baseline(title="its twin", formula="", raw=model.raw)}
    same = scores_of(human, model, twin, CONFIG)
    interval = same.baselines["twin"].differences["qwk"].interval
    assert (interval.low, interval.high) == (0.0, 0.0)
    assert same.verdict == "not_better"


def test_the_model_is_judged_against_the_best_baseline() -> None:
    human, model = human_of(400, 5)
    source = np.random.default_rng(0)
    better = human.score + source.normal(0, 0.1, 400)
    several = {**constant(human), "better": Baseline(title="a better one", formula="", raw=better)}
    found = scores_of(human, model, several, CONFIG)
    assert (found.best, found.verdict) == ("better", "not_better")
    assert found.sentence(0.9).startswith("The model is worse, not better than a better one")


def test_a_prompt_with_five_responses_shows_nothing_and_is_no_part_of_the_mean() -> None:
    human, model = human_of(400, 6)
    keep = np.sort(np.concatenate([np.flatnonzero(human.prompt != 2), np.flatnonzero(human.prompt == 2)[:5]]))
    human, model = human.at(keep), model.at(keep)
    found = judged(human, model)
    small = found.prompts[2]
    assert (small.scored, small.is_counted) == (5, False)
    for figures in (small.model, small.humans or {}, small.prmse or {}, small.baselines["constant"]):
        assert {figure.status for figure in figures.values()} == {"too_few"}
        assert all(figure.value is None for figure in figures.values())
    expected = np.mean([expected_figures(human, model, p)["qwk"] for p in (0, 1)])
    assert found.model["qwk"].value == pytest.approx(expected, abs=1e-9)


def test_a_prompt_with_one_score_only_has_no_kappa_and_does_not_pull_the_mean_to_zero() -> None:
    human, model = human_of(400, 7)
    score = np.where(human.prompt == 0, 2.0, human.score)
    human = dataclasses.replace(human, score=score)
    found = judged(human, model)
    one = found.prompts[0].model
    for name in ("qwk", "pearson", "smd"):
        assert (one[name].status, one[name].value) == ("not_estimable", None)
    assert one["exact"].value == pytest.approx(np.mean(human.row_scales.rounded(model.raw)[human.prompt == 0] == 2))
    expected = np.mean([expected_figures(human, model, p)["qwk"] for p in (1, 2)])
    assert found.model["qwk"].value == pytest.approx(expected, abs=1e-9)


def test_humans_who_give_one_score_everywhere_leave_nothing_to_be_judged() -> None:
    human, model = human_of(400, 8)
    human = dataclasses.replace(human, score=np.array([2.0, 5.0, 1.5])[human.prompt])
    found = judged(human, model)
    assert (found.model["qwk"].status, found.verdict) == ("not_estimable", "not_estimable")
    assert "cannot be told" in found.sentence(0.9)


def test_constant_predictions_have_kappa_zero_by_definition_and_no_correlation() -> None:
    human, model = human_of(400, 9)
    flat = Predicted(raw=np.array([1.3, 6.1, 2.2])[human.prompt])
    found = judged(human, flat)
    assert found.model["qwk"].value == 0.0
    assert found.model["pearson"].status == "not_estimable"
    assert all(prompt.is_constant for prompt in found.prompts)
    assert found.verdict == "not_better"
    assert not any(prompt.is_constant for prompt in judged(human, model).prompts)


def test_raters_who_give_one_score_say_nothing_of_how_well_humans_agree() -> None:
    human, model = human_of(400, 10)
    ratings = human.ratings.copy()
    ratings[human.prompt == 0, 1] = 2.0
    found = judged(dataclasses.replace(human, ratings=ratings), model)
    raters = found.prompts[0].humans
    assert raters is not None
    for name in ("qwk", "model_qwk", "drop"):
        assert raters[name].status == "not_estimable"


def test_without_a_second_rating_nothing_is_said_of_humans() -> None:
    human, model = human_of(200, 11)
    for ratings in (np.zeros((200, 0)), human.ratings[:, :1]):
        found = judged(dataclasses.replace(human, ratings=ratings), model)
        assert found.humans is None
        assert all(prompt.humans is None and prompt.prmse is None for prompt in found.prompts)


def test_ratings_on_a_scale_of_their_own_have_a_kappa_but_no_prmse() -> None:
    human, model = human_of(400, 12)
    found = judged(dataclasses.replace(human, ratings=human.ratings * 10), model)
    assert found.prompts[0].rating_factor is None
    assert found.prompts[0].prmse is None
    usual = judged(human, model).prompts[0].humans
    assert found.prompts[0].humans is not None
    assert usual is not None
    assert found.prompts[0].humans["qwk"].value == pytest.approx(usual["qwk"].number, abs=1e-9)


def test_one_student_gives_figures_without_intervals() -> None:
    human, model = human_of(60, 13)
    human = dataclasses.replace(human, student=np.zeros(60, np.int64))
    found = judged(human, model)
    assert found.model["qwk"].value is not None
    assert found.model["qwk"].interval.low is None
    assert found.verdict == "not_estimable"


def test_two_hundred_resamples_of_2600_responses_to_eight_prompts_take_less_than_a_second() -> None:
    source = np.random.default_rng(0)
    truth = source.normal(3, 1, 2_600)
    ratings = np.clip(np.rint(truth[:, None] + source.normal(0, 0.6, (2_600, 2))), 0, 6)
    human = Human(
        score=np.floor(ratings.mean(axis=1) + 0.5),
        prompt=source.integers(0, 8, 2_600),
        student=np.arange(2_600),
        ratings=ratings,
        scales=[Scale(low=0, high=6)] * 8,
    )
    raw = np.clip(truth + source.normal(0, 0.5, 2_600), 0, 6)
    clock = time.process_time()
    scores_of(human, Predicted(raw=raw, low=raw - 1, high=raw + 1), constant(human), WritingEvaluateConfig())
    assert time.process_time() - clock < 1.0
