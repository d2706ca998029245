"""The ingest stage: raw files -> scored responses in the one schema, pseudonymised, unusable rows set apart."""

from components.artifacts import RawFiles, ScoredWriting, canonical_json
from components.stage import PENDING, Work, stage
from components.writing.ingest.config import WritingIngestConfig
from components.writing.schema import PROMPTS, QUARANTINE, REPORT, RESPONSES, STUDENTS

ROWS_PER_GROUP = 1 << 14
"""Rows per row group of `responses.parquet`; set, so that the same rows give the same bytes."""


@stage("ingest", libraries=("polars",), uses_pseudonym_key=True)
def ingest(work: Work, raw: RawFiles, config: WritingIngestConfig) -> ScoredWriting:
    """Return the responses of `raw` as an artifact.

    Raises:
        SchemaError: files in no known layout, in several, cut short, without usable rows, with lists of ids that do not
            fit them, or with a column that would publish who a student is.
        QuarantineLimitError: more rows are unusable than the configuration allows.
        DigestMismatchError: a file changed since it was collected.
        NoRoomError: the disk is full.
    """
    from components.parquet import write_parquet  # late: a run whose results are all there needs no polars
    from components.writing.ingest.writing import read_writing

    writing = read_writing(raw, config, work.scratch, work.pseudonym_key, work.say, work.erased)
    made, folder = writing.made, work.output()
    write_parquet(made.responses, folder / RESPONSES, row_group_size=ROWS_PER_GROUP)
    write_parquet(made.students, folder / STUDENTS)
    write_parquet(writing.clean.quarantine, folder / QUARANTINE)
    (folder / PROMPTS).write_bytes(canonical_json(writing.prompts))
    (folder / REPORT).write_bytes(canonical_json(writing.report))
    return work.publish(
        ScoredWriting(
            ref=PENDING,
            lineage=work.lineage,
            rows=made.responses.height,
            students=made.students.height,
            prompts=len(writing.prompts),
            raters=writing.clean.raters,
            traits=writing.clean.traits,
            quarantined=writing.clean.quarantine.height,
            layout=writing.layout.name,
            protocol=config.protocol,
            pseudonym_key_id=work.pseudonym_key.id,
            overrides=writing.overridden.used if writing.overridden is not None else 0,
            overrides_sha256=writing.overridden.digest if writing.overridden is not None else "",
            groups=tuple(c for c in made.students.columns if c not in {"student", "declared_split"}),
        ),
        folder,
    )
