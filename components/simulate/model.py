"""A model of students who answer, learn and forget: item response theory with practice, over all students at once.

Ability and difficulty meet in a logistic function (Rasch 1960); a learned amount per skill is added to ability, grows
with practice towards a ceiling, and shrinks exponentially with time since the last practice (Ebbinghaus's curve in its
simplest form). Guess and slip map mastery m to the probability of a right answer, guess + (1 - guess - slip) m (the
four-parameter logistic model of Barton and Lord 1981).

Shapes: S students, T answers of the student with most, K skills, I items.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from components.simulate.config import SimulateConfig

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

START_MS = 1_725_174_000_000
"""2024-09-01T07:00:00Z, when the first students begin."""
MS_PER_DAY = 86_400_000
MOST_SKILLS_PER_ITEM = 3
_SKILLS_PER_ITEM = (0.7, 0.2, 0.1)
_NEW_SESSION = 0.06
"""Probability that the next answer comes on a later day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Problems: sorted by main skill, so that those of a skill stand together."""

    difficulty_I: Floats
    skills_IK: Ints
    """Skills of each, the main one first; -1 where there are fewer than three."""
    first_of_skill_K: Ints
    count_of_skill_K: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What happened, one entry per answer, by time, then student."""

    student: Ints
    item: Ints
    correct: Ints
    """As recorded."""
    correct_before_noise: Ints
    time_ms: Ints
    response_ms: Ints
    attempt: Ints
    """How often the student has met the item, this time included."""
    mastery: Floats
    """Probability of knowing the answer."""
    probability: Floats
    """Probability of answering right, before label noise."""
    group_S: Ints
    """Group of each student; -1 without groups."""
    ability_S: Floats
    items: Items


def simulate_answers(config: SimulateConfig) -> Simulation:
    """Return the answers of all students. Each part draws from its own stream, so that changing one leaves the rest."""
    streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(config.seed).spawn(7)]
    for_items, for_groups, for_ability, for_lengths, for_choices, for_times, for_answers = streams
    items = make_items(config, for_items)
    group_S = _groups(config, for_groups)
    of_group = partial(_of_group, config, group_S)
    ability_S = for_ability.normal(0.0, config.ability_sd, config.students) + of_group("ability_shift")
    lengths_S = for_lengths.integers(config.answers_min, config.answers_max, config.students, endpoint=True)
    lengths_S = np.maximum(1, np.floor(lengths_S * of_group("answers_factor", 1.0))).astype(np.int64)
    steps = int(config.answers_max)
    item_ST = _choices(config, items, for_choices, steps)
    time_ST, effort_ST = _times(config, for_times, steps)
    mastery_ST = _mastery(config, items, ability_S, item_ST, time_ST)
    slip_S = config.slip + of_group("extra_slip")
    probability_ST = config.guess + (1.0 - config.guess - slip_S[:, None]) * mastery_ST
    draw_ST, noise_ST = for_answers.random((2, config.students, steps))
    right_ST = draw_ST < probability_ST
    recorded_ST = right_ST ^ (noise_ST < of_group("label_noise")[:, None])
    response_ST = np.maximum(500, effort_ST * np.exp(-0.5 * mastery_ST)).astype(np.int64)
    taken_ST = np.arange(steps) < lengths_S[:, None]
    student_ST = np.broadcast_to(np.arange(config.students)[:, None], taken_ST.shape)
    order = np.lexsort((student_ST[taken_ST], time_ST[taken_ST]))

    def flat(values_ST: npt.NDArray[np.generic]) -> Ints:
        return values_ST[taken_ST][order].astype(np.int64)

    return Simulation(
        student=flat(student_ST),
        item=flat(item_ST),
        correct=flat(recorded_ST),
        correct_before_noise=flat(right_ST),
        time_ms=flat(time_ST),
        response_ms=flat(response_ST),
        attempt=flat(_attempts(item_ST)),
        mastery=mastery_ST[taken_ST][order],
        probability=probability_ST[taken_ST][order],
        group_S=group_S,
        ability_S=ability_S,
        items=items,
    )


def make_items(config: SimulateConfig, source: np.random.Generator) -> Items:
    """Return the problems: difficulties, and one to three skills each; every skill is the main one of some problem."""
    main = np.concatenate([np.arange(config.skills), source.integers(0, config.skills, config.items - config.skills)])
    main.sort()
    most = min(MOST_SKILLS_PER_ITEM, config.skills)
    wanted = 1 + source.choice(MOST_SKILLS_PER_ITEM, config.items, p=_SKILLS_PER_ITEM)
    skills_IK = np.full((config.items, MOST_SKILLS_PER_ITEM), -1, np.int64)
    skills_IK[:, 0] = main
    # Steps from the main skill around the circle of skills; different and above 0, so that no skill comes twice.
    steps = np.argsort(source.random((config.items, max(config.skills - 1, 1))), axis=1)[:, : most - 1] + 1
    for place in range(1, most):
        others = (main + steps[:, place - 1]) % config.skills
        skills_IK[:, place] = np.where(wanted > place, others, -1)
    return Items(
        difficulty_I=source.normal(0.0, config.difficulty_sd, config.items),
        skills_IK=skills_IK,
        first_of_skill_K=np.searchsorted(main, np.arange(config.skills)),
        count_of_skill_K=np.bincount(main, minlength=config.skills),
    )


def _groups(config: SimulateConfig, source: np.random.Generator) -> Ints:
    """Return each student's group: the shares as exactly as whole students allow, in random order."""
    if not config.groups:
        return np.full(config.students, -1, np.int64)
    edges = np.rint(np.cumsum([g.share for g in config.groups]) * config.students)
    members = np.searchsorted(edges, np.arange(config.students), side="right")
    return source.permutation(np.minimum(members, len(config.groups) - 1))


def _of_group(config: SimulateConfig, group_S: Ints, field: str, without_groups: float = 0.0) -> Floats:
    """Return a planted difference for each student."""
    if not config.groups:
        return np.full(len(group_S), without_groups)
    return np.array([float(getattr(g, field)) for g in config.groups])[group_S]


def _choices(config: SimulateConfig, items: Items, source: np.random.Generator, steps: int) -> Ints:
    """Return the items in the order met: runs on one main skill, any problem of it."""
    stays_ST = source.random((config.students, steps)) < config.stay_on_skill
    skill_ST = source.integers(0, config.skills, (config.students, steps))
    which_ST = source.random((config.students, steps))
    for step in range(1, steps):
        skill_ST[:, step] = np.where(stays_ST[:, step], skill_ST[:, step - 1], skill_ST[:, step])
    offset_ST = np.floor(which_ST * items.count_of_skill_K[skill_ST]).astype(np.int64)
    return items.first_of_skill_K[skill_ST] + offset_ST


def _times(config: SimulateConfig, source: np.random.Generator, steps: int) -> tuple[Ints, Floats]:
    """Return times in ms, rising for each student, and how long an answer takes without knowing, in ms."""
    shape = (config.students, steps)
    effort_ST = np.exp(source.normal(np.log(30_000.0), 0.6, shape))
    gap_ST = 60_000.0 + source.exponential(30_000.0, shape)
    new_ST = source.random(shape) < _NEW_SESSION
    days_ST = 1.0 + source.exponential(2.0, shape)
    step_ST = np.where(new_ST, days_ST * MS_PER_DAY, gap_ST)
    step_ST[:, 0] = source.random(config.students) * 14 * MS_PER_DAY
    return START_MS + np.cumsum(step_ST.astype(np.int64), axis=1), effort_ST


def _mastery(config: SimulateConfig, items: Items, ability_S: Floats, item_ST: Ints, time_ST: Ints) -> Floats:
    """Return the probability of knowing each answer; what practice adds is the mean over the problem's skills."""
    students = np.arange(len(ability_S))
    learned_SK = np.zeros((len(ability_S), config.skills))
    last_SK = np.zeros((len(ability_S), config.skills), np.int64)
    share = config.learning / config.learning_ceiling if config.learning_ceiling else 0.0
    rate = -np.log1p(-config.forgetting_per_day) / MS_PER_DAY
    mastery_ST = np.empty(item_ST.shape)
    for step in range(item_ST.shape[1]):
        item_S, now_S = item_ST[:, step], time_ST[:, step]
        skills_SK = items.skills_IK[item_S]
        has_SK = skills_SK >= 0
        rows_SK = np.broadcast_to(students[:, None], skills_SK.shape)
        elapsed_SK = np.where(has_SK, now_S[:, None] - last_SK[rows_SK, skills_SK], 0)
        kept_SK = learned_SK[rows_SK, skills_SK] * np.exp(-rate * elapsed_SK)
        gain_S = np.where(has_SK, kept_SK, 0.0).sum(axis=1) / has_SK.sum(axis=1)
        mastery_ST[:, step] = 1.0 / (1.0 + np.exp(items.difficulty_I[item_S] - ability_S - gain_S))
        grown_SK = kept_SK + share * (config.learning_ceiling - kept_SK)
        learned_SK[rows_SK[has_SK], skills_SK[has_SK]] = grown_SK[has_SK]
        last_SK[rows_SK[has_SK], skills_SK[has_SK]] = np.broadcast_to(now_S[:, None], has_SK.shape)[has_SK]
    return mastery_ST


def _attempts(item_ST: Ints) -> Ints:
    """Return for each step how often the student has met the item so far, from 1."""
    order_ST = np.argsort(item_ST, axis=1, kind="stable")
    sorted_ST = np.take_along_axis(item_ST, order_ST, axis=1)
    place_T = np.arange(item_ST.shape[1])
    begins_ST = np.ones(item_ST.shape, np.bool_)
    begins_ST[:, 1:] = sorted_ST[:, 1:] != sorted_ST[:, :-1]
    begin_ST = np.maximum.accumulate(np.where(begins_ST, place_T, 0), axis=1)
    attempts_ST = np.empty_like(item_ST)
    np.put_along_axis(attempts_ST, order_ST, place_T - begin_ST + 1, axis=1)
    return attempts_ST
