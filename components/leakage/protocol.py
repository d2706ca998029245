"""Which protocol the rows follow, and how many of them repeat the problem before, whose answer shows theirs.

`components/evaluate/repeats.py` scores a model with and without such rows. It knows problems of the vocabulary alone
and takes any two others for a repeat; here the logs' own ids are compared, so the share is lower where many are rare.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.repeats import PROBLEM, ROW_PER_SKILL
from components.leakage.findings import Check, Outcome, leakage_finding

MEASURE = "repeated_problem_share"


def check_protocol(
    protocol: str, repeats: Mapping[str, npt.NDArray[np.bool_]], otherwise: Literal["stop", "warn"]
) -> Check:
    """Return the share of the scored rows of each split that repeat the problem of the student's row before.

    Under `problem`, a row is an answered problem with all its skills: a repeat is another attempt and shows nothing.
    Under `row_per_skill` it is the same answer once more. Without problem ids nobody can tell, whatever the share.

    Args:
        protocol: of the logs.
        repeats: for each split, of each scored row.
        otherwise: the outcome where rows show the next answer, or nobody can tell.
    """
    counts: dict[str, JsonValue] = {}
    repeated, rows = 0, 0
    for name, own in repeats.items():
        counts[name] = {"scored": len(own), "repeats": int(own.sum())}
        repeated, rows = repeated + int(own.sum()), rows + len(own)
    share = repeated / rows if rows else 0.0
    outcome: Outcome
    if protocol == PROBLEM:
        outcome, value, limit = "pass", share, None
        reason = f"protocol {protocol}: one row for each answer; {share:.1%} of scored rows are another attempt at once"
    elif protocol == ROW_PER_SKILL:
        outcome, value, limit = otherwise if repeated else "pass", share, 0.0
        reason = (
            f"protocol {protocol}: {share:.1%} of scored rows repeat the problem of the row before, which shows their "
            "answer"
        )
    else:
        outcome, value, limit = otherwise, None, 0.0
        reason = (
            f"protocol {protocol}: nobody can tell which rows repeat a problem, as the logs have no problem ids; where "
            "a problem with several skills has several rows, each shows the answer of the next"
        )
    finding = leakage_finding(MEASURE, value=value, limit=limit, n=rows, outcome=outcome, reason=reason)
    return Check(name="protocol", findings=(finding,), figures={"protocol": protocol, "splits": counts})
