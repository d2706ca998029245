"""The stage `fairness`: measures by group of students, the gaps between groups, and the gate on them."""

import json

from components.artifacts import Evaluation, FairnessReport, JsonValue, StudentLogs
from components.errors import GateStoppedError, SchemaError
from components.fairness.config import FairnessConfig
from components.schema import PREDICTIONS, STUDENTS
from components.stage import PENDING, Work, stage

GROUPS = "groups.json"
METRICS = "metrics.json"
"""Of an evaluation."""
ABROCA = (
    "area between two groups' ROC curves (Gardner, Brooks & Baker 2019); p: of the randomisation test by student, "
    "chance only makes it larger; p_holm: corrected over all pairs of the attribute's groups (Holm 1979)"
)


@stage("fairness", libraries=("numpy", "scipy", "polars"))
def fairness(work: Work, logs: StudentLogs, evaluation: Evaluation, config: FairnessConfig) -> FairnessReport:
    """Return the report on the groups that the logs' attributes make, over the evaluation's scored predictions.

    `groups.json`: see `components/fairness/report.py`.

    Raises:
        ConfigError: an attribute that the logs do not have and that is neither required nor optional.
        SchemaError: predictions of students whom the logs do not know.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    # Late, so that a run that only finds finished results loads no polars.
    import numpy as np
    import polars as pl

    from components.fairness.family import jointly
    from components.fairness.gate import attributes_to_compare, judge, parts_of_all
    from components.fairness.groups import ScoredRows
    from components.fairness.measures import MEANINGS
    from components.fairness.report import details_json, report_json
    from components.fairness.summary import SUMMARIES
    from components.fairness.table import Tables, tables_of
    from components.mitigation.postprocess import RAW

    attributes, missing = attributes_to_compare(config, logs.groups)
    parts = parts_of_all(attributes, logs.groups)
    tables = Tables(attributes={}, useless=None)
    told: dict[str, JsonValue] = {}
    predictions = pl.read_parquet(work.folder(evaluation) / PREDICTIONS).filter("scored")
    if predictions.height:
        students = pl.read_parquet(work.folder(logs) / STUDENTS, columns=["student", *parts])
        tested = predictions.select("student").unique().sort("student").join(students, on="student", how="left")
        unknown = tested.join(students, on="student", how="anti").height
        if unknown:
            raise SchemaError(
                f"{unknown} of {tested.height} students with predictions are not in the logs' {STUDENTS}. Give the "
                "logs that the evaluated data were made from."
            )
        numbers = tested.select("student").with_row_index("number")
        joined = predictions.join(numbers, on="student", how="left", maintain_order="left")
        rows = ScoredRows(
            student=joined["number"].to_numpy().astype(np.int64),
            label=joined["label"].to_numpy(),
            probability=joined["probability"].to_numpy(),
        )
        work.say(f"comparing groups by {', '.join(attributes) or 'nothing: the logs have no attribute'}")
        raw = None
        if RAW in joined.columns:
            raw = joined[RAW].to_numpy()
            scores = json.loads((work.folder(evaluation) / METRICS).read_text(encoding="utf-8"))
            told = {name: scores["mitigation"][name] for name in ("kind", "by")}
        values = {p: tested[p].cast(pl.String).to_list() for p in parts}
        tables = tables_of(rows, values, attributes, config, raw)

    comparisons = jointly(tables.comparisons, config)
    judgement = judge(comparisons, config, missing, useless=tables.useless)
    out = work.output()
    sizes = {name: getattr(config, name) for name in ("min_students", "min_scored", "min_rarer_class")}
    report = report_json(
        comparisons,
        judgement,
        config,
        protocol=evaluation.protocol,
        meanings=MEANINGS | {name: one.meaning for name, one in SUMMARIES.items()} | {"abroca": ABROCA},
        sizes=sizes,
        more={name: details_json(found.pairs) for name, found in tables.attributes.items()},
        curves={name: found.curves for name, found in tables.attributes.items()},
        useless=tables.useless,
        mitigation=None if tables.mitigation is None else told | tables.mitigation,
    )
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (out / GROUPS).write_text(text + "\n", encoding="utf-8")
    done = work.publish(
        FairnessReport(ref=PENDING, lineage=work.lineage, verdict=judgement.verdict, reasons=judgement.reasons),
        out,
    )
    for line in judgement.reasons:
        work.say(f"fairness: {line}")
    if judgement.verdict == "fail" and config.on_fail == "stop":
        raise GateStoppedError(
            f"Gaps between groups are over their limits: {'; '.join(judgement.reasons)}. Report {done.sha256[:12]} is "
            "in the store. Look into the groups named, or change the limits of [fairness]; on_fail = 'flag' goes on "
            "all the same."
        )
    return done
