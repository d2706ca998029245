"""Contents of reports with every field that the page can show, made up from random numbers; and cut-down ones."""

from typing import Any

import numpy as np

from flows.reporting.contents import Contents

LONG = "Bachelor of Arts (Honours) in Early Childhood and Primary Education"
SMALL = "Tuvaluan speakers"
"""Name of a group that is too small to be shown."""
MEASURES = {
    "auc": "area under the ROC curve",
    "calibration": "mean probability - mean label",
    "accuracy": "share of right predictions",
    "true_positive_rate": "share predicted right of the right answers",
}
Plain = dict[str, Any]  # JSON


def estimate(value: float, half: float = 0.02) -> Plain:
    return {"status": "ok", "value": round(value, 3), "low": round(value - half, 3), "high": round(value + half, 3)}


def roc(power: float) -> list[list[float]]:
    """Return the curve tpr = fpr ** power: AUC is 1 / (1 + power)."""
    return [[float(x), float(x**power)] for x in np.linspace(0.0, 1.0, 41)]


def curves(shift: float, power: float) -> Plain:
    bins: list[Plain] = []
    for at in range(10):
        middle = at / 10 + 0.05
        if at == 0:
            bins.append({"low": 0.0, "high": 0.1, "status": "too_few"})
        else:
            label = round(min(1.0, max(0.0, middle + shift)), 3)
            bins.append(
                {
                    "low": at / 10,
                    "high": (at + 1) / 10,
                    "n": 40 + 60 * at,
                    "mean_probability": round(middle, 3),
                    "mean_label": label,
                }
            )
    return {
        "roc": roc(power),
        "reliability": bins,
        "distribution": [None, 0.02, 0.03, 0.05, 0.1, 0.2, 0.25, 0.2, 0.1, 0.05],
    }


def attribute(names: list[str], *, not_estimable: str = "") -> Plain:
    groups: list[Plain] = []
    for at, name in enumerate(names):
        measures = {
            "auc": estimate(0.7 + 0.008 * at),
            "calibration": estimate(0.01 * (at - 1)),
            "accuracy": estimate(0.65 + 0.01 * at),
            "true_positive_rate": estimate(0.8 - 0.01 * at, 0.03),
        }
        if name == not_estimable:
            measures["auc"] = {"status": "too_few"}
            measures["true_positive_rate"] = {"status": "not_estimable"}
        groups.append(
            {
                "group": name,
                "status": "ok",
                "students": 400 - 20 * at,
                "scored": 9000 - 300 * at,
                "measures": measures,
                "curves": curves(0.03 - 0.01 * at, 0.3 + 0.03 * at),
            }
        )
    pairs = [
        {
            "first": one,
            "second": other,
            "abroca": {
                **estimate(0.01 + 0.002 * (j - i), 0.008),
                "p": 0.0004 if j - i > 8 else round(0.4 / (j - i), 3),
                "resamples": 1999,
            },
        }
        for i, one in enumerate(names[:10])
        for j, other in enumerate(names[:10])
        if i < j
    ]
    if pairs:
        pairs[0]["abroca"] = {"status": "not_estimable"}
    return {
        "groups": groups,
        "too_few": 1,
        "gaps": {
            "auc": {
                **estimate(0.008 * (len(names) - 1)),
                "groups": len(names),
                "higher": names[-1],
                "lower": names[0],
                "told_apart": True,
                "limit": 0.03,
            },
            "true_positive_rate": {"status": "not_estimable", "groups": 1},
        },
        "departures": {},
        "pairs": pairs,
        "summary": {
            "demographic_parity_difference": estimate(0.056, 0.037),
            "demographic_parity_ratio": estimate(0.93, 0.04),
            "equalized_odds_difference": {"status": "too_few"},
            "auc_gap": {"status": "not_estimable"},
        },
    }


def finding(check: str, outcome: str, reason: str, **more: Any) -> Plain:
    return {
        "check": check,
        "subject": "all",
        "measure": "auc",
        "value": None,
        "low": None,
        "high": None,
        "limit": None,
        "n": None,
        "outcome": outcome,
        "reason": reason,
        **more,
    }


FINDINGS: list[Plain] = [
    finding(
        "level", "pass", "auc is 0.713, the limit is at least 0.7", value=0.713, low=0.706, high=0.721, limit=0.7, n=322
    ),
    finding(
        "gap",
        "stop",
        "region: auc is 0.088 higher for one group than for another",
        subject=f"region: {LONG} vs north",
        value=0.088,
        low=0.051,
        high=0.125,
        limit=0.03,
        n=4212,
    ),
    finding("groups", "warn", "first_language: 1 of 3 groups is too small to be judged", subject="first_language"),
    finding(
        "non_inferiority",
        "pass",
        "not worse than the champion by more than 0.005 on the same 322 students",
        value=-0.001,
        low=-0.0041,
        high=0.0022,
        limit=0.005,
        n=322,
    ),
    finding("leakage", "pass", "no student stands in two splits", measure=""),
    finding("freshness", "pass", "every report belongs to this release", measure=""),
]
CARD = "# Model card: tracing\n\n## Limits\n\n- `one` thing\n- **another**\n\n| a | b |\n|---|---|\n| x | 1 |\n"
BASELINES = {"skill_mean": 0.6148, "pfa": 0.633, "best_lr": 0.7323}


def scores() -> Plain:
    """Return `metrics.json` of student logs."""
    own = {"auc": 0.7134, "accuracy": 0.7215, "log_loss": 0.5579, "brier": 0.1878}
    return {
        "format": 2,
        "protocol": "problem",
        "split_by": "student",
        "counts": {"steps": 19251, "windows": 322, "scored": 18929, "students": 322},
        "metrics": own,
        "intervals": {name: [value - 0.007, value + 0.008] for name, value in own.items()} | {"brier": None},
        "baselines": {
            name: {
                "title": name,
                "formula": "a formula",
                "metrics": {**own, "auc": auc},
                "intervals": {metric: [auc - 0.009, auc + 0.009] for metric in own},
                "differences": {"auc": {"value": 0.7134 - auc, "interval": [0.7094 - auc, 0.7174 - auc]}},
            }
            for name, auc in BASELINES.items()
        },
        "comparison": {
            "baseline": "best_lr",
            "title": "best_lr",
            "auc_difference": -0.0189,
            "interval": [-0.0219, -0.0153],
            "verdict": "not_better",
            "sentence": "The model is worse than best_lr: AUC 0.7134 against 0.7323.",
        },
        "repeats": {"scored": 0, "meaning": "No rows repeat a problem."},
        "without_repeats": None,
        "warnings": ["The model is worse than best_lr: AUC 0.7134 against 0.7323."],
        "bootstrap": {"unit": "student", "resamples": 1000, "confidence": 0.95, "seed": 0},
        "definitions": {"scored": "every step but the first"},
        "ece": 0.0213,
        "curves": curves(0.02, 0.35),
        "skills": [
            {
                "skill": f"skill {at}",
                "status": "ok" if at else "too_few",
                "counts": {"scored": 30 * at},
                "metrics": {"auc": 0.6 + 0.001 * at},
                "intervals": {"auc": [0.55 + 0.001 * at, 0.64 + 0.001 * at]},
            }
            for at in range(150)
        ],
    }


def groups() -> Plain:
    """Return `groups.json`: twelve regions with long names, two genders, a tiny group whose name must not be shown."""
    region = attribute([f"{LONG}, campus {at}" if at % 4 == 1 else f"region {at}" for at in range(12)])
    language = attribute(["English", "Spanish"], not_estimable="Spanish")
    language["groups"].append({"group": SMALL, "status": "too_few", "students": 3, "scored": 40, "measures": {}})
    language["pairs"].append({"first": "English", "second": SMALL, "abroca": {"status": "too_few"}})
    return {
        "format": 1,
        "verdict": "fail",
        "reasons": ["region: auc is 0.088 higher for one group than for another"],
        "protocol": "problem",
        "measures": MEASURES,
        "limits": {"auc": 0.03, "calibration": 0.05},
        "sizes": {"min_students": 10},
        "bootstrap": {"unit": "student", "resamples": 1000, "confidence": 0.95, "seed": 0},
        "attributes": {"first_language": language, "region": region},
        "useless": None,
    }


def leakage() -> Plain:
    """Return `leakage.json`."""
    return {
        "format": 1,
        "verdict": "warn",
        "findings": [finding("leakage", "warn", "3 texts stand in two splits", measure="")],
        "checks": {
            "students": {"train": 1000, "test": 322, "in_both": 0},
            "texts": {"same": 3, "near": {"pairs": 4, "threshold": 0.9}},
            "protocol": {"name": "problem", "repeats": None, "asked_for": True},
        },
    }


def summary(*, gate: bool = True) -> Plain:
    """Return `RunSummary.to_json()`."""
    own = scores()
    plain: Plain = {
        "run": "20261122T022506-632d2b",
        "request": {"application": "knowledge_tracing", "config": "small"},
        "seconds": 43.278,
        "stages": [
            {
                "stage": "ingest",
                "status": "skipped",
                "reason": "there",
                "seconds": 0.0,
                "made_s": 0.9,
                "made_cpu_s": 1.1,
            },
            {
                "stage": "train",
                "status": "finished",
                "reason": "data changed",
                "seconds": 17.9,
                "made_s": 17.9,
                "made_cpu_s": 31.0,
            },
            {"stage": "deploy", "status": "finished", "reason": "data changed", "seconds": 0.1},
        ],
        "data": {
            "rows": 90601,
            "students": 1500,
            "items": 200,
            "skills": 20,
            "quarantined": 17,
            "layout": "homeroom",
            "protocol": "problem",
        },
        "metrics": {
            name: {"value": value, "interval": own["intervals"][name]} for name, value in own["metrics"].items()
        },
        "confidence": 0.95,
        "warnings": own["warnings"],
        "fairness": {"verdict": "fail", "reasons": ["region: auc differs"]},
        "parity": {"max_abs_error": 1.2e-7, "int8": None},
        "release": {
            "version": "knowledge_tracing-0bf7985026ca",
            "promoted": True,
            "reason": "the gate's decision is overridden",
        },
        "comparisons": [
            {
                "title": "Reweighing by region",
                "before": "plain",
                "after": "reweighed",
                "sentence": "Trained with weights per region, on the same held-out students.",
                "rows": [
                    {
                        "subject": f"region {at}",
                        "measure": "auc",
                        "before": estimate(0.70 + 0.01 * at),
                        "after": estimate(0.72 + 0.005 * at),
                        "difference": estimate(0.02 - 0.005 * at, 0.01),
                    }
                    for at in range(4)
                ],
            }
        ],
    }
    if gate:
        plain["gate"] = {
            "outcome": "stop",
            "findings": [dict(one) for one in FINDINGS],
            "override": {
                "by": "A. Principal",
                "reason": "pilot in one school, reviewed weekly",
                "until": "2027-01-31",
                "given": "20261122T100000Z",
            },
        }
    return plain


def contents(**changed: Any) -> Contents:
    """Return contents with every field that is known."""
    values: Plain = {
        "summary": summary(),
        "metrics": scores(),
        "groups": groups(),
        "ingest": {
            "rows_in": 90618,
            "rows_kept": 90601,
            "rows_quarantined": 17,
            "students": 1500,
            "reasons": {"no_student": 12, "correct_not_0_or_1": 5},
            "files": [
                {
                    "file": 0,
                    "sha256": "ab" * 32,
                    "role": "",
                    "format": "parquet",
                    "rows_in": 90618,
                    "rows_kept": 90601,
                    "rows_quarantined": 17,
                }
            ],
        },
        "leakage": leakage(),
        "lineage": (
            {
                "stage": "ingest",
                "kind": "StudentLogs",
                "sha256": "cd" * 32,
                "started_utc": "2026-11-22T02:25:06+00:00",
                "code": "ef" * 32,
                "packages": {"python": "3.11", "polars": "2.1.0"},
                "parents": ["ab" * 32],
                "config": {"layout": "homeroom"},
            },
        ),
        "card": CARD,
        "kind": "sequences",
        "title": "student logs",
        "unit": "probability",
        "headline": "auc",
        **changed,
    }
    return Contents(**values)


def bare() -> Contents:
    """Return contents as an older run has them: no gate, curves, pairs, summary, leakage, costs or card."""
    old, plain = groups(), summary(gate=False)
    for found in old["attributes"].values():
        for name in ("pairs", "summary"):
            del found[name]
        for group in found["groups"]:
            group.pop("curves", None)
    del old["useless"], plain["comparisons"], plain["warnings"]
    for stage in plain["stages"]:
        stage.pop("made_s", None)
        stage.pop("made_cpu_s", None)
    measured = {name: value for name, value in scores().items() if name not in {"curves", "ece", "skills"}}
    return contents(summary=plain, groups=old, metrics=measured, leakage=None, card="")
