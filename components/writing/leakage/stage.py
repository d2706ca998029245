"""The stage `leakage` of scored writing: whether what is held out was seen in training."""

from components.artifacts import LeakageReport, ScoredWriting, TextDataset
from components.stage import Work, stage
from components.writing.leakage.config import WritingLeakageConfig


@stage("leakage", libraries=("numpy", "polars"))
def leakage(work: Work, logs: ScoredWriting, data: TextDataset, config: WritingLeakageConfig) -> LeakageReport:
    """Look for students, responses and texts in several splits.

    `leakage.json`: see `components/leakage/findings.py`.

    Raises:
        SchemaError: dataset and responses do not fit together.
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    from components.leakage.conclusion import concluded  # late: a result that is there needs none of it
    from components.writing.leakage.responses import check_responses

    return concluded(work, check_responses(work.folder(logs), work.folder(data), data.protocol, config), config.on_fail)
