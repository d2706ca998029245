"""The stage `leakage` of student logs: whether what is held out was seen in training."""

from components.artifacts import LeakageReport, SequenceDataset, StudentLogs
from components.leakage.config import LeakageConfig
from components.stage import Work, stage


@stage("leakage", libraries=("numpy", "polars"))
def leakage(work: Work, logs: StudentLogs, data: SequenceDataset, config: LeakageConfig) -> LeakageReport:
    """Look for students in several splits, copied sequences, time turned round, and rows that show the next answer.

    `leakage.json`: see `components/leakage/findings.py`.

    Raises:
        SchemaError: dataset and logs do not fit together.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    from components.leakage.conclusion import concluded  # late: a result that is there needs none of it
    from components.leakage.sequences import check_sequences

    return concluded(work, check_sequences(work.folder(logs), work.folder(data), data, config), config.on_fail)
