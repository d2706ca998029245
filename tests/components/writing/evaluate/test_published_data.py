"""Humans beside humans on ASAP-AES, against the table in the data's README."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.writing.evaluate.baselines import Baseline
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.rows import Human, Predicted
from components.writing.evaluate.scores import scores_of
from components.writing.scale import Scale

RANGES = ((2, 12), (1, 6), (0, 3), (0, 3), (0, 4), (0, 4), (0, 30), (0, 60))
HUMANS = (0.721, 0.814, 0.769, 0.851, 0.753, 0.776, 0.721, 0.629)
"""QWK of raters 1 and 2 on all essays of each prompt; mean .754."""


@pytest.mark.data
def test_two_raters_of_asap_agree_as_its_readme_says_and_sums_of_ratings_are_recognised(data_folder: Path) -> None:
    (path,) = (data_folder / "asap-aes").glob("training_set_rel3.tsv*")
    table = pl.read_csv(
        path,
        separator="\t",
        quote_char=None,
        columns=["essay_set", "rater1_domain1", "rater2_domain1", "domain1_score"],
    )
    prompt = table["essay_set"].to_numpy() - 1
    score = table["domain1_score"].to_numpy().astype(np.float64)
    human = Human(
        score=score,
        prompt=prompt.astype(np.int64),
        student=np.arange(table.height),
        ratings=table.select("rater1_domain1", "rater2_domain1").cast(pl.Float64).to_numpy(),
        scales=[Scale(low=low, high=high) for low, high in RANGES],
    )
    perfect = {"constant": Baseline(title="the score itself", formula="", raw=score)}
    found = scores_of(human, Predicted(raw=score), perfect, WritingEvaluateConfig(resamples=20))
    for prompt_scores, expected in zip(found.prompts, HUMANS, strict=True):
        assert prompt_scores.humans is not None
        assert prompt_scores.humans["qwk"].value == pytest.approx(expected, abs=0.0006)
        assert prompt_scores.humans["model_qwk"].value == pytest.approx(1.0)
    assert found.humans is not None
    assert found.humans["qwk"].value == pytest.approx(0.754, abs=0.0006)
    # sets 1, 7 and 8 add two ratings up, the others resolve them on one scale
    assert [p.rating_factor for p in found.prompts] == [2, 1, 1, 1, 1, 1, 2, 2]
