"""The stage `preprocess`: student logs -> a sequence dataset in flat arrays."""

import json
from pathlib import Path

from components.artifacts import SequenceDataset, StudentLogs
from components.preprocess.config import PreprocessConfig
from components.stage import PENDING, Work, stage


@stage("preprocess", libraries=("polars", "numpy"), uses_application=True, also=("components.preprocess.layout",))
def preprocess(work: Work, logs: StudentLogs, config: PreprocessConfig) -> SequenceDataset:
    """Split by student, fit the codec on the training students, encode, and cut windows.

    Raises:
        NotEnoughDataError: a split would be empty, or the training students have nothing to learn from.
    """
    from components.preprocess.layout import write_dataset  # late: it loads polars

    out = work.output()
    encoder = work.application.part(work.application.encoder)()
    layout = write_dataset(work.folder(logs), out, encoder, config)
    Path(out / "codec.json").write_text(json.dumps(layout.codec, ensure_ascii=False), encoding="utf-8")
    return work.publish(
        SequenceDataset(
            ref=PENDING,
            lineage=work.lineage,
            application=work.application.name,
            steps=layout.steps,
            windows=layout.windows,
            students=layout.students,
            max_len_steps=config.max_len_steps,
            arrays=layout.arrays,
            protocol=logs.protocol,
            split=config.split,
            begins_ms=layout.begins_ms or (),
        ),
        out,
    )
