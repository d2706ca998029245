"""The stage `leakage` of student logs: whether what is held out was seen in training."""

from components.artifacts import LeakageReport, SequenceDataset, StudentLogs
from components.errors import GateStoppedError
from components.leakage.config import LeakageConfig
from components.stage import PENDING, Work, stage


@stage("leakage", libraries=("numpy", "polars"))
def leakage(work: Work, logs: StudentLogs, data: SequenceDataset, config: LeakageConfig) -> LeakageReport:
    """Look for students in several splits, copied sequences, time turned round, and rows that show the next answer.

    `leakage.json`: see `components/leakage/findings.py`.

    Raises:
        SchemaError: dataset and logs do not fit together.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    from components.leakage.findings import stopped, write_report  # late: a result that is there needs none of it
    from components.leakage.sequences import check_sequences

    out = work.output()
    checks = check_sequences(work.folder(logs), work.folder(data), data, config)
    verdict, reasons = write_report(out, checks)
    done = work.publish(LeakageReport(ref=PENDING, lineage=work.lineage, verdict=verdict, reasons=reasons), out)
    for line in reasons:
        work.say(f"leakage: {line}")
    if verdict == "fail" and config.on_fail == "stop":
        raise GateStoppedError(stopped(reasons, done.sha256))
    return done
