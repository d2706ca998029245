"""What `metrics.json` says of a grader: figures by prompt and over prompts, humans and baselines beside it, limits.

Format 1, by key:

- `pool_prompts`: whether prompts with the same rubric count as one, here and in comparisons of releases.
- `metrics`, `intervals`: over the prompts that count, see `definitions.metrics`; null where it cannot be estimated.
- `counts`: responses of the split, of them abstained and scored; students; double-scored responses; prompts, and how
  many of them count.
- `humans`: two raters beside the model on the double-scored responses, over prompts; null without a second rating.
- `baselines`: name -> title, formula, metrics, intervals, differences (model minus baseline, drawn in pairs).
- `comparison`: the verdict against the best baseline, in a word and in a sentence.
- `prompts`: for each prompt its scale, counts, `status` (`ok` or `too_few`), metrics, intervals, `humans`, `prmse`,
  `traits`, `baselines` and `distribution` (how often humans and the model gave each score).
- `abstained`: the share of responses that the model gave no score, and how many for each reason.
- `findings`: what the gate makes of the figures (`components/gate/decision.py`), the worst first.
- `limits`: each limit (0 is off), `crossed` and `not_judged`, in sentences; `warnings`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.artifacts import JsonValue
from components.evaluate.bootstrap import Interval
from components.evaluate.limits import crossed_of, warned
from components.gate.decision import Finding, findings_to_json
from components.writing.evaluate import metrics
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.figures import Figure
from components.writing.evaluate.scores import HEADLINE, BaselineScores, Figures, PromptScores, Scores
from components.writing.scale import PromptScale


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDetail:
    """What the report says of a prompt beside its scores."""

    scale: PromptScale
    responses: int
    abstained: int
    traits: Mapping[str, Figures]
    distribution: Mapping[str, Sequence[float]] | None
    """`scores`, and how often each was given: `human`, `model`; None for scales of very many points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that the evaluation found out."""

    protocol: str
    responses: int
    """Of the split."""
    abstained: Mapping[str, int]
    """Reason -> responses that the model gave no score."""
    scores: Scores
    details: tuple[PromptDetail, ...]
    """In the order of `scores.prompts`."""

    def findings(self, config: WritingEvaluateConfig) -> list[Finding]:
        """Return what the gate makes of the figures: each limit that is on, and the warnings.

        QWK and the drop are judged as `judge_by` says. SMD is a limit on the worst of several prompts, which chance
        alone takes over any limit where responses are few: its interval must leave 0 out as well.
        """
        scores, found = self.scores, []
        qwk = scores.model[HEADLINE]
        if config.min_qwk > 0.0 and qwk.value is not None:
            ends = (qwk.interval.low, qwk.interval.high)
            said = f"qwk is {qwk.value:.4f}"
            found.append(config.level("min_qwk", HEADLINE, qwk.value, ends, scores.students, said=said))
        drop = None if scores.humans is None else scores.humans["drop"]
        if config.max_drop_against_humans > 0.0 and drop is not None and drop.value is not None:
            ends = (drop.interval.low, drop.interval.high)
            said = f"qwk is {drop.value:.4f} lower than that of two raters on the same responses"
            found.append(config.level("max_drop_against_humans", "drop", drop.value, ends, scores.students, said=said))
        sure, _ = self._beyond_smd(config)
        worst = scores.model["smd"]
        if config.max_smd > 0.0 and worst.value is not None:
            found.append(
                Finding(
                    check="level",
                    subject="all",
                    measure="smd",
                    value=worst.value,
                    low=worst.interval.low,
                    high=worst.interval.high,
                    limit=config.max_smd,
                    n=scores.students,
                    outcome=config.severity_of("max_smd") if sure else "pass",
                    reason=sure[0] if sure else f"no prompt's smd is beyond {config.max_smd:g} for sure",
                )
            )
        if not found:
            found = [Finding(check="level", subject="all", measure=HEADLINE, outcome="pass", reason="no limit is set")]
        return found + warned(HEADLINE, self.warnings(config))

    def crossed(self, config: WritingEvaluateConfig) -> list[str]:
        """Return one sentence for each limit that is crossed."""
        return crossed_of(self.findings(config))

    def not_judged(self, config: WritingEvaluateConfig) -> list[str]:
        """Return one sentence for each limit that is on and that nothing can be said of."""
        found = []
        if config.max_drop_against_humans > 0.0:
            if self.scores.humans is None:
                found.append(
                    "the drop against humans cannot be judged: no prompt has enough responses with two ratings"
                )
            elif self.scores.humans["drop"].value is None:
                found.append("the drop against humans cannot be estimated")
        if config.max_smd > 0.0 and self.scores.model["smd"].value is None:
            found.append("smd cannot be estimated")
        return found

    def warnings(self, config: WritingEvaluateConfig) -> list[str]:
        """Return what a reader of the figures has to know."""
        scores = self.scores
        found = [] if scores.verdict == "better" else [scores.sentence(config.confidence)]
        small = sum(not p.is_counted for p in scores.prompts)
        if small:
            found.append(
                f"{small} of {len(scores.prompts)} prompts have fewer than {config.min_prompt_scored} scored responses "
                "and are no part of the figures."
            )
        one = sum(p.model[HEADLINE].status == "not_estimable" for p in scores.prompts)
        if one:
            found.append(
                f"In {one} of {len(scores.prompts)} prompts humans gave one score only: QWK says nothing there."
            )
        constant = sum(p.is_counted and p.is_constant for p in scores.prompts)
        if constant:
            found.append(
                f"In {constant} of {len(scores.prompts)} prompts the model gives every response the same score."
            )
        _, wide = self._beyond_smd(config)
        return [*found, *wide, *(f"{line[0].upper()}{line[1:]}." for line in self.not_judged(config))]

    def _beyond_smd(self, config: WritingEvaluateConfig) -> tuple[list[str], list[str]]:
        """Return a sentence on the prompts surely beyond the limit on SMD, and one on those perhaps beyond it."""
        sure: list[str] = []
        perhaps: list[str] = []
        for detail, found in zip(self.details, self.scores.prompts, strict=True):
            figure = found.model["smd"]
            if figure.value is None or not 0.0 < config.max_smd < abs(figure.value):
                continue
            low, high = figure.interval.low, figure.interval.high
            told = low is not None and high is not None and (low > 0.0 or high < 0.0)
            (sure if told else perhaps).append(f"{figure.value:+.3f} for prompt {detail.scale.prompt!r}")
        limit = f"the limit is at most {config.max_smd:g} either way"
        crossed = [f"smd is {', '.join(sure)}; {limit}"] if sure else []
        wide = (
            [f"SMD is {', '.join(perhaps)}; {limit}, but the interval reaches 0: chance may have made it."]
            if perhaps
            else []
        )
        return crossed, wide

    def to_json(self, config: WritingEvaluateConfig) -> dict[str, JsonValue]:
        """Return the contents of `metrics.json`."""
        scores = self.scores
        abstained = sum(self.abstained.values())
        prompts = [_prompt(d, p) for d, p in zip(self.details, scores.prompts, strict=True)]
        return {
            "format": 1,
            "split": config.split,
            "pool_prompts": config.pool_prompts,
            "protocol": self.protocol,
            "counts": {
                "responses": self.responses,
                "abstained": abstained,
                "scored": scores.scored,
                "students": scores.students,
                "double_scored": sum(p.double_scored for p in scores.prompts),
                "prompts": len(prompts),
                "prompts_counted": sum(p.is_counted for p in scores.prompts),
            },
            **_figures(scores.model),
            "humans": None if scores.humans is None else _figures(scores.humans),
            "baselines": {name: _baseline(found) for name, found in scores.baselines.items()},
            "comparison": _comparison(scores, config),
            "prompts": [*prompts],
            "abstained": {
                "responses": abstained,
                "share": abstained / self.responses if self.responses else None,
                "reasons": dict(sorted(self.abstained.items())),
            },
            "warnings": [*self.warnings(config)],
            "bootstrap": {
                "unit": "student",
                "resamples": config.resamples,
                "confidence": config.confidence,
                "seed": config.seed,
            },
            "definitions": {
                "metrics": {**metrics.MEANINGS},
                "humans": {**metrics.HUMAN_MEANINGS},
                "prmse": {
                    "prmse": "1 - error in predicting the true score / variance of true scores (Loukina et al. 2020)",
                    "error_variance": "variance of a rating's error, in squared points of the score",
                    "true_variance": "variance of true scores, in squared points of the score",
                },
                "over_prompts": "the plain mean of the prompts that count; of smd the largest absolute one",
                "scored": "responses with a human score that the model did not abstain from",
                "difference": "model minus baseline under the same resamples; rmse is better when lower",
            },
            "findings": findings_to_json(self.findings(config)),
            "limits": {
                "min_qwk": config.min_qwk,
                "max_drop_against_humans": config.max_drop_against_humans,
                "max_smd": config.max_smd,
                "crossed": [*self.crossed(config)],
                "not_judged": [*self.not_judged(config)],
            },
        }


def _prompt(detail: PromptDetail, found: PromptScores) -> dict[str, JsonValue]:
    scale = detail.scale.score
    distribution: dict[str, JsonValue] | None = None
    if detail.distribution is not None:
        distribution = {name: [*values] for name, values in detail.distribution.items()}
    return {
        "prompt": detail.scale.prompt,
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step},
        "status": "ok" if found.is_counted else "too_few",
        "counts": {
            "responses": detail.responses,
            "abstained": detail.abstained,
            "scored": found.scored,
            "students": found.students,
            "double_scored": found.double_scored,
        },
        **_figures(found.model),
        "humans": None if found.humans is None else _figures(found.humans),
        "prmse": None if found.prmse is None else {**_figures(found.prmse), "rating_factor": found.rating_factor},
        "traits": {name: _figures(figures) for name, figures in detail.traits.items()},
        "baselines": {name: _figures(figures) for name, figures in found.baselines.items()},
        "distribution": distribution,
    }


def _figures(figures: Figures) -> dict[str, JsonValue]:
    return {
        "metrics": {name: figure.value for name, figure in figures.items()},
        "intervals": {name: _ends(figure) for name, figure in figures.items()},
    }


def _baseline(found: BaselineScores) -> dict[str, JsonValue]:
    differences: dict[str, JsonValue] = {
        name: {"value": difference.value, "interval": _interval(difference.interval)}
        for name, difference in found.differences.items()
    }
    return {"title": found.title, "formula": found.formula, **_figures(found.figures), "differences": differences}


def _comparison(scores: Scores, config: WritingEvaluateConfig) -> dict[str, JsonValue]:
    best = scores.baselines[scores.best]
    difference = best.differences.get(HEADLINE)
    return {
        "baseline": scores.best,
        "title": best.title,
        "qwk_difference": None if difference is None else difference.value,
        "interval": None if difference is None else _interval(difference.interval),
        "verdict": scores.verdict,
        "sentence": scores.sentence(config.confidence),
    }


def _ends(figure: Figure) -> JsonValue:
    return _interval(figure.interval)


def _interval(interval: Interval) -> JsonValue:
    return None if interval.low is None else [interval.low, interval.high]
