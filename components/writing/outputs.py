"""Checks of what every trained grader's configuration says of its scores and intervals."""

from collections.abc import Sequence


def output_problems(stretches: Sequence[float], confidence: float, regions: int) -> list[str]:
    """Return what is wrong with the fields of these names."""
    problems = []
    if not stretches or min(stretches) <= 0:
        problems.append(f"stretches={tuple(stretches)} must be one number above 0 or more")
    if not 0.0 < confidence < 1.0:
        problems.append(f"confidence={confidence} must be between 0 and 1; use e.g. 0.9")
    if regions < 1:
        problems.append(f"regions={regions} must be at least 1")
    return problems
