"""The numbers by which one request and its answer are watched. Standard library only: a service computes them."""

import math
from collections.abc import Mapping
from typing import Any

from components.app import Codec, MonitoredCodec

MOST_SIGNALS = 64
"""So many signals of a release are watched at most: those with the most values."""


def signals_of(codec: Codec, request: Any, answer: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite signals of a request and its answer: the codec's own, or else the answer's numbers.

    Args:
        codec: the release's own, which may be older than `MonitoredCodec`.
        request: the codec's Request.
        answer: the codec's Answer as plain JSON values.
    """
    found = codec.signals(request, answer) if isinstance(codec, MonitoredCodec) else _numbers(answer)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _numbers(answer: Mapping[str, Any]) -> dict[str, float]:
    """Return each numeric field of an answer; of a field of objects in a list, its mean over the list."""
    sums: dict[str, tuple[float, int]] = {}
    nodes: list[Mapping[str, Any]] = [answer]
    for value in answer.values():
        if isinstance(value, list | tuple):
            nodes += [one for one in value if isinstance(one, Mapping)]
    for node in nodes:
        for name, value in node.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                total, count = sums.get(name, (0.0, 0))
                sums[name] = total + value, count + 1
    return {name: total / count for name, (total, count) in sums.items()}
