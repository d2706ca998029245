"""The chain: what it asks of an application's configuration."""

from types import SimpleNamespace

import pytest

from components.artifacts import Lineage, RawFiles
from components.errors import ConfigError
from components.sequences.chain import SEQUENCES
from components.stage import PENDING
from flows.pipeline import STAGES, run_pipeline


def test_a_configuration_without_a_stage_is_told_before_anything_runs() -> None:
    raw = RawFiles(ref=PENDING, lineage=Lineage(), uris=(), digests=(), roles=())
    config = SimpleNamespace(**{stage: None for stage in STAGES if stage != "leakage"})
    with pytest.raises(ConfigError, match="has no section leakage; expected a field for each stage: ingest, pre"):
        run_pipeline(pytest.fail, SEQUENCES, raw, config)  # type: ignore[arg-type]  # nothing is called
