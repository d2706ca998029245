"""The ingest configuration: what it refuses and what it says then."""

import sys
from subprocess import run
from typing import Any

import pytest

from components.config import as_plain, make_config
from components.errors import ConfigError
from components.ingest.config import ColumnMapping, IngestConfig


def test_a_mapping_is_read_from_plain_values() -> None:
    values = {"mapping": {"student": "a", "correct": "b", "item": "c", "groups": ["g", "h"]}}
    config = make_config(IngestConfig, values)
    assert config.mapping == ColumnMapping(student="a", correct="b", item="c", groups=("g", "h"))
    assert config.mapping.columns() == ("a", "c", "b", "g", "h")
    plain = as_plain(config)
    assert plain["protocol"] == "problem"
    assert plain["quarantine_limit"] == 0.05


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"student": "a"}, "correct and score are both missing"),
        ({"student": "a"}, "item and skills are both missing"),
        ({"student": "a", "correct": "b", "item": "c", "groups": ("a",)}, "a student's id never leaves ingest"),
        ({"student": "a", "correct": "b", "item": "c", "groups": ("g", "g")}, "repeats a column"),
        ({"student": "a", "correct": "b", "item": "c", "groups": ("declared_split",)}, "rename them in the source"),
        ({"student": "a", "correct": "b", "item": "c", "skill_separator": ""}, "skill_separator is empty"),
        ({"student": "a", "correct": "b", "item": "c", "time_unit": "hours"}, "write %m/%d/%Y %H:%M"),
        ({"student": "a", "correct": "b", "item": "c", "delimiter": "x"}, "none of auto, comma, tab"),
    ],
)
def test_mappings_that_cannot_work_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ColumnMapping(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"quarantine_limit": 1.5}, "quarantine_limit is 1.5; expected a share"),
        ({"quarantine_limit": -0.1}, "quarantine_limit is -0.1; expected a share"),
        ({"layout": "mapped"}, "layout = 'mapped' needs a mapping"),
        ({"layout": "homeroom", "mapping": {"student": "a", "correct": "b", "item": "c"}}, "exclude each other"),
        ({"protocol": "both"}, "protocol = 'both'"),
    ],
)
def test_configurations_that_cannot_work_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config(IngestConfig, values)


def test_importing_the_stages_loads_neither_torch_nor_polars() -> None:
    code = (
        "import sys, components.ingest.stage, components.ingest.collect, components.simulate.stage;"
        "heavy = {'torch', 'polars', 'pandas', 'sklearn', 'onnxruntime', 'fsspec'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
