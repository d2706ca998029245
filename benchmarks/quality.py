"""Test AUC of knowledge tracing on public data, beside published figures and the limits that homeroom sets itself.

    HOMEROOM_DATA=DATA python -m benchmarks.quality [SET ...] [--config small] [--seeds 3]

Each set runs through the stages as `homeroom run` does, on the files and splits that its README names; the mean over
seeds of the network is compared with the limit. `without repeats` leaves rows out of scoring that repeat the problem of
the row before (protocol `row_per_skill` alone has them). Baselines are those of every report. CPU seconds are those of
one training with its validation. Figures published by others are copied from the READMEs, which say what each rests on.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import processor_name
from components.artifacts import SequenceDataset
from components.errors import PipelineError
from components.stage import Runner
from flows.settings import Settings
from flows.stages import collect, evaluate, ingest, open_application, preprocess, train


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A set of files with its split, and what is known of it."""

    folder: str
    train: tuple[str, ...]
    valid: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    published: str
    least: float | None = None
    """Limit on the mean test AUC over all scored rows."""
    least_without_repeats: float | None = None
    least_gain: float | None = None
    """Limit on the mean test AUC less that of the best logistic regression."""


PID = {
    "folder": "assist2009_pid",
    "train": ("assist2009_pid_train1.csv.gz",),
    "valid": ("assist2009_pid_test2.csv.gz",),  # fold 1's validation students are fold 2's test students
    "test": ("assist2009_pid_test1.csv.gz",),
}
SETS = {
    "assist2009_updated": Target(
        folder="assist2009_updated",
        train=("assist2009_updated_train1.csv.gz",),
        valid=("assist2009_updated_valid1.csv.gz",),
        test=("assist2009_updated_test.csv.gz",),
        published="DKT .805, DKVMN .816 (mean of 5 folds); DKT .818 (seewoo5/KT)",
        least=0.818,
    ),
    "assist2015": Target(
        folder="assist2015",
        train=("assist2015_train1.csv.gz",),
        valid=("assist2015_valid1.csv.gz",),
        test=("assist2015_test.csv.gz",),
        published="DKT .725, DKVMN .727 (mean of 5 folds); DKT .729 (seewoo5/KT); best LR .70 (another split)",
        least=0.732,
    ),
    "assist2009_pid, row per skill": Target(
        **PID,  # type: ignore[arg-type]  # texts and tuples of texts
        options=("ingest.protocol=row_per_skill",),
        published="AKT-R .835, AKT-NR .817 (mean of 5 folds, repeats scored)",
        least=0.828,
        least_without_repeats=0.770,
    ),
    "assist2009_pid": Target(
        **PID,  # type: ignore[arg-type]  # as above
        published="none with this protocol",
        least_gain=0.02,
    ),
    "algebra05-timed": Target(
        folder="algebra05-timed",
        train=("preprocessed_data_test.csv.gz",),
        options=("preprocess.split=time",),
        published="on these students, trained on 460 others: DKT .82, best LR .83, PFA .76",
    ),
    "exam-time": Target(folder="exam-time", train=("final-time.tsv.gz",), published="none"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one training reached."""

    auc: float
    auc_without_repeats: float | None
    baselines: dict[str, float]
    scored: int
    protocol: str
    cpu_s: float
    epochs: int


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def prepare(target: Target, root: Path, run: Runner, config: Any) -> SequenceDataset:
    """Return the set's files, ingested and preprocessed."""

    def paths(names: Sequence[str]) -> list[str]:
        return [str(root / target.folder / name) for name in names]

    raw = collect(run.store, paths(target.train), paths(target.test), paths(target.valid))
    return run(preprocess, run(ingest, raw, config.ingest), config.preprocess)


def run_once(target: Target, root: Path, settings: Settings, config_name: str, seed: int) -> Found:
    """Run the stages up to the evaluation; data that another seed prepared are found in the store."""
    run, config = open_application(
        "knowledge_tracing", config_name, (*target.options, f"train.seed={seed}"), settings=settings
    )
    data = prepare(target, root, run, config)
    started = cpu_seconds()
    model = run(train, data, config.train)
    spent = cpu_seconds() - started
    evaluation = run(evaluate, data, model, config.evaluate)
    report: dict[str, Any] = json.loads((run.store.folder(evaluation) / "metrics.json").read_text())
    rest = report["without_repeats"]
    return Found(
        auc=report["metrics"]["auc"],
        auc_without_repeats=None if rest is None else rest["metrics"]["auc"],
        baselines={name: scores["metrics"]["auc"] for name, scores in report["baselines"].items()},
        scored=report["counts"]["scored"],
        protocol=report["protocol"],
        cpu_s=spent,
        epochs=model.epochs,
    )


def missed(target: Target, runs: Sequence[Found]) -> list[str]:
    """Return one sentence for each limit that the means miss."""
    auc = statistics.mean(run.auc for run in runs)
    found = []
    if target.least is not None and auc < target.least:
        found.append(f"AUC {auc:.4f} is below {target.least}")
    rest = [run.auc_without_repeats for run in runs if run.auc_without_repeats is not None]
    if target.least_without_repeats is not None and not (
        rest and statistics.mean(rest) >= target.least_without_repeats
    ):
        found.append(f"AUC without repeats {rest} is below {target.least_without_repeats}")
    best = max(runs[0].baselines.values())
    if target.least_gain is not None and auc < best + target.least_gain:
        found.append(f"AUC {auc:.4f} is less than {target.least_gain} above the best baseline's {best:.4f}")
    return found


def describe(name: str, target: Target, runs: Sequence[Found], seconds: float) -> list[str]:
    """Return the lines of one set."""
    aucs = [run.auc for run in runs]
    spread = f" (from {min(aucs):.4f} to {max(aucs):.4f})" if len(aucs) > 1 else ""
    lines = [
        f"{name}: {statistics.mean(aucs):.4f}{spread}, {len(runs)} seed(s), protocol {runs[0].protocol}, "
        f"{runs[0].scored:,} scored rows"
    ]
    rest = [run.auc_without_repeats for run in runs if run.auc_without_repeats is not None]
    if rest:
        lines.append(f"  without repeats: {statistics.mean(rest):.4f}")
    lines.append("  baselines: " + ", ".join(f"{n} {auc:.4f}" for n, auc in runs[0].baselines.items()))
    lines.append(f"  published: {target.published}")
    cost = statistics.mean(run.cpu_s for run in runs)
    lines.append(
        f"  training: {cost:.0f} CPU s, {statistics.mean(r.epochs for r in runs):.0f} epochs; all in {seconds:.0f} s"
    )
    problems = missed(target, runs)
    limits = [
        f"{what} at least {value}"
        for what, value in (
            ("AUC", target.least),
            ("without repeats", target.least_without_repeats),
            ("above the best baseline", target.least_gain),
        )
        if value is not None
    ]
    lines.append(f"  limits: {', '.join(limits) or 'none'}: {'; '.join(problems) if problems else 'kept'}")
    return lines


def main() -> int:
    """Measure, print, and return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--config", default="small")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    if unknown := [name for name in options.sets if name not in SETS]:
        parser.error(f"no set {unknown[0]!r}; there are: {', '.join(SETS)}")
    if "HOMEROOM_DATA" not in os.environ:
        parser.error("HOMEROOM_DATA is not set; name the folder with the education data")
    root = Path(os.environ["HOMEROOM_DATA"])
    print(f"configuration {options.config}; {platform.system()} {platform.machine()}, {processor_name()}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(store=f"{name}/store", cache=Path(name, "cache"), keys=Path(name, "keys"))
        for chosen in options.sets or SETS:
            started = time.perf_counter()
            try:
                runs = [run_once(SETS[chosen], root, settings, options.config, seed) for seed in range(options.seeds)]
            except PipelineError as error:
                print(f"{chosen}: {error}", flush=True)
                failed = True
                continue
            print("\n".join(describe(chosen, SETS[chosen], runs, time.perf_counter() - started)), flush=True)
            failed |= bool(missed(SETS[chosen], runs))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
