"""The stage `leakage` of scored writing: whether what is held out was seen in training."""

from components.artifacts import LeakageReport, ScoredWriting, TextDataset
from components.errors import GateStoppedError
from components.stage import PENDING, Work, stage
from components.writing.leakage.config import WritingLeakageConfig


@stage("leakage", libraries=("numpy", "polars"))
def leakage(work: Work, logs: ScoredWriting, data: TextDataset, config: WritingLeakageConfig) -> LeakageReport:
    """Look for students, responses and texts in several splits.

    `leakage.json`: see `components/leakage/findings.py`.

    Raises:
        SchemaError: dataset and responses do not fit together.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    from components.leakage.findings import stopped, write_report  # late: a result that is there needs none of it
    from components.writing.leakage.responses import check_responses

    out = work.output()
    checks = check_responses(work.folder(logs), work.folder(data), data.protocol, config)
    verdict, reasons = write_report(out, checks)
    done = work.publish(LeakageReport(ref=PENDING, lineage=work.lineage, verdict=verdict, reasons=reasons), out)
    for line in reasons:
        work.say(f"leakage: {line}")
    if verdict == "fail" and config.on_fail == "stop":
        raise GateStoppedError(stopped(reasons, done.sha256))
    return done
