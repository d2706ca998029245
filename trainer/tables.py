"""Printing the results of an evaluation as a small table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def format_results(title: str, results: Sequence[Mapping[str, float]]) -> str:
    """Return one line for each metric, one block for each loader."""
    lines = []
    for index, values in enumerate(results):
        lines.append(f"{title}, loader {index}" if len(results) > 1 else title)
        width = max([len(name) for name in values] or [0])
        lines += [f"  {name:<{width}}  {value:.6g}" for name, value in values.items()]
    return "\n".join(lines)


def print_results(title: str, results: Sequence[Mapping[str, float]]) -> None:
    """Print `format_results`, where there is anything to print."""
    if any(results):
        print(format_results(title, results))
