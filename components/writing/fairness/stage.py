"""The stage `fairness` of scored writing: agreement by group of students, the gaps between groups, and the gate."""

import json

from components.artifacts import Evaluation, FairnessReport, ScoredWriting
from components.errors import GateStoppedError, SchemaError
from components.schema import PREDICTIONS, STUDENTS
from components.stage import PENDING, Work, stage
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.schema import PROMPTS

GROUPS = "groups.json"


@stage("fairness", libraries=("numpy", "scipy", "polars"))
def fairness(work: Work, logs: ScoredWriting, evaluation: Evaluation, config: WritingFairnessConfig) -> FairnessReport:
    """Return the report on the groups that the source's attributes make, over the evaluation's predictions.

    `groups.json`: see `components/fairness/report.py`; each attribute also has `explained`, see
    `components/writing/fairness/explained.py`.

    Raises:
        ConfigError: an attribute that the source does not have and that is neither required nor optional.
        SchemaError: predictions of students or prompts that ingest did not publish.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    # Late, so that a run that only finds finished results loads no polars.
    import polars as pl

    from components.fairness.family import jointly
    from components.fairness.gate import attributes_to_compare, judge, parts_of_all
    from components.fairness.limits import DECIMALS
    from components.fairness.report import report_json
    from components.writing.fairness.explained import MEANINGS as EXPLAINED
    from components.writing.fairness.measures import MEANINGS, SUMMARIES
    from components.writing.fairness.rows import rows_of
    from components.writing.fairness.table import WritingTables, tables_of
    from components.writing.scale import prompt_scales

    attributes, missing = attributes_to_compare(config, logs.groups)
    parts = parts_of_all(attributes, logs.groups)
    tables = WritingTables(attributes={}, useless=None)
    source = work.folder(logs)
    predictions = pl.read_parquet(work.folder(evaluation) / PREDICTIONS).filter(pl.col("score").is_not_null())
    if predictions.height:
        students = pl.read_parquet(source / STUDENTS, columns=["student", *parts])
        tested = predictions.select("student").unique().sort("student").join(students, on="student", how="left")
        unknown = tested.join(students, on="student", how="anti").height
        if unknown:
            raise SchemaError(
                f"{unknown} of {tested.height} students with predictions are not in the source's {STUDENTS}. Give "
                "what the evaluated data were made from."
            )
        scales = prompt_scales(json.loads((source / PROMPTS).read_text(encoding="utf-8")))
        rows = rows_of(predictions, tested["student"], scales)
        work.say(f"comparing groups by {', '.join(attributes) or 'nothing: the source has no attribute'}")
        tables = tables_of(rows, {p: tested[p].cast(pl.String).to_list() for p in parts}, attributes, config)

    compared = tables.attributes
    comparisons = jointly({name: found.groups for name, found in compared.items()}, config)
    judgement = judge(comparisons, config, missing, useless=tables.useless)
    report = report_json(
        comparisons,
        judgement,
        config,
        protocol=evaluation.protocol,
        meanings=MEANINGS | {name: one.meaning for name, one in SUMMARIES.items()},
        sizes={name: getattr(config, name) for name in ("min_students", "min_scored", "min_prompt_scored")},
        more={
            name: {
                "explained": {
                    kind: {
                        "meaning": EXPLAINED[kind],
                        "r2": None if its.r2 is None else round(its.r2, DECIMALS),
                        "p": None if its.p is None else round(its.p, DECIMALS),
                    }
                    for kind, its in found.explained.items()
                }
            }
            for name, found in compared.items()
        },
        curves={name: found.curves for name, found in compared.items()},
        useless=tables.useless,
    )
    out = work.output()
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
