"""The stage `evaluate`: held-out predictions, metrics beside baselines with intervals resampled by student, limits."""

import json

from components.artifacts import Checkpoint, Evaluation, SequenceDataset
from components.errors import GateStoppedError, NotEnoughDataError, SchemaError
from components.evaluate.config import EvaluateConfig
from components.gate.decision import worst_of
from components.schema import PREDICTIONS
from components.stage import PENDING, Work, stage

METRICS = "metrics.json"


@stage("evaluate", libraries=("torch", "numpy", "scipy", "scikit-learn", "polars"), uses_application=True)
def evaluate(work: Work, data: SequenceDataset, model: Checkpoint, config: EvaluateConfig) -> Evaluation:
    """Return the metrics of `model` on the held-out students of `data`, with every prediction kept.

    `predictions.parquet`: student (pseudonym), position, scored, label, probability; one row per step of the split.
    Where a post-processor was fitted, also raw_probability: the answer without it.
    `metrics.json`: see `components/evaluate/report.py`.

    Raises:
        NotEnoughDataError: fewer scored answers than `min_scored`, or only one class.
        SchemaError: dataset or predictions do not fit together.
        GateStoppedError: a limit is crossed and `on_fail` is `stop`; the evaluation is in the store all the same.
    """
    # Late, so that a run that only finds finished results loads neither torch nor polars.
    import numpy as np
    import polars as pl

    from components.evaluate.baselines import baselines_of
    from components.evaluate.comparison import compared
    from components.evaluate.detail import detail_json, names_of
    from components.evaluate.metrics import check_range, is_right
    from components.evaluate.predict import predicted_split
    from components.evaluate.repeats import rows_without_repeats
    from components.evaluate.report import Report
    from components.evaluate.rows import ScoredRows
    from components.evaluate.sequences import read_split
    from components.evaluate.skills import DECIMALS
    from components.mitigation.before_after import Resampling, before_and_after
    from components.mitigation.postprocess import RAW, postprocess_of
    from components.mitigation.reweighing import reweighing_of
    from components.parquet import write_parquet

    folder = work.folder(data)
    split = read_split(folder, config.split)
    scored, student = split.scored, split.student()
    rows = np.flatnonzero(scored)
    if len(rows) < config.min_scored:
        raise NotEnoughDataError(
            f"Split {config.split!r} has {len(rows)} answers to score; min_scored asks for {config.min_scored}. "
            "Hold out more students, or lower evaluate.min_scored."
        )
    names = pl.read_parquet(folder / "students.parquet", columns=["student"])["student"]
    if student.min() < 0 or student.max() >= len(names):
        raise SchemaError(
            f"window_student of split {config.split!r} goes from {student.min()} to {student.max()}; students.parquet "
            f"has {len(names)} rows, numbered from 0. Run preprocess again."
        )
    check_range("label", split.responses)

    work.say(f"predicting {split.steps:,} steps of split {config.split}")
    probability, raw = predicted_split(work.application, folder, work.folder(model), config.split, RAW)
    label = np.asarray(split.responses)
    train = read_split(folder, "train")
    check_range("label of split 'train'", train.responses)
    work.say(f"fitting baselines on {train.steps:,} steps of split train")
    baselines = baselines_of(train, split)
    found = compared(label, probability, student, baselines, rows, config)
    kept = rows_without_repeats(data.protocol, split, rows)
    repeated = None if kept is None else len(rows) - len(kept)
    without = None
    if kept is not None and repeated and len(np.unique(is_right(label[kept]))) == 2:
        without = compared(label, probability, student, baselines, kept, config)
    work.say("resampling by skill")
    _, numbered = np.unique(student[rows], return_inverse=True)
    codec = json.loads((folder / "codec.json").read_text(encoding="utf-8"))
    detail = detail_json(
        ScoredRows(student=numbered.astype(np.int64), label=label[rows], probability=probability[rows]),
        np.asarray(split.skills[rows]),
        names_of(codec, int(split.skills.max(initial=0)) + 1),
        config,
    )
    mitigation = postprocess_of(work.folder(model))
    if mitigation is None or mitigation["status"] != "ok":
        raw = None  # nothing was done to the answers
    elif raw is not None:
        work.say("comparing the answers with those before they were mapped")
        how = Resampling(resamples=config.resamples, confidence=config.confidence, seed=config.seed, decimals=DECIMALS)
        before = ScoredRows(student=numbered.astype(np.int64), label=label[rows], probability=raw[rows])
        mitigation |= before_and_after(before, probability[rows], np.zeros(len(rows), np.int64), 1, how)[0]
    report = Report(
        protocol=data.protocol,
        split_by=data.split,
        begins_ms=data.begins_ms,
        all_rows=found,
        repeated=repeated,
        without_repeats=without,
        steps=split.steps,
        windows=len(split.starts),
        detail=detail,
        mitigation=mitigation,
    )

    out = work.output()
    predictions = pl.DataFrame(
        {
            "student": names.gather(student).cast(pl.String),
            "position": pl.Series(split.position, dtype=pl.UInt32),
            "scored": scored,
            "label": pl.Series(label, dtype=pl.Float32),
            "probability": probability,
        }
    )
    if raw is not None:
        predictions = predictions.with_columns(pl.Series(RAW, raw))
    write_parquet(predictions, out / PREDICTIONS)
    weighed = reweighing_of(folder)
    text = json.dumps(report.to_json(config) | weighed, indent=2, allow_nan=False)
    (out / METRICS).write_text(text + "\n", encoding="utf-8")
    draft = Evaluation(
        ref=PENDING,
        lineage=work.lineage,
        metrics=found.metrics.by_name(),
        intervals={
            name: (interval.low, interval.high)
            for name, interval in found.intervals.items()
            if interval.low is not None and interval.high is not None
        },
        scored=found.scored,
        students=found.students,
        protocol=data.protocol,
    )
    done = work.publish(draft, out)
    for line in (*report.warnings(config), *(one["caution"] for one in weighed.values())):
        work.say(f"warning: {line}")
    crossed = report.crossed(config)
    for line in crossed:
        work.say(f"limit crossed: {line}")
    if config.on_fail == "stop" and worst_of(report.findings(config)) == "stop":
        raise GateStoppedError(
            f"The model is outside its limits: {'; '.join(crossed)}. Evaluation {done.sha256[:12]} is in the store. "
            "Train a better model, or change the limits of [evaluate]; on_fail = 'flag' goes on all the same."
        )
    return done
