"""Projects of `homeroom new` as their owners use them: installed with pip beside homeroom, run, changed, tested."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.store import Store
from flows.contract import writing
from flows.scaffold.project import new_project

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Place:
    """An environment of its own with homeroom in it, and a working folder."""

    home: Path

    @property
    def python(self) -> Path:
        return self.home / "venv" / "bin" / "python"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "HOMEROOM_STORE": str(self.home / "store"),
            "HOMEROOM_KEYS": str(self.home / "keys"),
            "HOMEROOM_CACHE": str(self.home / "cache"),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def make(self) -> None:
        """Make the environment: its own place for packages, with this interpreter's packages behind it."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.home / "venv")], check=True)
        [site] = (self.home / "venv" / "lib").glob("python3*/site-packages")
        (site / "behind.pth").write_text(sysconfig.get_path("purelib"))

    def install(self, project: Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "-q"]
        self.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(project)])

    def homeroom(self, *arguments: str) -> str:
        return self.run([str(self.python), "-m", "flows", *arguments])

    def run(self, command: list[str], folder: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=folder or self.home, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def test(self, project: Path) -> str:
        """Run the project's own tests, with warnings as errors."""
        return self.run([str(self.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"], project)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.make()
    return found


@pytest.mark.soak
def test_a_project_like_essay_grading_is_installed_run_changed_and_tested(place: Place, tmp_path: Path) -> None:
    project = tmp_path / "reading_lab"  # all commands are given beside it, where it must not hide the package
    place.homeroom("new", "reading_lab", "--like", "essay_grading")
    place.install(project)
    listed = place.homeroom("apps")
    assert "reading_lab\n  Reading lab: a score on the rubric's own scale" in listed
    assert "broken" not in listed

    logs = writing.made_up_data(Store(tmp_path / "made-up"), tmp_path)
    asked = ["reading_lab", "--data", str(logs), "--config", "small"]
    asked += [part for text in writing.OVERRIDES for part in ("--set", text)]
    first = json.loads(place.homeroom("run", *asked, "--no-prefect", "--json"))
    assert {stage["status"] for stage in first["stages"]} == {"finished"}
    assert first["release"]["promoted"] is True
    manifest = json.loads(next((tmp_path / "store" / "artifacts").glob("*/bundle.json")).read_text())
    assert manifest["application"] == "reading_lab"
    assert manifest["signature"]

    for unrelated in ("README.md", "src/reading_lab/README.md", "tests/test_contract.py"):
        with (project / unrelated).open("a") as stream:
            stream.write("\n# changed\n")
    before = json.loads(place.homeroom("stage", "train", *asked))
    assert before["ref"]["sha256"] == first["artifacts"]["train"]["sha256"]
    with (project / "src" / "reading_lab" / "model.py").open("a") as stream:
        stream.write("\n# changed\n")
    assert "reading_lab.model" in place.homeroom("explain", "train", *asked)
    after = json.loads(place.homeroom("stage", "train", *asked))
    assert after["lineage"]["code"] != before["lineage"]["code"]
    assert after["lineage"]["started_utc"] > before["lineage"]["started_utc"]

    assert "10 passed" in place.test(project)


@pytest.mark.soak
def test_a_project_like_knowledge_tracing_passes_the_contract(place: Place, tmp_path: Path) -> None:
    """It trains in a process of its own, with code of its own, and releases its own codec."""
    project = tmp_path / "tracing_lab"
    new_project("tracing_lab", "knowledge_tracing", project)
    place.install(project)
    assert "10 passed" in place.test(project)
    shutil.rmtree(project / "src")
    assert "tracing_lab\n  broken: Application 'tracing_lab' of tracing-lab 0.1.0" in place.homeroom("apps")
