"""The build context: it holds the release and runs on its own, without torch and without the rest of homeroom."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from components.bundle import read_bundle_manifest
from components.errors import DigestMismatchError
from serving.build import write_build_context
from serving.pages import FOLDER
from tests.serving.bundles import KEY, OTHER_KEY, request_of, write_bundle


@pytest.fixture
def context(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "release", key=KEY)
    write_build_context(tmp_path / "release", tmp_path / "context", KEY)
    return tmp_path / "context"


def test_the_release_is_copied_whole_and_still_signed(context: Path) -> None:
    assert read_bundle_manifest(context / "release", KEY).signature == "verified"


def test_the_page_is_carried_whole(context: Path) -> None:
    names = {path.name for path in (context / "serving" / "page").iterdir()}
    assert names == {path.name for path in FOLDER.iterdir()}
    assert {"teacher.html", "style.css", "main.js"} <= names


def test_requirements_are_pinned_and_hold_no_torch(context: Path) -> None:
    lines = (context / "requirements.txt").read_text().splitlines()
    assert f"bentoml=={version('bentoml')}" in lines
    assert f"onnxruntime=={version('onnxruntime')}" in lines
    assert all("==" in line for line in lines)
    assert not [line for line in lines if line.startswith(("torch", "prefect", "polars", "onnx="))]


def test_the_bentofile_names_service_release_and_files_that_exist(context: Path) -> None:
    bento = yaml.safe_load((context / "bentofile.yaml").read_text())
    assert bento["service"] == "release_service:Service"
    assert bento["labels"]["release"] == read_bundle_manifest(context / "release", None).version
    assert all(list(context.glob(pattern)) for pattern in bento["include"])


@pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")  # BentoML's own
def test_a_bento_gets_every_file_that_its_service_needs(context: Path) -> None:
    from bentoml._internal.bento.build_config import BentoPathSpec  # warns as it is imported

    bento = yaml.safe_load((context / "bentofile.yaml").read_text())
    taken = BentoPathSpec(bento["include"], [], str(context))
    there = {path.relative_to(context).as_posix() for path in context.rglob("*") if path.is_file()}
    left_out = {path for path in there if not taken.includes(path)}
    assert left_out == {".dockerignore", "Dockerfile", "bentofile.yaml", "requirements.txt"}  # read where it builds


def test_the_dockerfile_runs_as_a_user_and_copies_only_what_is_there(context: Path) -> None:
    lines = (context / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY")]
    assert copied == ["requirements.txt", "release_service.py", "components", "serving", "release"]
    assert all((context / name).exists() for name in copied)
    assert "USER homeroom" in lines
    assert "FROM python:3.11-slim" in lines
    assert "ORT_DISABLE_TELEMETRY=1" in (context / "Dockerfile").read_text()
    command = json.loads(lines[-1].removeprefix("CMD "))
    assert command[:3] == ["bentoml", "serve", "release_service:Service"]


def test_a_changed_release_or_a_used_folder_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "release", key=KEY)
    with pytest.raises(DigestMismatchError):
        write_build_context(tmp_path / "release", tmp_path / "context", OTHER_KEY)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("")
    with pytest.raises(FileExistsError, match="not empty"):
        write_build_context(tmp_path / "release", tmp_path / "used")


SCRIPT = """
import asyncio, importlib.abc, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "prefect", "polars", "sklearn", "flows", "trainer", "onnx"}:
            raise ImportError(f"{name} is not in the image")
        return None

sys.meta_path.insert(0, Blocked())
import httpx
from release_service import Service

async def main():
    app = Service.to_asgi()
    async with app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            ready = await client.get("/readyz")
            answer = await client.post("/v1/predict", content=sys.argv[1])
            docs = await client.get("/docs.json")
    schema = docs.json()["components"]["schemas"]["Request"]
    print(json.dumps([ready.status_code, answer.status_code, answer.json(), schema]))

asyncio.run(main())
assert "torch" not in sys.modules
import serving, components
assert serving.__file__.startswith(sys.argv[2]), serving.__file__
"""


def test_the_service_answers_from_the_context_alone_with_torch_forbidden(context: Path, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(context),
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(request_of(3)), str(context)],
        cwd=context,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ready, status, answer, schema = json.loads(done.stdout.splitlines()[-1])
    assert (ready, status) == (200, 200)
    assert answer["release"] == read_bundle_manifest(context / "release", None).version
    assert answer["answer"]["steps_used"] == 3
    assert not (tmp_path / ".cache").exists(), "telemetry of ONNX Runtime"
    assert set(schema["properties"]) == {"candidates", "history"}
