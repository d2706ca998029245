"""docs/how-to/new-application.md: its project is made and changed as the page says, and passes its own tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.__main__ import main
from tests.docs.pages import Page
from tests.installed import install

PAGE = Page.named("new-application")
ROOT = Path(__file__).resolve().parents[2]


def changed(text: str, lines: list[str]) -> str:
    """Return `text` after the hunks of a diff without places: unchanged and old lines that follow each other."""
    hunks: list[tuple[list[str], list[str]]] = []
    before = ""
    for line in lines:
        if not hunks or (before == "+" and line[0] != "+"):
            hunks.append(([], []))
        if line[0] in " -":
            hunks[-1][0].append(line[1:])
        if line[0] in " +":
            hunks[-1][1].append(line[1:])
        before = line[0]
    for old, new in hunks:
        was, becomes = ("".join(f"{line}\n" for line in part) for part in (old, new))
        assert text.count(was) == 1, was
        text = text.replace(was, becomes)
    return text


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """Follow the page: its first command, then its files and changes from top to bottom."""
    monkeypatch.chdir(tmp_path)
    command = re.findall(r"```sh\nhomeroom (.*?)\n```", PAGE.text)[0]
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 0, capsys.readouterr().err
    folder = tmp_path / "mastery_lab"
    for kind, block in re.findall(r"```(python|toml|diff)\n(.*?)```", PAGE.text, re.S):
        head, _, body = block.partition("\n")
        path = folder / head.removeprefix("# ").removeprefix("--- ")
        path.write_text(changed(path.read_text(), body.splitlines()) if kind == "diff" else body)
    return folder


def test_the_commands_for_the_first_hour_are_those_that_the_command_line_names(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = capsys.readouterr().out
    assert "pip install --no-deps -e mastery_lab" in said
    assert "pip install --no-deps -e mastery_lab" in PAGE.text
    assert (project / "src" / "mastery_lab" / "networks" / "factors.py").is_file()


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_project_of_the_page_passes_its_tests(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "site", "mastery-lab", {"mastery_lab": "mastery_lab.app:APP"})
    path = os.pathsep.join(map(str, (ROOT, project / "src", tmp_path / "site")))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "mastery_lab"],
        cwd=tmp_path,  # where the page's commands are given: the project's folder lies here under the package's name
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "12 passed" in done.stdout
