"""Intervals that hold at once for everything that a report is judged by: all limits, all groups, all attributes.

A report on three attributes with two limits each is judged six times, each time on the widest of many differences. So
one quantile is taken over all of them, by the same resamples of the same students; see `components/fairness/gaps.py`.
"""

from collections.abc import Mapping
from dataclasses import replace

from components.fairness.gaps import departures_of, differences_of, quantile_of
from components.fairness.groups import Comparison
from components.fairness.limits import GateConfig


def jointly(comparisons: Mapping[str, Comparison], config: GateConfig) -> dict[str, Comparison]:
    """Return the comparisons with intervals of all limited measures that hold at once; the others stay as they are.

    Args:
        comparisons: attribute -> its groups, all resampled by the same draws of the same students.
        config: which measures have a limit, and the confidence.
    """
    gaps, departures, levels = config.gap_limits, config.departure_limits, config.level_limits
    largest = []
    for comparison in comparisons.values():
        for measure, sample in comparison.samples.items():
            if measure in gaps:
                largest.append(sample.largest_of_pairs())
            if measure in departures or measure in levels:
                largest.append(sample.largest_of_groups())
    if not largest:
        return dict(comparisons)
    q = quantile_of(largest, config.confidence)
    joint = {}
    for name, comparison in comparisons.items():
        samples, confidence = comparison.samples, config.confidence
        pairs = {m: differences_of(samples[m], confidence, q=q) for m in gaps if m in samples}
        alone = {m: departures_of(samples[m], confidence, q=q) for m in {**departures, **levels} if m in samples}
        joint[name] = replace(
            comparison,
            differences={**comparison.differences, **pairs},
            departures={**comparison.departures, **{m: alone[m] for m in departures if m in alone}},
            levels={m: tuple(sorted(alone.get(m, ()), key=lambda d: d.value)) for m in levels},
        )
    return joint
