"""The golden replay: a release must give its golden answers on this machine before it answers anybody else."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from serving.bundle import Bundle


def golden_problems(bundle: Bundle, most: int = 5) -> tuple[str, ...]:
    """Return what is wrong with the release on this machine: one sentence each, at most `most`; empty when all is well.

    Every golden request is answered alone and all of them in one batch; both must be within the bundle's tolerance.
    The golden requests are synthetic, but the sentences hold no values of theirs all the same.
    """
    problems: list[str] = []
    requests = [case.request for case in bundle.golden]
    ways: dict[str, Callable[[], list[Any]]] = {  # Any: the codec's Answer
        "alone": lambda: [bundle.answer([request])[0] for request in requests],
        "in one batch": lambda: bundle.answer(requests),
    }
    for way, answers in ways.items():
        try:
            found = [bundle.answers.plain(answer) for answer in answers()]
        except Exception as error:  # a codec or model may fail in any way; the release is not ready then
            problems.append(f"The golden requests could not be answered {way} ({type(error).__name__}).")
            continue
        for number, (case, answer) in enumerate(zip(bundle.golden, found, strict=True)):
            for difference in differences(case.answer, answer, bundle.manifest.golden_tolerance):
                problems.append(f"Golden request {number}, answered {way}: {difference}")
                break
    return tuple(problems[:most])


def differences(expected: object, found: object, tolerance: float, path: str = "answer") -> Iterator[str]:
    """Yield one sentence for each place where two plain JSON values differ; numbers may differ by `tolerance`."""
    if _is_number(expected) and _is_number(found):
        gap = abs(float(expected) - float(found))  # type: ignore[arg-type]  # both are numbers
        if math.isnan(gap) or gap > tolerance:
            yield f"{path} is off by {gap:.3g}, allowed is {tolerance:g}."
    elif isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            yield f"{path} has other keys."
        for key in sorted(expected.keys() & found.keys()):
            yield from differences(expected[key], found[key], tolerance, f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{path} has {len(found)} entries, expected {len(expected)}."
        for i, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from differences(one, other, tolerance, f"{path}[{i}]")
    elif type(expected) is not type(found) or expected != found:
        yield f"{path} has another value."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
