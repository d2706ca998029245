"""What is launched, as a value and as JSON."""

import json

import pytest

from components.errors import ConfigError
from components.launch.local import LocalLauncher
from components.launch.spec import LaunchSpec


def test_a_spec_survives_json() -> None:
    spec = LaunchSpec(
        module="a.b", folder="/f", args=("x", "1"), processes_per_node=2, max_restarts=3, env={"A": "b"}, timeout_s=1.5
    )
    assert json.loads(spec.to_json())["args"] == ["x", "1"]
    assert LaunchSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"module": "rm -rf"}, "module='rm -rf' must be the import name"),
        ({"processes_per_node": 0}, "processes_per_node=0 must be at least 1"),
        ({"max_restarts": -1}, "max_restarts=-1 must be at least 0"),
        ({"nodes_min": 3, "nodes_max": 2}, "nodes_max=2 must be at least nodes_min=3"),
        ({"exchange_timeout_s": 0.0}, "exchange_timeout_s=0.0 must be more than 0"),
        ({"join_timeout_s": -1.0}, "join_timeout_s=-1.0 must be more than 0"),
        ({"timeout_s": 0.0}, "timeout_s=0.0 must be more than 0"),
    ],
)
def test_a_job_that_cannot_be_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LaunchSpec(**{"module": "a.b", "folder": "/f", **given})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"module": "a", "folder": "f", "more": 1}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no job to launch"):
        LaunchSpec.from_json(text)


def test_one_machine_runs_no_job_for_several(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"has one machine\. Got nodes 1 to 2"):
        LocalLauncher().submit(LaunchSpec(module="a", folder=f"{tmp_path}/job", nodes_max=2))
