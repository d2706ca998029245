"""How measures, attributes and outcomes are called on the page."""

TITLES = {
    "auc": "AUC",
    "qwk": "QWK",
    "human_qwk": "QWK of two raters",
    "model_qwk": "QWK of the model on the same responses",
    "smd": "SMD",
    "dsm": "DSM",
    "ece": "ECE",
    "rmse": "RMSE",
    "prmse": "PRMSE",
    "pearson": "r",
    "osa": "OSA",
    "osd": "OSD",
    "csd": "CSD",
    "log_loss": "log loss",
    "brier": "Brier score",
    "worst_group_auc": "AUC of the worst group",
    "auc_gap": "AUC gap",
    "ndcg": "NDCG",
    "hit_rate": "hit rate",
}
SIGNED = frozenset({"calibration", "smd", "dsm", "mean_error", "osa", "osd", "csd"})
"""Measures for which 0 is what all together have, or should have: their sign is shown, and a line at 0."""
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "rmse"})
CHECKS = {
    "level": "level",
    "gap": "gap between groups",
    "worst_group": "worst group",
    "departure": "distance from all together",
    "non_inferiority": "not worse than the release that serves",
    "leakage": "leakage",
    "groups": "groups that must be there",
    "freshness": "reports belong to this release",
    "data": "rows that could be used",
    "parity": "exported model equals the trained one",
    "replay": "golden answers of the packaged service",
    "latency": "time of an answer",
    "approval": "approval by people",
    "error": "fault while judging",
}
"""Check of a finding -> what it looks at."""


def titled(measure: str) -> str:
    """Return the name of a measure for people."""
    return TITLES.get(measure, measure.replace("_", " "))


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def check_name(check: str) -> str:
    """Return what a check of the gate looks at."""
    return CHECKS.get(check, check.replace("_", " "))
