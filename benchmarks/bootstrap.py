"""1,000 resamples of whole students for all measures of 8 groups over 100,000 predictions, beside scikit-learn.

    python -m benchmarks.bootstrap [--resamples 1000] [--loop 4] [--json FILE]

Both in one process on one thread, CPU time. Ours is `components.evaluate.estimates.measured`, which the fairness stage
calls: AUC, accuracy, balanced accuracy, log loss, Brier score, ECE, selection rate, true and false positive rate,
calibration, base rate, mean probability. The loop draws the same students and calls scikit-learn's metrics on each
group's rows with `sample_weight`, as one would write it down; it is run on fewer resamples, in two halves about ours,
and scaled. All resampled values are compared: they must agree to 1e-9, else the benchmark fails.

Goals: at least 10 times the loop per CPU second, peak memory under 1 GB.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy loads its own threads

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)

from benchmarks.machine import peak_memory_mb, processor_name
from components.evaluate.bootstrap import resampled_students
from components.evaluate.estimates import measured
from components.evaluate.measures import MEANINGS
from components.evaluate.rows import ScoredRows
from components.fairness.pairs import pairs_of

PREDICTIONS, STUDENTS, GROUPS = 100_000, 4_000, 8
SEED = 0
GOAL, GOAL_MB = 10.0, 1_000.0
EQUAL = 1e-9
Floats = npt.NDArray[np.float64]


def simulated() -> tuple[ScoredRows, npt.NDArray[np.int64]]:
    """Return calibrated predictions, and each student's group; the groups have 3 % to 30 % of the students."""
    source = np.random.default_rng(SEED)
    share = np.array([0.30, 0.20, 0.15, 0.12, 0.10, 0.06, 0.04, 0.03])
    group = source.choice(GROUPS, STUDENTS, p=share)
    student = np.sort(np.append(np.arange(STUDENTS), source.integers(STUDENTS, size=PREDICTIONS - STUDENTS)))
    probability = source.beta(4, 2, PREDICTIONS).astype(np.float32)
    label = (source.random(PREDICTIONS) < probability).astype(np.float32)
    return ScoredRows(student=student, label=label, probability=probability), group


def binned_error(y: Floats, p: Floats, weight: Floats) -> float:
    """Return ECE of ten bins: scikit-learn has none, and its `calibration_curve` takes no weights."""
    places = np.minimum((p * 10).astype(int), 9)
    return float(np.abs(np.bincount(places, weights=(p - y) * weight, minlength=10)).sum() / weight.sum())


def by_scikit_learn(rows: ScoredRows, group: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Floats:
    """Return (measures, GROUPS) of one resample, in the order of `MEANINGS`."""
    out = np.empty((len(MEANINGS), GROUPS))
    of_row = group[rows.student]
    for g in range(GROUPS):
        inside = of_row == g
        y, p = rows.label[inside].astype(np.float64), rows.probability[inside].astype(np.float64)
        weight = counts[rows.student[inside]].astype(np.float64)
        hard = (p >= 0.5).astype(np.float64)
        mean_y, mean_p = np.average(y, weights=weight), np.average(p, weights=weight)
        found = {
            "auc": roc_auc_score(y, p, sample_weight=weight),
            "accuracy": accuracy_score(y, hard, sample_weight=weight),
            "calibration": mean_p - mean_y,
            "base_rate": mean_y,
            "mean_probability": mean_p,
            "selection_rate": np.average(hard, weights=weight),
            "true_positive_rate": recall_score(y, hard, sample_weight=weight),
            "false_positive_rate": 1.0 - recall_score(y, hard, pos_label=0, sample_weight=weight),
            "log_loss": log_loss(y, p, sample_weight=weight),
            "brier": brier_score_loss(y, p, sample_weight=weight),
            "balanced_accuracy": balanced_accuracy_score(y, hard, sample_weight=weight),
            "ece": binned_error(y, p, weight),
        }
        out[:, g] = [found[name] for name in MEANINGS]
    return out


def main() -> int:
    """Measure, print, and return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--loop", type=int, default=4, help="resamples that scikit-learn is given")
    parser.add_argument("--pairs", type=int, default=100, help="resamples of ABROCA, 0 for none")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    rows, group = simulated()
    draws = list(resampled_students(STUDENTS, options.loop, SEED))

    def loop(part: list[npt.NDArray[np.int64]]) -> tuple[list[Floats], float]:
        started = time.process_time()
        return [by_scikit_learn(rows, group, counts) for counts in part], time.process_time() - started

    half = max(1, options.loop // 2)
    before, spent_before = loop(draws[:half])
    started = time.process_time()
    found = measured(rows, group[rows.student], GROUPS, resamples=options.resamples, seed=SEED)
    ours_s = time.process_time() - started
    after, spent_after = loop(draws[half:])
    peak_mb = peak_memory_mb()
    loop_s = (spent_before + spent_after) / options.loop * options.resamples

    reference = np.stack([*before, *after])
    drawn = np.stack([found.drawn[name][: options.loop] for name in MEANINGS], axis=1)
    apart = float(np.abs(drawn - reference).max())
    figures = {
        "ours_cpu_s": ours_s,
        "loop_cpu_s": loop_s,
        "ratio": loop_s / ours_s,
        "peak_mb": peak_mb,
        "largest_difference": apart,
    }
    print(processor_name())
    print(f"{options.resamples} resamples of {STUDENTS} students, {PREDICTIONS} predictions, {GROUPS} groups, "
          f"{len(MEANINGS)} measures")  # fmt: skip
    print(f"ours {ours_s:.2f} CPU s; scikit-learn {loop_s:.0f} CPU s (scaled from {options.loop} resamples); "
          f"ratio {figures['ratio']:.0f} (goal {GOAL:g})")  # fmt: skip
    print(f"peak memory {peak_mb:.0f} MB (goal {GOAL_MB:g}); values at most {apart:.1e} apart")
    if options.pairs:
        from components.evaluate.estimates import Estimate

        shown = [(g, str(g), Estimate(status="ok", value=0.5, low=0.0, high=1.0)) for g in range(GROUPS)]
        started = time.process_time()
        pairs = pairs_of(rows, group, shown, resamples=options.pairs, confidence=0.95, seed=SEED)
        figures["abroca_cpu_s"] = time.process_time() - started
        print(f"ABROCA of {len(pairs)} pairs, {options.pairs} resamples and as many randomisations: "
              f"{figures['abroca_cpu_s']:.1f} CPU s")  # fmt: skip
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return int(figures["ratio"] < GOAL or peak_mb >= GOAL_MB or apart > EQUAL)


if __name__ == "__main__":
    sys.exit(main())
