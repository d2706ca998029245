"""`homeroom build`: the Bento and the image's command really start and answer as the release; what it warns of."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner, Result

from flows.__main__ import cli
from serving.health import differences
from serving.run import free_port
from tests.conftest import Released
from tests.e2e.installed import within

BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "prefect", "polars", "sklearn", "flows", "trainer", "onnx"}:
            raise ImportError(f"{name} is not in the image")
        return None

sys.meta_path.insert(0, Blocked())
"""


def homeroom(released: Released, *words: str) -> Result:
    places = {"HOMEROOM_STORE": released.settings.store, "HOMEROOM_KEYS": str(released.settings.keys)}
    return CliRunner().invoke(cli, words, env=places)


@contextmanager
def running(words: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a command in a session of its own, and end all of it."""
    log = folder / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words, cwd=folder, env=dict(environment), stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield
        finally:
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for one in below:
                if one.is_running():
                    one.kill()


@pytest.fixture(scope="module")
def built(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """Return a context, the environment of a machine that has its packages alone, and the Bento's tag."""
    home = tmp_path_factory.mktemp("built")
    (home / "site").mkdir()
    (home / "site" / "sitecustomize.py").write_text(BLOCKED)
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "OMP_NUM_THREADS": "1",
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(home / "site"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", environment["BENTOML_HOME"])
        words = ("build", "knowledge_tracing", "--to", str(home / "context"), "--bento", "--json")
        result = homeroom(released, *words)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["release"] == released.summary.outcome.release.version
    return Path(told["folder"]), environment, told["bento"]


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["bento", "image"])
def test_it_starts_and_answers_as_the_release(
    kind: str, built: tuple[Path, dict[str, str], str], released: Released, tmp_path: Path
) -> None:
    context, environment, tag = built
    version = released.summary.outcome.release.version
    dockerfile = (context / "Dockerfile").read_text()
    port = str(free_port())
    if kind == "bento":
        assert tag == version.replace("knowledge_tracing-", "knowledge_tracing:")
        words = ["bentoml", "serve", tag, "--host", "127.0.0.1", "--port", port]
        folder = tmp_path
    else:
        words = json.loads(dockerfile.splitlines()[-1].removeprefix("CMD "))
        words = [{"0.0.0.0": "127.0.0.1", "3000": port}.get(word, word) for word in words]
        folder = context
        named = re.findall(r"^ENV (.*?)(?<!\\)$", dockerfile, re.M | re.S)[0].replace("\\\n", " ")
        given = dict(pair.split("=", 1) for pair in shlex.split(named))
        environment = {**environment, **given, "BENTOML_HOME": str(tmp_path / "bentoml")}
    url = f"http://127.0.0.1:{port}"
    with running(words, folder, environment), httpx.Client(base_url=url, trust_env=False) as client:

        def ready() -> bool:
            try:
                return client.get("/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        within(90, ready, f"it is ready: {(folder / 'server.log').read_text()[-3000:]}")
        bundle = released.bundle()
        for case in bundle.golden[:3]:
            answer = client.post("/v1/predict", json=bundle.requests.plain(case.request)).json()
            assert answer["release"] == version
            assert list(differences(case.answer, answer["answer"], bundle.manifest.golden_tolerance)) == []
        check = json.loads(re.findall(r"HEALTHCHECK.*?CMD (\[.*?\])$", dockerfile, re.M | re.S)[0])
        assert check[0] == "python"
        for asked, code in ((port, 0), (str(free_port()), 1)):
            done = subprocess.run(
                [word.replace("3000", asked) for word in check], env=environment, capture_output=True, check=False
            )
            assert done.returncode == code


@pytest.mark.soak
def test_a_second_bento_of_one_release_and_a_used_folder_are_refused(
    built: tuple[Path, dict[str, str], str], released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, environment, tag = built
    monkeypatch.setenv("BENTOML_HOME", environment["BENTOML_HOME"])
    result = homeroom(released, "build", "knowledge_tracing", "--to", str(context))
    assert "is not empty; name a new folder" in str(result.exception)
    result = homeroom(released, "build", "knowledge_tracing", "--to", str(tmp_path / "again"), "--bento")
    assert f"bentoml delete {tag}" in str(result.exception)
    assert "already exists" in str(result.exception)
