"""The logistic regressions against hand calculations, the equations of their optimum, and coin flips."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from components.evaluate.counts import counts_of
from components.evaluate.regression import (
    DESIGNS,
    PENALTY_C,
    Regression,
    Vocabulary,
    best_lr_blocks,
    fitted,
    pfa_blocks,
    thinned,
)
from components.evaluate.sequences import Split


def simulated(students: int, steps: int, seed: int, *, coin: bool = False, first: int = 0, soft: bool = False) -> Split:
    """Students who differ in ability, items that differ in difficulty, each item with one or two skills."""
    source = np.random.default_rng(seed)
    ability = source.normal(size=(students, 1))
    items = source.integers(2, 42, size=(students, steps))
    chance = 1 / (1 + np.exp(-(ability + (items % 7 - 3) / 2)))
    right = source.random((students, steps)) < (0.5 if coin else chance)
    responses = np.where(right, source.uniform(0.5, 1.0, right.shape), 0.0) if soft else right
    flat = items.ravel()
    second = np.where(flat % 3 == 0, 12 + flat % 4, 0)
    return Split(
        items=flat.astype(np.int32),
        skills=np.stack([2 + flat % 10, second], axis=1).astype(np.int32),
        responses=responses.ravel().astype(np.float32),
        scored=np.ones(len(flat), np.bool_),
        position=np.tile(np.arange(steps, dtype=np.uint32), students),
        starts=np.arange(students, dtype=np.int64) * steps,
        lengths=np.full(students, steps, np.int32),
        window_student=np.arange(first, first + students, dtype=np.int32),
    )


def one_student(skills: list[list[int]], items: list[int], responses: list[float]) -> Split:
    return Split(
        items=np.array(items, np.int32),
        skills=np.array(skills, np.int32),
        responses=np.array(responses, np.float32),
        scored=np.ones(len(items), np.bool_),
        position=np.arange(len(items), dtype=np.uint32),
        starts=np.array([0]),
        lengths=np.array([len(items)], np.int32),
        window_student=np.array([0], np.int32),
    )


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_pfa_adds_easiness_wins_and_failures_of_the_steps_skills() -> None:
    easiness, per_win, per_failure = [0, 0, 0.5, -1.0], [0, 0, 0.2, 0.1], [0, 0, -0.3, -0.05]
    model = Regression(
        design=pfa_blocks,
        known=Vocabulary(items=2, skills=4),
        coefficients_F=np.array([*easiness, *per_win, *per_failure]),
        intercept=0.25,
        steps=0,
        is_converged=True,
    )
    split = one_student([[2, 0], [2, 3], [2, 3], [3, 0]], [0, 0, 0, 0], [1, 0, 1, 0])
    by_hand = [
        0.25 + 0.5,
        0.25 + (0.5 + 0.2) - 1.0,
        0.25 + (0.5 + 0.2 - 0.3) + (-1.0 - 0.05),
        0.25 + (-1.0 + 0.1 - 0.05),
    ]
    assert model.predict(split, counts_of(split)) == pytest.approx([sigmoid(z) for z in by_hand])


def test_best_lr_adds_item_skills_and_logarithms_of_counts() -> None:
    item, easiness = [0, 0.1, -0.7], [0, 0, 0.5, -1.0]
    per_win, per_failure = [0, 0, 0.2, 0.1], [0, 0, -0.3, -0.05]
    shared = [0.01, -0.02, 0.4, -0.5, 0.06, -0.07]  # skills' average, item, all: wins and failures each
    model = Regression(
        design=best_lr_blocks,
        known=Vocabulary(items=3, skills=4),
        coefficients_F=np.array([*item, *easiness, *per_win, *per_failure, *shared]),
        intercept=0.0,
        steps=0,
        is_converged=True,
    )
    split = one_student([[2, 0], [2, 3], [2, 3]], [2, 2, 1], [1, 0, 1])
    two = math.log(2)  # log(1 + one answer)
    by_hand = [
        -0.7 + 0.5,
        -0.7 + 0.5 - 1.0 + 0.2 * two + 0.01 * two / 2 + 0.4 * two + 0.06 * two,
        # skill 2: a win and a failure; skill 3: a failure; the item is outside the vocabulary
        0.1 + 0.5 - 1.0 + (0.2 - 0.3 - 0.05) * two + (0.01 - 0.02 * 2) * two / 2 + (0.06 - 0.07) * two,
    ]
    assert model.predict(split, counts_of(split)) == pytest.approx([sigmoid(z) for z in by_hand])


@pytest.mark.parametrize("soft", [False, True])
def test_the_fit_solves_the_equations_of_the_penalised_optimum(soft: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.evaluate.regression.TOLERANCE", 1e-9)
    train = simulated(300, 12, 1, soft=soft)
    counts = counts_of(train)
    model = fitted(pfa_blocks, train, counts)
    assert model.is_converged
    rest = train.responses - model.predict(train, counts)
    # derivative of the log likelihood by each coefficient = coefficient / C; by the intercept = 0
    assert rest.sum() == pytest.approx(0.0, abs=1e-4)
    width = model.known.skills
    easiness, per_win, per_failure = model.coefficients_F.reshape(3, width)
    for skill in range(2, width):
        has = train.skills == skill
        assert (rest[:, None] * has).sum() == pytest.approx(easiness[skill] / PENALTY_C, abs=1e-4)
        wins = (rest[:, None] * np.where(has, counts.skill_wins_NK, 0)).sum()
        failures = (rest[:, None] * np.where(has, counts.skill_failures_NK, 0)).sum()
        assert (wins, failures) == pytest.approx((per_win[skill] / PENALTY_C, per_failure[skill] / PENALTY_C), abs=1e-3)


def test_both_solvers_find_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = simulated(300, 15, 1), simulated(100, 15, 2)
    monkeypatch.setattr("components.evaluate.regression.TOLERANCE", 1e-8)
    found = []
    for limit in (0, 10_000):
        monkeypatch.setattr("components.evaluate.regression.DENSE_FEATURES", limit)
        model = fitted(best_lr_blocks, train, counts_of(train))
        found.append(model.predict(test, counts_of(test)))
    assert np.abs(found[0] - found[1]).max() < 1e-5


@pytest.mark.parametrize(("name", "least"), [("pfa", 0.6), ("best_lr", 0.65)])  # PFA knows no items
def test_ability_and_difficulty_are_learned_and_coin_flips_are_not(name: str, least: float) -> None:
    aucs = []
    for coin in (False, True):
        train, test = simulated(1_500, 20, 3, coin=coin), simulated(1_500, 20, 4, coin=coin, first=1_500)
        model = fitted(DESIGNS[name], train, counts_of(train))
        aucs.append(roc_auc_score(test.responses, model.predict(test, counts_of(test))))
    assert aucs[0] > least
    assert aucs[1] == pytest.approx(0.5, abs=0.015)  # 30,000 rows: the standard error is 0.0033


@pytest.mark.parametrize("name", sorted(DESIGNS))
def test_items_and_skills_that_training_never_met_are_predicted_as_unknown_ones(name: str) -> None:
    train = simulated(200, 10, 5)
    model = fitted(DESIGNS[name], train, counts_of(train))

    def asked(item: int, skill: int) -> npt.NDArray[np.float64]:
        split = one_student([[4, 0], [skill, 0]], [5, item], [1, 1])
        return model.predict(split, counts_of(split))

    assert asked(item=500, skill=90).tolist() == asked(item=1, skill=1).tolist()
    # nothing was learned of unknown ones: what is left is the intercept, and the student's own record
    assert 0.0 < asked(item=1, skill=1)[1] < 1.0


@pytest.mark.parametrize("name", sorted(DESIGNS))
@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_training_answers_that_are_all_alike_give_one_probability(name: str, answer: float) -> None:
    train = one_student([[2, 0]] * 9, [2] * 9, [answer] * 9)
    model = fitted(DESIGNS[name], train, counts_of(train))
    assert model.is_constant
    assert model.predict(train, counts_of(train)).tolist() == pytest.approx([(9 * answer + 0.5) / 10] * 9)


def test_long_training_data_are_thinned_by_whole_students_and_give_nearly_the_same_model() -> None:
    train, test = simulated(1_000, 12, 6), simulated(300, 12, 7)
    whole = fitted(best_lr_blocks, train, counts_of(train))
    part = thinned(train, 6_005)
    some = fitted(best_lr_blocks, part, counts_of(part))
    assert (whole.steps, some.steps) == (12_000, 6_000)
    assert (part.position.reshape(500, 12) == np.arange(12)).all()  # whole students
    assert thinned(train, 6_005).window_student.tolist() == part.window_student.tolist()
    assert thinned(train, 12_000) is train
    aucs = [roc_auc_score(test.responses, m.predict(test, counts_of(test))) for m in (whole, some)]
    assert aucs[1] == pytest.approx(aucs[0], abs=0.01)


def test_rows_are_the_same_whether_laid_out_at_once_or_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    train = simulated(100, 10, 8)
    found: list[Any] = []
    for rows in (1 << 16, 37):
        monkeypatch.setattr("components.evaluate.regression._ROWS_AT_ONCE", rows)
        model = fitted(best_lr_blocks, train, counts_of(train))
        found.append((model.coefficients_F.tolist(), model.predict(train, counts_of(train)).tolist()))
    assert found[0] == found[1]


def test_a_fit_that_does_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.evaluate.regression.TOLERANCE", 1e-30)
    monkeypatch.setattr("components.evaluate.regression.DENSE_FEATURES", 0)
    train = simulated(50, 10, 9)
    assert not fitted(best_lr_blocks, train, counts_of(train)).is_converged
