"""What `metrics.json` says: the model and its baselines on the same rows, the protocol, repeated rows, limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.artifacts import JsonValue
from components.evaluate.bootstrap import Interval
from components.evaluate.comparison import BaselineScores, Comparison
from components.evaluate.config import EvaluateConfig
from components.evaluate.limits import crossed_of, warned
from components.evaluate.metrics import CLIP, THRESHOLD
from components.evaluate.repeats import REASONS
from components.gate.decision import Finding, findings_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the evaluation found out."""

    protocol: str
    split_by: str
    """`student` or `time`: what is held out."""
    begins_ms: tuple[int, ...]
    """By time: when validation and testing begin."""
    all_rows: Comparison
    """Over every scored row."""
    repeated: int | None
    """Scored rows that repeat a problem; None where nobody can tell."""
    without_repeats: Comparison | None
    """Over the scored rows that repeat none; None where there are none to leave out, or too few are left."""
    steps: int
    windows: int
    detail: Mapping[str, JsonValue] = field(default_factory=dict)
    """Of `components/evaluate/detail.py`: ECE, curves, the table by skill."""
    mitigation: Mapping[str, JsonValue] | None = None
    """What was done to the answers (`components/mitigation/postprocess.py`), with `before`, `after` and `difference`
    over all scored rows where it was; None where nothing was asked for."""

    def findings(self, config: EvaluateConfig) -> list[Finding]:
        """Return what the gate makes of the figures: each limit that is on, and the warnings."""
        metrics, students = self.all_rows.metrics, self.all_rows.students

        def level(name: str, measure: str) -> Finding:
            value, interval = metrics.by_name()[measure], self.all_rows.intervals[measure]
            said = f"{measure} is {value:.4f}"
            return config.level(name, measure, value, (interval.low, interval.high), students, said=said)

        found = [level("min_auc", "auc")] if config.min_auc > 0.0 else []
        found += [level("max_log_loss", "log_loss")] if config.max_log_loss > 0.0 else []
        if not found:
            reason = f"auc is {metrics.auc:.4f}; no limit is set on it"
            found = [
                Finding(
                    check="level",
                    subject="all",
                    measure="auc",
                    value=metrics.auc,
                    n=students,
                    outcome="pass",
                    reason=reason,
                )
            ]
        return found + warned("auc", self.warnings(config))

    def crossed(self, config: EvaluateConfig) -> list[str]:
        """Return one sentence for each limit that is crossed."""
        return crossed_of(self.findings(config))

    def warnings(self, config: EvaluateConfig) -> list[str]:
        """Return what a reader of the figures has to know: a model no better than its baselines, and leaking rows."""
        found = []
        if self.all_rows.verdict != "better":
            found.append(self.all_rows.sentence(config.confidence))
        if self.repeated:
            found.append(
                f"{self.repeated} of {self.all_rows.scored} scored rows repeat the problem of the row before, which "
                f"shows the answer (protocol {self.protocol}): the figures over all rows are too high."
            )
        if self.without_repeats is not None and self.without_repeats.verdict != "better":
            found.append(f"Without repeats: {self.without_repeats.sentence(config.confidence)}")
        if self.mitigation is not None and self.mitigation["status"] != "ok":
            found.append(str(self.mitigation["sentence"]))
        if self.mitigation is not None and "caution" in self.mitigation:
            found.append(str(self.mitigation["caution"]))
        return found

    def to_json(self, config: EvaluateConfig) -> dict[str, JsonValue]:
        """Return the contents of `metrics.json`."""
        crossed: list[JsonValue] = [*self.crossed(config)]
        warnings: list[JsonValue] = [*self.warnings(config)]
        rows = _comparison(self.all_rows, config)
        return {
            "format": 2,
            "split": config.split,
            "protocol": self.protocol,
            "split_by": self.split_by,
            "begins_ms": [*self.begins_ms],
            **rows,
            **self.detail,
            **({} if self.mitigation is None else {"mitigation": {**self.mitigation}}),
            "counts": {
                "steps": self.steps,
                "windows": self.windows,
                "scored": self.all_rows.scored,
                "students": self.all_rows.students,
            },
            "repeats": {"scored": self.repeated, "meaning": REASONS.get(self.protocol, "")},
            "without_repeats": None if self.without_repeats is None else _comparison(self.without_repeats, config),
            "warnings": warnings,
            "bootstrap": {
                "unit": "student",
                "resamples": config.resamples,
                "confidence": config.confidence,
                "seed": config.seed,
            },
            "definitions": {
                "scored": "every step but the first of each window; by time, only the split's own",
                "threshold": THRESHOLD,
                "log_loss_clip": CLIP,
                "soft_labels": "auc and accuracy take labels of at least the threshold as right",
                "difference": "model minus baseline under the same resamples; log_loss and brier are better when lower",
            },
            "findings": findings_to_json(self.findings(config)),
            "limits": {"min_auc": config.min_auc, "max_log_loss": config.max_log_loss, "crossed": crossed},
        }


def _comparison(found: Comparison, config: EvaluateConfig) -> dict[str, JsonValue]:
    best = found.baselines[found.best]
    difference = best.differences["auc"]
    return {
        "counts": {"scored": found.scored, "students": found.students},
        "base_rate": found.base_rate,
        "metrics": {**found.metrics.by_name()},
        "intervals": _intervals(found.intervals),
        "undefined_resamples": {name: interval.undefined for name, interval in found.intervals.items()},
        "baselines": {name: _baseline(scores) for name, scores in found.baselines.items()},
        "comparison": {
            "baseline": found.best,
            "title": best.title,
            "auc_difference": difference.value,
            "interval": _ends(difference.interval),
            "verdict": found.verdict,
            "sentence": found.sentence(config.confidence),
        },
    }


def _baseline(scores: BaselineScores) -> dict[str, JsonValue]:
    return {
        "title": scores.title,
        "formula": scores.formula,
        "metrics": {**scores.metrics.by_name()},
        "intervals": _intervals(scores.intervals),
        "differences": {
            name: {"value": difference.value, "interval": _ends(difference.interval)}
            for name, difference in scores.differences.items()
        },
    }


def _intervals(intervals: Mapping[str, Interval]) -> dict[str, JsonValue]:
    return {name: _ends(interval) for name, interval in intervals.items()}


def _ends(interval: Interval) -> JsonValue:
    return None if interval.low is None else [interval.low, interval.high]
