"""How well each grader agrees with people: ASAP-AES, the published folds, a table per prompt.

    HOMEROOM_DATA=DATA python -m benchmarks.graders [--grader neural] [--folds 0 1] [--set train.seed=1]

A fold goes through preprocessing, training and prediction as `homeroom run essay_grading --config GRADER` does. Beside
the grader stands ridge regression on its own surface features, on the same folds: fitted for each prompt to the
training split, ridge strength and stretch chosen on the validation split. Agreement is the quadratic weighted kappa
(QWK) of rounded scores; CPU seconds are those of preprocessing, training and predicting.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import processor_name
from benchmarks.writing_sets import ENDS, FOLDS, data_folder, read_asap_aes, write_scored
from components.app import Application, load_application
from components.config import as_plain
from components.train.fit import fit
from components.train.job import Job
from components.writing.calibration import calibrate
from components.writing.evaluate.predict import predict_split
from components.writing.kernel.choices import weighted_kappa
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.layout import write_dataset
from components.writing.scale import RowScales, Scale
from components.writing.targets import Targets

Floats = npt.NDArray[np.float64]
GOALS = {"kernel": 0.77, "neural": 0.76}
"""Least mean QWK."""
RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0)
STRETCHES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.45)
SCALES = {prompt: Scale(low=low, high=high) for prompt, (low, high) in ENDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldFigures:
    """What one fold gave."""

    qwk: dict[str, float]
    ridge: dict[str, float]
    coverage: float
    width: float
    """Mean width of the interval as a share of the rubric's range."""
    cpu_s: float


def run_fold(application: Application, config: Any, source: Path, place: Path) -> FoldFigures:
    """Preprocess, train and predict; `place` is an empty folder.

    Args:
        application: essay grading.
        config: of the application, resolved.
        source: folder with the tables of ingest.
        place: where the dataset and the trained model go.
    """
    dataset, trained = place / "dataset", place / "trained"
    dataset.mkdir()
    trained.mkdir()
    started = time.process_time()
    write_dataset(source, dataset, config.preprocess)
    job = Job(package=application.package, dataset=str(dataset), folder=str(trained), config=as_plain(config.train))
    fit(job)
    test = TextArrays.open(dataset, "test")
    found = predict_split(application, dataset, trained, "test", rows=len(test.score_R), traits=0).score
    cpu_s = time.process_time() - started
    assert found.low is not None
    assert found.high is not None
    score = test.score_R.astype(np.float64)
    qwk, widths = {}, []
    for p, (prompt, scale) in enumerate(SCALES.items()):
        own = test.prompt_R == p
        qwk[prompt] = kappa(found.raw[own], score[own], scale)
        widths.append(float((found.high - found.low)[own].mean()) / (scale.high - scale.low))
    return FoldFigures(
        qwk=qwk,
        ridge=ridge_on_features(dataset),
        coverage=float(((score >= found.low) & (score <= found.high)).mean()),
        width=statistics.mean(widths),
        cpu_s=cpu_s,
    )


def ridge_on_features(dataset: Path) -> dict[str, float]:
    """Return the test QWK per prompt of ridge regression on the surface features alone."""
    fits = [Targets.of(dataset, ridge) for ridge in RIDGES]
    valid, test = TextArrays.open(dataset, "valid"), TextArrays.open(dataset, "test")
    found = {}
    for p, (prompt, scale) in enumerate(SCALES.items()):
        terms = fits[0].codec.prompts[p]
        centre, spread = float(fits[0].centre_PM[p, 0]), float(fits[0].spread_PM[p, 0])
        best = (-1.0, 0.0)
        for one in fits:
            standard = terms.standardised(valid.features_RF[valid.prompt_R == p]) @ one.ridge_PMF[p, 0]
            chosen = calibrate(
                standard,
                valid.score_R[valid.prompt_R == p].astype(np.float64),
                centre=centre,
                spread=spread,
                scale=scale,
                stretches=STRETCHES,
                confidence=0.9,
                regions=1,
            )
            if chosen.qwk > best[0]:
                held = terms.standardised(test.features_RF[test.prompt_R == p]) @ one.ridge_PMF[p, 0]
                raw = centre + spread * chosen.stretch * held
                best = (chosen.qwk, kappa(raw, test.score_R[test.prompt_R == p].astype(np.float64), scale))
        found[prompt] = best[1]
    return found


def kappa(raw: Floats, score: Floats, scale: Scale) -> float:
    """Return the QWK of raw predictions, rounded to the rubric."""
    return weighted_kappa(score, RowScales.of([scale], np.zeros(len(raw), np.int64)).rounded(raw))


def report(grader: str, folds: list[FoldFigures]) -> int:
    """Print the table and return how many goals were missed."""
    means = [statistics.mean(fold.qwk.values()) for fold in folds]
    ridges = [statistics.mean(fold.ridge.values()) for fold in folds]
    gains = [ours - ridge for ours, ridge in zip(means, ridges, strict=True)]
    lines = [f"\n{processor_name()}, {grader} grader", f"{'prompt':8}{grader:>12}{'ridge':>12}"]
    for prompt in ENDS:
        ours, ridge = (statistics.mean(getattr(fold, name)[prompt] for fold in folds) for name in ("qwk", "ridge"))
        lines.append(f"{prompt:8}{ours:12.3f}{ridge:12.3f}")
    lines.append(f"{'mean':8}{statistics.mean(means):12.4f}{statistics.mean(ridges):12.4f}")
    lines.append(f"by fold: {' '.join(f'{mean:.4f}' for mean in means)}; ridge {' '.join(f'{r:.4f}' for r in ridges)}")
    lines.append(f"above ridge on the same folds: {statistics.mean(gains):.4f}, least {min(gains):.4f}")
    lines.append(
        f"intervals: {statistics.mean(f.coverage for f in folds):.3f} of human scores inside, width "
        f"{statistics.mean(f.width for f in folds):.3f} of the rubric"
    )
    lines.append(f"CPU seconds of a fold: {statistics.mean(f.cpu_s for f in folds):.0f}")
    least = GOALS.get(grader)
    missed = least is not None and (statistics.mean(means) < least or min(gains) <= 0.0)
    lines.append(
        f"goal {least}, and above ridge on every fold: {'MISSED' if missed else 'kept'}" if least else "no goal"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(missed)


def main() -> int:
    """Measure and print a table; the exit status says whether the goals were reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grader", default="neural", help="a configuration of essay_grading, or the path of one")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)), choices=range(FOLDS))
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    application = load_application("essay_grading")
    config = application.configuration(options.grader, options.overrides)
    essays, splits = read_asap_aes(data_folder())
    folds = []
    for number in options.folds:
        with tempfile.TemporaryDirectory() as place:
            source = Path(place) / "source"
            source.mkdir()
            write_scored(essays, splits[number], source)
            folds.append(run_fold(application, config, source, Path(place)))
        mean = statistics.mean(folds[-1].qwk.values())
        sys.stdout.write(f"fold {number}: QWK {mean:.4f}, {folds[-1].cpu_s:.0f} CPU s\n")
        sys.stdout.flush()
    missed = report(options.grader, folds)
    if options.json is not None:
        figures = [{"qwk": fold.qwk, "ridge": fold.ridge, "cpu_s": fold.cpu_s} for fold in folds]
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
