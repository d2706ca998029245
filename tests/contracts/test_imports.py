"""What importing a part may load: a second run, the command line's help and the service depend on it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    "ingest",
    "preprocess",
    "leakage",
    "train",
    "evaluate",
    "fairness",
    "export",
    "deploy",
    "simulate",
    "writing.ingest",
    "writing.leakage",
)


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after `statement`."""
    script = f"{statement}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(out.stdout.split())


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_can_be_skipped_without_its_libraries(name: str) -> None:
    loaded = loaded_by(f"import components.{name}.stage, components.{name}.config")
    assert not loaded & {"torch", "polars", "sklearn", "onnxruntime", "onnx", "prefect", "bentoml"}


def test_the_stage_of_simulated_writing_can_be_skipped_too() -> None:
    loaded = loaded_by("import components.simulate.writing_stage, components.simulate.writing_config")
    assert not loaded & {"torch", "polars", "numpy", "sklearn", "prefect", "bentoml"}


def test_the_chain_and_the_application_load_nothing_heavy() -> None:
    loaded = loaded_by("import flows.operations, flows.knowledge_tracing.app, flows.report, flows.cli.run")
    heavy = {"torch", "polars", "sklearn", "onnxruntime", "onnx", "prefect", "bentoml", "fastapi", "matplotlib"}
    assert not loaded & heavy


def test_an_artifact_needs_the_standard_library_only() -> None:
    loaded = loaded_by("import components.artifacts")
    assert not loaded & {"torch", "polars", "numpy", "fsspec", "pydantic", "prefect", "bentoml"}


def test_help_loads_no_command() -> None:
    loaded = loaded_by("from flows.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    assert not loaded & {"torch", "polars", "numpy", "fsspec", "pydantic", "prefect", "bentoml"}


def test_the_trainer_is_cheap_until_it_is_used() -> None:
    assert "torch" not in loaded_by("import trainer")


@pytest.mark.parametrize("package", ["flows", "components", "serving"])
def test_packages_that_must_stay_empty_are(package: str) -> None:
    assert (ROOT / package / "__init__.py").read_text().strip() == ""
