"""The attention network through the whole chain, on simulated students."""

import json

import pytest

from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.soak]  # its network's own tests are quick


def test_the_release_is_of_attention_and_knows_more_than_the_skills_mean(released_attention: Released) -> None:
    store, outcome = released_attention.settings.open_store(), released_attention.summary.outcome
    training = json.loads((store.folder(outcome.checkpoint) / "training.json").read_text())
    assert training["config"]["model"]["network"] == "attention"
    report = json.loads((store.folder(outcome.evaluation) / "metrics.json").read_text())
    assert outcome.evaluation.metrics["auc"] > report["baselines"]["skill_mean"]["metrics"]["auc"] + 0.01
