"""The stage `preprocess` of scored writing: texts with scores -> a text dataset in flat arrays."""

from components.artifacts import ScoredWriting, TextDataset
from components.stage import PENDING, Work, stage
from components.writing.preprocess.config import WritingPreprocessConfig


@stage(
    "preprocess",
    libraries=("polars", "numpy"),
    uses_application=True,
    also=("components.writing.preprocess.layout",),
)
def preprocess(work: Work, writing: ScoredWriting, config: WritingPreprocessConfig) -> TextDataset:
    """Split by student, fit the codec on the training texts, and encode.

    Raises:
        NotEnoughDataError: a prompt has too few responses to be learned or judged.
    """
    from components.writing.preprocess.layout import write_dataset  # late: it loads polars

    out = work.output()
    layout = write_dataset(work.folder(writing), out, config)
    if layout.crossing:
        work.say(
            f"{layout.crossing} responses share a student or a text with another of the declared splits; figures of "
            "the test split may be too good"
        )
    return work.publish(
        TextDataset(
            ref=PENDING,
            lineage=work.lineage,
            application=work.application.name,
            responses=layout.responses,
            students=layout.students,
            prompts=tuple(prompt.name for prompt in layout.codec.prompts),
            traits=layout.codec.traits,
            arrays=layout.arrays,
            protocol=writing.protocol,
            overrides=writing.overrides,
            overrides_sha256=writing.overrides_sha256,
        ),
        out,
    )
