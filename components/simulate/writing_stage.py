"""The stage of simulated writing: responses of made-up students as a source delivers them, and the truth apart."""

from components.artifacts import SimulatedWriting, canonical_json
from components.config import as_plain
from components.simulate.writing_config import SimulateWritingConfig
from components.stage import PENDING, Work, stage

RESPONSES = "responses.parquet"
TRUTH = "truth.parquet"
PARAMETERS = "truth.json"


@stage("simulate", libraries=("numpy", "polars"))
def simulate_writing(work: Work, config: SimulateWritingConfig) -> SimulatedWriting:
    """Return simulated scored writing.

    Files: `responses.parquet` in the layout `homeroom` (response, student, prompt, text, score, rater_1, rater_2,
    trait_conventions, group_<attribute>); `truth.parquet` with the same rows (`quality`, `expected_score` of a rater
    without error, `spelling`); `truth.json` with the configuration, abilities, groups, and `prompts` as
    `ingest.prompts` takes them.
    """
    from components.parquet import write_parquet
    from components.simulate.writing import simulate_responses  # late: a run whose result is there needs neither
    from components.simulate.writing_tables import parameters, responses_table, truth_table

    simulation = simulate_responses(config)
    folder = work.output()
    write_parquet(responses_table(config, simulation), folder / RESPONSES)
    write_parquet(truth_table(simulation), folder / TRUTH)
    (folder / PARAMETERS).write_bytes(canonical_json({"config": as_plain(config), **parameters(simulation)}))
    return work.publish(
        SimulatedWriting(
            ref=PENDING,
            lineage=work.lineage,
            rows=len(simulation.texts),
            students=config.students,
            prompts=config.prompts,
        ),
        folder,
    )
