"""Scored writing as a kind of data: texts with human scores on a rubric, a score with an interval for each."""

from components.chain import Chain

WRITING = Chain(
    name="writing",
    title="scored writing",
    headline="qwk",
    unit="points of the rubric",
    ingest="components.writing.ingest.stage:ingest",
    preprocess="components.writing.preprocess.stage:preprocess",
    leakage="components.writing.leakage.stage:leakage",
    evaluate="components.writing.evaluate.stage:evaluate",
    fairness="components.writing.fairness.stage:fairness",
    export="components.export.stage:export",
    comparison="components.writing.comparison:answers_on_held_out",
    headline_of="components.writing.comparison:headline_of",
    unscored="components.writing.ingest.config:for_grading",
    takes_overrides=True,
    card="components.writing.card:FIGURES",
)
