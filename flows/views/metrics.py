"""Metrics with their intervals, as every summary has them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def by_name(
    metrics: Mapping[str, float], intervals: Mapping[str, Sequence[float] | None], headline: str
) -> dict[str, Any]:
    """Return name -> value and interval (None where it is not estimable), the headline metric first."""
    found = {}
    for name in sorted(metrics, key=lambda name: (name != headline, name)):
        ends = intervals.get(name)
        found[name] = {"value": metrics[name], "interval": None if ends is None else list(ends)}
    return found


def printed(metrics: Mapping[str, Any], confidence: float) -> Iterator[str]:
    """Yield a line for each metric of `by_name`."""
    level = f"{confidence * 100:g} %"
    for name, figure in metrics.items():
        ends = figure["interval"]
        shown = f"({level} interval {ends[0]:.4f} to {ends[1]:.4f})" if ends else "(interval not estimable)"
        yield f"  {name:<10} {figure['value']:.4f}  {shown}"
