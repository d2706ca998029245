"""The stage `evaluate` of scored writing: held-out predictions, agreement with humans beside baselines, limits."""

import json

from components.artifacts import Checkpoint, Evaluation, TextDataset
from components.errors import GateStoppedError, NotEnoughDataError
from components.gate.decision import worst_of
from components.schema import PREDICTIONS
from components.stage import PENDING, Work, stage
from components.writing.evaluate.config import WritingEvaluateConfig

METRICS = "metrics.json"


@stage("evaluate", libraries=("torch", "numpy", "scikit-learn", "polars"), uses_application=True)
def evaluate(work: Work, data: TextDataset, model: Checkpoint, config: WritingEvaluateConfig) -> Evaluation:
    """Return the metrics of `model` on the held-out responses of `data`, with every prediction kept.

    `predictions.parquet`: response, student, prompt, score (human), rater_1, ... (where there are), prediction (within
    the rubric's range), rounded (a score that can be given), low, high (ends of the interval, null where the model
    gives none), abstained (a reason, else null), trait_<name> (the model's); one row per response of the split.
    `metrics.json`: see `components/writing/evaluate/report.py`.

    Raises:
        NotEnoughDataError: fewer scored responses than `min_scored`, or no prompt in which QWK can be estimated.
        SchemaError: dataset or predictions do not fit together.
        GateStoppedError: a limit is crossed and `on_fail` is `stop`; the evaluation is in the store all the same.
    """
    # Late, so that a run that only finds finished results loads neither torch nor polars.
    from components.mitigation.reweighing import reweighing_of
    from components.parquet import write_parquet
    from components.writing.evaluate.baselines import baselines_of
    from components.writing.evaluate.dataset import read_split
    from components.writing.evaluate.predict import predict_split
    from components.writing.evaluate.reporting import predictions_table, report_of

    folder = work.folder(data)
    split = read_split(folder, config.split)
    work.say(f"grading {split.rows:,} responses of split {config.split}")
    found = predict_split(
        work.application, folder, work.folder(model), config.split, rows=split.rows, traits=split.traits.shape[1]
    )
    graded = split.rows - int(split.abstained.is_not_null().sum())
    if graded < config.min_scored:
        raise NotEnoughDataError(
            f"Split {config.split!r} has {graded} responses to score ({split.rows} in all, the others abstained from); "
            f"min_scored asks for {config.min_scored}. Hold out more students, or lower evaluate.min_scored."
        )
    train = read_split(folder, "train")
    work.say(f"fitting baselines on {train.rows:,} responses of split train")
    table = predictions_table(split, found, data.traits)
    report = report_of(split, found, data.traits, baselines_of(train, split), config, protocol=data.protocol)
    scores = report.scores
    if scores.model["qwk"].value is None:
        raise NotEnoughDataError(
            f"In none of the {len(scores.prompts)} prompts can QWK be estimated: it needs {config.min_prompt_scored} "
            "scored responses of one prompt, to which humans gave more than one score. Hold out more students."
        )

    out = work.output()
    write_parquet(table, out / PREDICTIONS)
    weighed = reweighing_of(folder)
    text = json.dumps(report.to_json(config) | weighed, indent=2, ensure_ascii=False, allow_nan=False)
    (out / METRICS).write_text(text + "\n", encoding="utf-8")
    done = work.publish(
        Evaluation(
            ref=PENDING,
            lineage=work.lineage,
            metrics={name: figure.value for name, figure in scores.model.items() if figure.value is not None},
            intervals={
                name: (figure.interval.low, figure.interval.high)
                for name, figure in scores.model.items()
                if figure.interval.low is not None and figure.interval.high is not None
            },
            scored=scores.scored,
            students=scores.students,
            protocol=data.protocol,
        ),
        out,
    )
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
