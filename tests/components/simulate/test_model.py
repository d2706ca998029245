"""The model of simulated students: planted differences show as the formulas say, learning and forgetting happen."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.simulate.config import SimulateConfig, SimulatedGroup
from components.simulate.model import MS_PER_DAY, Flags, Simulation, make_items, simulate_answers


def two_groups(**planted: float) -> SimulateConfig:
    groups = (SimulatedGroup(name="a", share=0.6), SimulatedGroup(name="b", share=0.4, **planted))
    return SimulateConfig(students=600, groups=groups, seed=5)


def rows_of(simulation: Simulation, group: int) -> Flags:
    members: Flags = simulation.group_S[simulation.student] == group
    return members


def test_answers_are_predictable_enough_to_learn_from() -> None:
    simulation = simulate_answers(SimulateConfig())
    assert roc_auc_score(simulation.correct, simulation.probability) >= 0.7


def test_probabilities_are_true() -> None:
    """Answers whose probability lies in a bin are right that often, within four standard errors."""
    simulation = simulate_answers(SimulateConfig(students=1500, seed=2))
    edges = np.linspace(0.2, 0.9, 8)
    bins = np.digitize(simulation.probability, edges)
    for place in range(len(edges) + 1):
        own = bins == place
        if own.sum() > 200:
            expected = simulation.probability[own]
            error = math.sqrt((expected * (1 - expected)).sum()) / own.sum()
            assert abs(simulation.correct[own].mean() - expected.mean()) < 4 * error


def test_a_planted_slip_lowers_accuracy_by_slip_times_mastery() -> None:
    plain, planted = simulate_answers(two_groups()), simulate_answers(two_groups(extra_slip=0.2))
    a, b = rows_of(planted, 0), rows_of(planted, 1)
    np.testing.assert_array_equal(plain.mastery, planted.mastery)
    np.testing.assert_array_equal(plain.correct[a], planted.correct[a])
    drop = 0.2 * planted.mastery[b].mean()
    assert plain.probability[b].mean() - planted.probability[b].mean() == pytest.approx(drop, abs=1e-12)
    error = 0.5 / math.sqrt(b.sum())
    assert plain.correct[b].mean() - planted.correct[b].mean() == pytest.approx(drop, abs=4 * error)
    assert drop > 0.1


def test_label_noise_turns_that_share_of_records_round() -> None:
    simulation = simulate_answers(two_groups(label_noise=0.15))
    wrong = simulation.correct != simulation.correct_before_noise
    b = rows_of(simulation, 1)
    assert not wrong[~b].any()
    assert wrong[b].mean() == pytest.approx(0.15, abs=4 * math.sqrt(0.15 * 0.85 / b.sum()))


def test_a_group_may_give_fewer_answers() -> None:
    full, fewer = simulate_answers(two_groups()), simulate_answers(two_groups(answers_factor=0.25))
    before, after = (np.bincount(s.student, minlength=600) for s in (full, fewer))
    b = full.group_S == 1
    np.testing.assert_array_equal(before[~b], after[~b])
    np.testing.assert_array_equal(after[b], np.floor(before[b] * 0.25))


def test_ability_can_differ_by_group() -> None:
    plain, shifted = simulate_answers(two_groups()), simulate_answers(two_groups(ability_shift=-1.0))
    b = plain.group_S == 1
    np.testing.assert_allclose(plain.ability_S - shifted.ability_S, np.where(b, 1.0, 0.0), atol=1e-12)
    assert shifted.mastery[rows_of(shifted, 1)].mean() < plain.mastery[rows_of(plain, 1)].mean() - 0.1


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.333, 0.667), (1.0,), (0.9, 0.1)])
def test_shares_of_groups_hold_to_the_student(shares: tuple[float, ...]) -> None:
    groups = tuple(SimulatedGroup(name=f"g{n}", share=s) for n, s in enumerate(shares))
    counts = np.bincount(simulate_answers(SimulateConfig(students=200, groups=groups, answers_max=20)).group_S)
    assert counts.sum() == 200
    assert np.abs(counts - np.array(shares) * 200).max() <= 1


def halves(config: SimulateConfig) -> tuple[float, float]:
    """Return the mean mastery of the students' first and last ten answers."""
    simulation = simulate_answers(config)
    order = np.lexsort((simulation.time_ms, simulation.student))
    starts = np.searchsorted(simulation.student[order], np.arange(config.students))
    by_step = simulation.mastery[order][starts[:, None] + np.arange(config.answers_max)]
    return float(by_step[:, :10].mean()), float(by_step[:, -10:].mean())


FIXED = SimulateConfig(students=400, answers_min=80, answers_max=80, skills=5, items=60, seed=3)


def test_practice_makes_later_answers_better() -> None:
    early, late = halves(FIXED)
    assert late > early + 0.1
    early, late = halves(replace(FIXED, learning=0.0))
    assert late == pytest.approx(early, abs=0.03)


def test_forgetting_takes_some_of_it_back() -> None:
    _, kept = halves(replace(FIXED, forgetting_per_day=0.0))
    _, faded = halves(replace(FIXED, forgetting_per_day=0.3))
    assert faded < kept - 0.05


def test_mastery_follows_the_formula_for_one_student_and_skill() -> None:
    config = SimulateConfig(
        students=1, items=1, skills=1, answers_min=12, answers_max=12, groups=(), forgetting_per_day=0.1, seed=11
    )
    simulation = simulate_answers(config)
    learned, last = 0.0, int(simulation.time_ms[0])
    share = config.learning / config.learning_ceiling
    for mastery, now in zip(simulation.mastery, simulation.time_ms, strict=True):
        learned *= (1 - 0.1) ** ((now - last) / MS_PER_DAY)
        logit = simulation.ability_S[0] + learned - simulation.items.difficulty_I[0]
        assert mastery == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-12)
        learned += share * (config.learning_ceiling - learned)
        last = int(now)
    assert simulation.attempt.tolist() == list(range(1, 13))
    expected = config.guess + (1 - config.guess - config.slip) * simulation.mastery
    np.testing.assert_allclose(simulation.probability, expected, atol=1e-12)


@pytest.mark.parametrize(("skills", "most"), [(1, 1), (2, 2), (3, 3), (30, 3)])
def test_problems_have_one_to_three_different_skills(skills: int, most: int) -> None:
    items = make_items(SimulateConfig(skills=skills, items=max(skills, 100)), np.random.Generator(np.random.PCG64(0)))
    sets = [[k for k in row if k >= 0] for row in items.skills_IK.tolist()]
    assert {len(s) for s in sets} == set(range(1, most + 1))
    assert all(len(set(s)) == len(s) and max(s) < skills for s in sets)
    assert {s[0] for s in sets} == set(range(skills))
    firsts = items.skills_IK[items.first_of_skill_K, 0]
    np.testing.assert_array_equal(firsts, np.arange(skills))


def test_times_rise_within_a_student_and_rows_are_in_order() -> None:
    simulation = simulate_answers(SimulateConfig(students=80))
    assert (np.diff(simulation.time_ms) >= 0).all()
    for student in range(80):
        assert (np.diff(simulation.time_ms[simulation.student == student]) > 0).all()
    assert simulation.response_ms.min() >= 500
    lengths = np.bincount(simulation.student)
    assert lengths.min() >= 20
    assert lengths.max() <= 100
