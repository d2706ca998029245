"""The simulate stage: logs of made-up students as a source would deliver them, and the truth behind them apart."""

from components.artifacts import SimulatedLogs, canonical_json
from components.config import as_plain
from components.simulate.config import SimulateConfig
from components.stage import PENDING, Work, stage

ANSWERS = "answers.parquet"
TRUTH = "truth.parquet"
PARAMETERS = "truth.json"


@stage("simulate", libraries=("numpy", "polars"))
def simulate(work: Work, config: SimulateConfig) -> SimulatedLogs:
    """Return simulated logs.

    Files: `answers.parquet` in the layout `homeroom`, ordered by time; `truth.parquet` with the same rows (`mastery`,
    `probability` of a right answer, `probability_recorded` after label noise, `correct_before_noise`); `truth.json`
    with the configuration and the parameters drawn.
    """
    from components.parquet import write_parquet
    from components.simulate.model import simulate_answers  # late: a run whose result is there needs neither
    from components.simulate.tables import answers_table, parameters, truth_table

    simulation = simulate_answers(config)
    folder = work.output()
    write_parquet(answers_table(config, simulation), folder / ANSWERS)
    write_parquet(truth_table(config, simulation), folder / TRUTH)
    (folder / PARAMETERS).write_bytes(canonical_json({"config": as_plain(config), **parameters(simulation)}))
    return work.publish(
        SimulatedLogs(ref=PENDING, lineage=work.lineage, rows=len(simulation.student), students=config.students),
        folder,
    )
