"""Student logs as a kind of data: interactions in order, a probability for each."""

from components.chain import Chain

SEQUENCES = Chain(
    name="sequences",
    title="student logs",
    headline="auc",
    unit="probability",
    ingest="components.ingest.stage:ingest",
    preprocess="components.preprocess.stage:preprocess",
    leakage="components.leakage.stage:leakage",
    evaluate="components.evaluate.stage:evaluate",
    fairness="components.fairness.stage:fairness",
    export="components.export.stage:export",
    comparison="components.sequences.comparison:answers_on_held_out",
    headline_of="components.sequences.comparison:headline_of",
    card="components.sequences.card:FIGURES",
)
