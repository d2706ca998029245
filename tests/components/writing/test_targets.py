"""Scales of the targets and the ridge that training starts from: against scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from components.writing.preprocess.arrays import TextArrays
from components.writing.targets import Targets


def test_the_ridge_equals_scikit_learn(words_folder: Path) -> None:
    found = Targets.of(words_folder, ridge=10.0)
    train = TextArrays.open(words_folder, "train")
    for p, terms in enumerate(found.codec.prompts):
        own = train.prompt_R == p
        score = train.score_R[own].astype(float)
        x = np.clip((train.features_RF[own] - terms.mean_F) / terms.sd_F, -4, 4).astype(float)
        ours = Ridge(alpha=10.0, fit_intercept=False).fit(x, (score - score.mean()) / score.std())
        assert found.ridge_PMF[p, 0] == pytest.approx(ours.coef_, abs=1e-6)
        assert (found.centre_PM[p, 0], found.spread_PM[p, 0]) == pytest.approx((score.mean(), score.std()))


def test_a_trait_that_a_prompt_lacks_is_not_learned(words_folder: Path) -> None:
    found = Targets.of(words_folder, ridge=10.0)
    plants, bridge = found.codec.index_of("plants"), found.codec.index_of("bridge")
    assert found.has_trait_PK[plants].tolist() == [True]
    assert found.has_trait_PK[bridge].tolist() == [False]
    assert np.abs(found.ridge_PMF[plants, 1]).max() > 0
    assert not found.ridge_PMF[bridge, 1].any()
    assert (found.centre_PM[bridge, 1], found.spread_PM[bridge, 1]) == (0.0, 1.0)
