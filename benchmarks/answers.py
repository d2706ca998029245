"""How well short answers are graded: ASAP-SAS and SemEval-2013 task 7, published splits, the application's stages.

    HOMEROOM_DATA=DATA python -m benchmarks.answers [--set asap-sas] [--set semeval] [--json FILE]

ASAP-SAS: quadratic weighted kappa (QWK) per prompt on the test files, beside two raters (of train and valid, the test
files have one), and the shares of answers refused and of human scores inside the interval. SemEval (3-way): macro F1
and accuracy of each published part, beside the published baseline of lexical overlap, one model for both corpora.
Published figures are copied from the READMEs of the data, which say what each rests on. CPU seconds are those of
preprocessing, training and evaluation.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.machine import processor_name
from components.artifacts import Evaluation, ScoredWriting
from components.secrets import SecretKey, write_key
from components.stage import Runner
from components.writing.kernel.choices import macro_f1, weighted_kappa
from components.writing.schema import RESPONSES
from flows.settings import Settings
from flows.stages import collect, open_application

LABELS = ("incorrect", "contradictory", "correct")
SAS_GOAL = 0.70
SEMEVAL_TRAIN = ("training/3way/beetle", "training/3way/sciEntsBank")
SEMEVAL_TEST = {
    "test/3way/beetle/test-unseen-answers": (0.552, 0.72),
    "test/3way/beetle/test-unseen-questions": (0.477, None),
    "test/3way/sciEntsBank/test-unseen-answers": (0.405, 0.65),
    "test/3way/sciEntsBank/test-unseen-questions": (0.390, None),
    "test/3way/sciEntsBank/test-unseen-domains": (0.416, None),
}
"""Macro F1 of the published baseline, and about that of the best published system, where the README has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """What a run of the stages gave."""

    predictions: pl.DataFrame
    """With the columns of the evaluation, and `place`: which part of the data each response is of."""
    responses: pl.DataFrame
    """As ingest published them."""
    report: dict[str, Any]  # Any: parsed metrics.json
    cpu_s: float


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the children that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def run_stages(
    train: Sequence[str], valid: Sequence[str], test: Sequence[str], config_name: str, options: Sequence[str]
) -> Graded:
    """Run the stages up to the evaluation, as `homeroom run short_answer` does."""
    with tempfile.TemporaryDirectory() as name:
        # Pseudonyms decide which answers choose the settings: with a new key every run would have other figures.
        write_key(Path(name, "keys", "pseudonym.key"), SecretKey(bytes(range(32))))
        settings = Settings(store=f"{name}/store", cache=Path(name, "cache"), keys=Path(name, "keys"))
        run, config = open_application(
            "short_answer", config_name, ("evaluate.on_fail=flag", "train.threads=1", *options), settings=settings
        )
        return _graded(run, config, train, valid, test)


def _graded(run: Runner, config: Any, train: Sequence[str], valid: Sequence[str], test: Sequence[str]) -> Graded:
    assert run.application is not None  # open_application gave one
    kind = run.application.kind
    raw = collect(run.store, list(train), list(test), list(valid))
    writing: ScoredWriting = run(kind.stage("ingest"), raw, config.ingest)
    started = cpu_seconds()
    data = run(kind.stage("preprocess"), writing, config.preprocess)
    model = run(kind.stage("train"), data, config.train)
    evaluation: Evaluation = run(kind.stage("evaluate"), data, model, config.evaluate)
    spent = cpu_seconds() - started
    folder = run.store.folder(evaluation)
    responses = pl.read_parquet(run.store.folder(writing) / RESPONSES)
    places = responses.select(
        "response", place=pl.col("file").cast(pl.UInt32).replace_strict(dict(enumerate(raw.uris)))
    )
    return Graded(
        predictions=pl.read_parquet(folder / "predictions.parquet").join(places, on="response", how="left"),
        responses=responses,
        report=json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        cpu_s=spent,
    )


def human_kappas(responses: pl.DataFrame) -> dict[str, float]:
    """Return the QWK of raters 1 and 2 by prompt, where both have scored."""
    both = responses.drop_nulls(["rater_1", "rater_2"])
    return {
        str(name): weighted_kappa(rows["rater_1"].to_numpy(), rows["rater_2"].to_numpy())
        for (name,), rows in both.group_by("prompt")
    }


def asap_sas(
    root: Path, config: str, options: Sequence[str], prompts: Sequence[int] = range(1, 11)
) -> dict[str, Any]:  # Any: figures by name
    """Grade ASAP-SAS, or some of its prompts, print the table and return the figures."""
    folders = [root / "asap-sas" / f"asap-{number}" for number in prompts]
    train, valid, test = ([str(f / f"{part}.csv.gz") for f in folders] for part in ("train", "val", "test"))
    found = run_stages(train, valid, test, config, options)
    humans = human_kappas(found.responses)
    print("| prompt | answers | QWK | two raters | exact | adjacent | r | RMSE | SMD | in interval | refused |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    rows = sorted(found.report["prompts"], key=lambda prompt: int(prompt["prompt"]))
    for prompt in rows:
        its, count = prompt["metrics"], prompt["counts"]
        cells = [f"{its['qwk']:.3f}", f"{humans[prompt['prompt']]:.3f}"]
        cells += [f"{its[name]:.3f}" for name in ("exact", "adjacent", "pearson", "rmse")]
        cells += [f"{its['smd']:+.3f}", f"{its['coverage']:.3f}", f"{count['abstained'] / count['responses']:.3f}"]
        print(f"| {prompt['prompt']} | {count['responses']} | {' | '.join(cells)} |")
    mean = found.report["metrics"]
    refused = found.report["abstained"]["share"]
    print(f"| mean | | {mean['qwk']:.3f} | {np.mean(list(humans.values())):.3f} | {mean['exact']:.3f} | "
          f"{mean['adjacent']:.3f} | {mean['pearson']:.3f} | {mean['rmse']:.3f} | {mean['smd']:.3f} (largest) | "
          f"{mean['coverage']:.3f} | {refused:.3f} |")  # fmt: skip
    print(f"width of the interval {mean['width']:.3f} of the rubric; {found.cpu_s:.0f} CPU s; "
          f"limits crossed: {found.report['limits']['crossed'] or 'none'}")  # fmt: skip
    return {"qwk": mean["qwk"], "prompts": {p["prompt"]: p["metrics"]["qwk"] for p in rows}, "refused": refused,
            "coverage": mean["coverage"], "kept": mean["qwk"] >= SAS_GOAL, "cpu_s": found.cpu_s}  # fmt: skip


def semeval(
    root: Path, config: str, options: Sequence[str], corpora: Sequence[str] = ("beetle", "sciEntsBank")
) -> dict[str, Any]:  # Any: as above
    """Grade SemEval-2013 task 7, or one of its corpora, print the table and return the figures."""
    archive = root / "semeval2013-task7-3way" / "semeval-3way.zip"
    train, test = (
        [f"zip://{part}/*.xml::{archive}" for part in parts if any(f"/{corpus}" in part for corpus in corpora)]
        for parts in (SEMEVAL_TRAIN, SEMEVAL_TEST)
    )
    found = run_stages(train, (), test, config, ("preprocess.split_by=response", *options))
    table = found.predictions
    print(
        "| part | answers | macro F1 | overlap baseline | best system, about | accuracy | QWK | in interval | refused |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    figures: dict[str, Any] = {}
    for part, (baseline, best) in SEMEVAL_TEST.items():
        rows = table.filter(pl.col("place").str.contains(f"{part}/", literal=True))
        if not rows.height:
            continue
        given, graded = rows["score"].to_numpy(), rows["rounded"].to_numpy()
        f1 = macro_f1(given.astype(np.int64), graded.astype(np.int64), len(LABELS))
        inside = np.mean((rows["low"].to_numpy() <= given) & (given <= rows["high"].to_numpy()))
        refused = 1.0 - rows["abstained"].null_count() / rows.height
        name = part.removeprefix("test/3way/").replace("/test-", ", ").replace("-", " ")
        figures[name] = {"f1": f1, "refused": refused, "kept": f1 > baseline}
        print(f"| {name} | {rows.height} | {f1:.3f} | {baseline:.3f} | {'' if best is None else f'{best:.2f}'} | "
              f"{(given == graded).mean():.3f} | {weighted_kappa(given, graded):.3f} | {inside:.3f} | "
              f"{refused:.3f} |")  # fmt: skip
    mean = found.report["metrics"]
    limits = found.report["limits"]["crossed"] or "none"
    print(f"all parts: QWK {mean['qwk']:.3f}, exact {mean['exact']:.3f}; {found.cpu_s:.0f} CPU s; crossed: {limits}")
    print(f"refused: {found.report['abstained']['reasons']}")
    return {"parts": figures, "qwk": mean["qwk"], "kept": all(its["kept"] for its in figures.values())}


Measure = Callable[[Path, str, Sequence[str]], dict[str, Any]]
SETS: dict[str, tuple[Measure, str]] = {"asap-sas": (asap_sas, "kernel"), "semeval": (semeval, "pooled")}


def main() -> int:
    """Measure, print, and return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--set", action="append", choices=SETS, dest="sets", help="all by default")
    parser.add_argument("--config", help="another configuration than the set's own")
    parser.add_argument("--option", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    if "HOMEROOM_DATA" not in os.environ:
        parser.error("HOMEROOM_DATA is not set; name the folder with the education data")
    root = Path(os.environ["HOMEROOM_DATA"])
    print(processor_name(), flush=True)
    figures = {}
    for name in options.sets or SETS:
        measure, config = SETS[name]
        print(f"\n{name}", flush=True)
        figures[name] = measure(root, options.config or config, options.option)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return int(not all(its["kept"] for its in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
