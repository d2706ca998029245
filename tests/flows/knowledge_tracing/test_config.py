"""Choosing a network: each has its own fields, nothing is ignored, and the default is what it was."""

import pytest

from components.app import load_application
from components.config import as_plain, make_config
from components.errors import ConfigError
from flows.knowledge_tracing.app import KnowledgeTracingConfig
from flows.knowledge_tracing.config import AttentionConfig, DktConfig

APP = load_application("knowledge_tracing")


def test_the_network_is_dkt_unless_another_is_named() -> None:
    assert make_config(KnowledgeTracingConfig, {}).train.model == DktConfig()
    for name in ("small", "full"):
        assert APP.configuration(name).train.model.network == "dkt"
    assert APP.configuration("attention").train.model.network == "attention"


def test_the_network_can_be_set_and_its_fields_with_it() -> None:
    config = APP.configuration("small", ["train.model.network=attention", "train.model.heads=2"])
    assert config.train.model == AttentionConfig(network="attention", width=128, hidden=128, heads=2)
    assert make_config(KnowledgeTracingConfig, as_plain(config)) == config


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.model.network=mamba"], "train.model.network = 'mamba': expected 'dkt' or 'attention'"),
        (["train.model.heads=2"], "train.model.heads: unknown key; known here: network, width, hidden, dropout,"),
        (
            ["train.model.network=attention", "train.model.head=2"],
            "train.model.head: unknown key; did you mean 'heads'?",
        ),
        (["train.model.network=attention", "train.model.heads=3"], "width=128 must be a multiple of heads=3, e.g. 96"),
        (["train.model.network=attention", "train.model.blocks=0"], "train.model: blocks=0 must be at least 1"),
        (
            ["train.model.dropout=1.0", "train.model.width=0"],
            "width=0 must be at least 1; dropout=1.0 must be in [0, 1)",
        ),
    ],
)
def test_what_the_chosen_network_does_not_know_is_refused(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        APP.configuration("small", overrides)
    assert "has 1 problem(s)" in str(caught.value)  # and not what the other network would find wrong
    assert said in str(caught.value)
