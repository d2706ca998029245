"""Tables of a simulation: answers as a source delivers them, and the truth that a source never has."""

import numpy as np
import polars as pl

from components.artifacts import JsonValue
from components.simulate.config import SimulateConfig
from components.simulate.model import Simulation


def answers_table(config: SimulateConfig, simulation: Simulation) -> pl.DataFrame:
    """Return the answers in the layout `homeroom`, ordered by time."""
    students = names_of("student", config.students)
    columns = {
        "student": students.gather(simulation.student),
        "item": names_of("item", config.items).gather(simulation.item),
        "skills": _skill_texts(config, simulation).gather(simulation.item),
        "correct": pl.Series(simulation.correct, dtype=pl.Int8),
        "time": pl.Series(simulation.time_ms, dtype=pl.Int64),
        "response_time": pl.Series(simulation.response_ms, dtype=pl.Int64),
        "attempt": pl.Series(simulation.attempt, dtype=pl.Int32),
    }
    if config.groups:
        names = pl.Series([g.name for g in config.groups])
        columns[f"group_{config.group_attribute}"] = names.gather(simulation.group_S[simulation.student])
    return pl.DataFrame(columns)


def truth_table(config: SimulateConfig, simulation: Simulation) -> pl.DataFrame:
    """Return the true probabilities, row by row as `answers_table`."""
    noise = np.array([g.label_noise for g in config.groups] or [0.0])
    noise_of_row = noise[np.maximum(simulation.group_S, 0)][simulation.student]
    right = simulation.probability
    return pl.DataFrame(
        {
            "student": names_of("student", config.students).gather(simulation.student),
            "mastery": simulation.mastery,
            "probability": right,
            "probability_recorded": right * (1 - noise_of_row) + (1 - right) * noise_of_row,
            "correct_before_noise": pl.Series(simulation.correct_before_noise, dtype=pl.Int8),
        }
    )


def parameters(simulation: Simulation) -> dict[str, JsonValue]:
    """Return abilities, groups, difficulties and skills as drawn."""
    skills: list[JsonValue] = [[k for k in row if k >= 0] for row in simulation.items.skills_IK.tolist()]
    return {
        "ability": simulation.ability_S.round(9).tolist(),
        "group": simulation.group_S.tolist(),
        "difficulty": simulation.items.difficulty_I.round(9).tolist(),
        "item_skills": skills,
    }


def names_of(kind: str, count: int) -> pl.Series:
    """Return `kind-0001` and so on, from 1, all of one length."""
    digits = len(str(count))
    return pl.Series([f"{kind}-{number:0{digits}}" for number in range(1, count + 1)])


def _skill_texts(config: SimulateConfig, simulation: Simulation) -> pl.Series:
    names = names_of("skill", config.skills).to_list()
    rows = simulation.items.skills_IK.tolist()
    return pl.Series([";".join(sorted(names[k] for k in row if k >= 0)) for row in rows])
