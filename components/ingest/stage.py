"""The ingest stage: raw files -> student interactions in the one schema, pseudonymised, unusable rows set apart."""

from components.artifacts import RawFiles, StudentLogs, canonical_json
from components.ingest.config import IngestConfig
from components.schema import INTERACTIONS, QUARANTINE, REPORT, SKILL_SETS, STUDENTS
from components.stage import PENDING, Work, stage

ROWS_PER_GROUP = 1 << 18
"""Rows per row group of `interactions.parquet`; set, so that the same rows give the same bytes."""


@stage("ingest", libraries=("polars",), uses_pseudonym_key=True)
def ingest(work: Work, raw: RawFiles, config: IngestConfig) -> StudentLogs:
    """Return the interactions of `raw` as an artifact.

    Raises:
        SchemaError: files in no known layout, in several, cut short, without usable rows, or with a column that would
            publish who a student is.
        QuarantineLimitError: more rows are unusable than the configuration allows.
        DigestMismatchError: a file changed since it was collected.
        NoRoomError: the disk is full.
    """
    from components.ingest.logs import read_logs  # late: a run whose results are all there needs no polars
    from components.parquet import write_parquet

    logs = read_logs(raw, config, work.scratch, work.pseudonym_key, work.say, work.erased)
    made, folder = logs.made, work.output()
    write_parquet(made.interactions, folder / INTERACTIONS, row_group_size=ROWS_PER_GROUP)
    write_parquet(made.skill_sets, folder / SKILL_SETS)
    write_parquet(made.students, folder / STUDENTS)
    write_parquet(logs.clean.quarantine, folder / QUARANTINE)
    (folder / REPORT).write_bytes(canonical_json(logs.report))
    return work.publish(
        StudentLogs(
            ref=PENDING,
            lineage=work.lineage,
            rows=made.interactions.height,
            students=made.students.height,
            items=logs.items,
            skills=int(made.skill_sets["skills"].explode().drop_nulls().n_unique()),
            quarantined=logs.clean.quarantine.height,
            layout=logs.layout.name,
            protocol=logs.protocol,
            pseudonym_key_id=work.pseudonym_key.id,
            groups=tuple(c for c in made.students.columns if c not in {"student", "declared_split"}),
        ),
        folder,
    )
