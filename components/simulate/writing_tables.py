"""Tables of simulated writing: responses as a source delivers them, and the truth that a source never has."""

from collections.abc import Iterable

import polars as pl

from components.artifacts import JsonValue
from components.simulate.tables import names_of
from components.simulate.writing import TRAIT_RANGE, SimulatedPrompt, WritingSimulation
from components.simulate.writing_config import SimulateWritingConfig


def responses_table(config: SimulateWritingConfig, simulation: WritingSimulation) -> pl.DataFrame:
    """Return the responses in the layout `homeroom`, by student, then prompt."""
    prompts = pl.Series([prompt.name for prompt in simulation.prompts])
    columns = {
        "response": names_of("response", len(simulation.texts)),
        "student": names_of("student", config.students).gather(simulation.student_N),
        "prompt": prompts.gather(simulation.prompt_N),
        "text": pl.Series(simulation.texts, dtype=pl.String),
        "score": pl.Series(simulation.score_N, dtype=pl.Int64),
        "rater_1": pl.Series(simulation.raters_N2[:, 0], dtype=pl.Int64),
        "rater_2": pl.Series(simulation.raters_N2[:, 1], dtype=pl.Int64),
        "trait_conventions": pl.Series(simulation.conventions_N, dtype=pl.Int64),
    }
    if config.groups:
        names = pl.Series([group.name for group in config.groups])
        columns[f"group_{config.group_attribute}"] = names.gather(simulation.group_S[simulation.student_N])
    return pl.DataFrame(columns)


def truth_table(simulation: WritingSimulation) -> pl.DataFrame:
    """Return what is behind each response, row by row as `responses_table`."""
    return pl.DataFrame(
        {
            "response": names_of("response", len(simulation.texts)),
            "quality": simulation.quality_N,
            "expected_score": simulation.expected_N,
            "spelling": simulation.spelling_N,
        }
    )


def parameters(simulation: WritingSimulation) -> dict[str, JsonValue]:
    """Return abilities and groups as drawn, and the prompts with their rubrics."""
    return {
        "ability": simulation.ability_S.round(9).tolist(),
        "group": simulation.group_S.tolist(),
        "prompts": prompt_settings(simulation.prompts),
    }


def prompt_settings(prompts: Iterable[SimulatedPrompt]) -> dict[str, JsonValue]:
    """Return prompts with their rubrics as `ingest.prompts` takes them."""
    lowest, highest = (float(score) for score in TRAIT_RANGE)
    return {
        prompt.name: {
            "low": float(prompt.low),
            "high": float(prompt.high),
            "text": prompt.topic.question,
            "reference_answers": [*prompt.references],
            "traits": {"conventions": {"low": lowest, "high": highest}},
        }
        for prompt in prompts
    }
