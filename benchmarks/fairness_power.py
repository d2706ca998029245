"""How often the gate on groups stops, with a planted gap and without: power and false alarms by size of the groups.

    python -m benchmarks.fairness_power [--seeds 200] [--json FILE]

4 groups of n students with 10 answers each and a second attribute of 2 groups without any gap, limits of .03 on the gap
of AUC and of the true positive rate (TPR) of both attributes, judged at once; see `components/simulate/scores.py` for
the model. `differs` is the default of `fairness.gap_test`: the gap is over its limit, and its interval leaves 0 out;
`exceeds`: all of the interval is over the limit. `warned`: over the limit, not shown (differs).
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import processor_name
from components.fairness.family import jointly
from components.fairness.gate import judge
from components.simulate.scores import ScoreSimulator, limits

SIZES = (50, 200, 1_000, 5_000)
PLANTED = {
    "none": {},
    "AUC .02 (allowed)": {"auc_gap": 0.02},
    "AUC .05": {"auc_gap": 0.05},
    "TPR .10": {"tpr_gap": 0.10},
}


def measure(students: int, planted: dict[str, float], seeds: int) -> dict[str, float]:
    """Return the shares of runs that are stopped, by test, and that are only warned of."""
    simulator = ScoreSimulator(students=students, **planted)  # type: ignore[arg-type]  # numbers of the class
    configs = {"differs": limits(), "exceeds": limits(gap_test="exceeds")}
    found = dict.fromkeys((*configs, "warned"), 0)
    for seed in range(seeds):
        joint = jointly(simulator.comparisons(simulator.scores(seed)), configs["differs"])
        for test, config in configs.items():
            outcomes = {finding.outcome for finding in judge(joint, config).findings}
            found[test] += "stop" in outcomes
            if test == "differs":
                found["warned"] += "stop" not in outcomes and "warn" in outcomes
    return {name: count / seeds for name, count in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all sizes and gaps, print a table, and return 0 when the demands at n = 1,000 are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    print(f"{processor_name()}, {chosen.seeds} seeds")
    print(
        "| students per group | planted gap | stopped (`differs`) | stopped with `exceeds` | `differs`: only warned |"
    )
    print("|---:|---|---:|---:|---:|")
    started, found = time.process_time(), {}
    for students in SIZES:
        for name, planted in PLANTED.items():
            shares = found[f"{students}, {name}"] = measure(students, planted, chosen.seeds)
            told = " | ".join(f"{shares[key]:.1%}" for key in ("differs", "exceeds", "warned"))
            print(f"| {students:,} | {name} | {told} |", flush=True)
    print(f"{time.process_time() - started:.0f} CPU s")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    demanded = {name: found[f"1000, {name}"]["differs"] for name in ("none", "AUC .05", "TPR .10")}
    return 0 if demanded["none"] <= 0.05 and min(demanded["AUC .05"], demanded["TPR .10"]) >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
