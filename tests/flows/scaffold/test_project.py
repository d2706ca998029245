"""The files of a new project, where they may be written, and that a failure leaves none."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import flows
from components.app import load_application
from components.errors import StoreError
from components.stage import Runner
from components.store import Store
from components.train.stage import train
from flows.__main__ import cli, main
from flows.scaffold import project
from flows.scaffold.project import new_project, project_files, write_whole
from tests.installed import install

OWN = tuple(sorted(path.parent.name for path in Path(str(flows.__file__)).parent.glob("*/app.py")))


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("like", OWN)
def test_the_project_is_a_package_with_an_entry_point_a_test_and_the_models_files(like: str, tmp_path: Path) -> None:
    files = new_project("reading_lab", like, tmp_path / "lab")
    assert below(tmp_path / "lab") == set(files)
    model = {path for path in below(load_application(like).folder) if "__pycache__" not in path}
    assert {path.removeprefix("src/reading_lab/") for path in files if path.startswith("src/")} == model
    about = tomllib.loads((tmp_path / "lab" / "pyproject.toml").read_text())
    assert about["project"]["name"] == "reading-lab"
    assert about["project"]["dependencies"] == ["homeroom"]
    assert about["project"]["entry-points"]["homeroom.apps"] == {"reading_lab": "reading_lab.app:APP"}
    assert about["tool"]["setuptools"]["package-data"]["*"] == ["*.md", "*.toml"]
    test = (tmp_path / "lab" / "tests" / "test_contract.py").read_text()
    assert 'class TestReadingLab(ApplicationContract):\n    application = "reading_lab"' in test
    readme = (tmp_path / "lab" / "README.md").read_text()
    assert f"begun as a copy of `{like}`" in readme
    card = (tmp_path / "lab" / "src" / "reading_lab" / "README.md").read_text()
    assert card.startswith("# Model card: reading lab")
    assert "Measured" not in card


def test_the_command_writes_into_a_folder_of_the_name_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["new", "reading_lab", "--like", "essay_grading"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "pip install --no-deps -e reading_lab" in done.output
    assert (tmp_path / "reading_lab" / "src" / "reading_lab" / "app.py").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["new", "reading-lab", "--like", "essay_grading"], 2, "it is no Python identifier"),
        (["new", "reading_lab", "--like", "history"], 2, "No application 'history'; there are: essay_grading"),
        (["new", "reading_lab"], 2, "--like"),
        (
            ["new", "reading_lab", "--like", "essay_grading", "--into", "full"],
            2,
            "full holds 1 entries; expected a new",
        ),
        (["new", "reading_lab", "--like", "essay_grading", "--into", "file"], 2, "file is no folder; expected a new"),
        (["new", "reading_lab", "--like", "essay_grading", "--into", "dangling"], 2, "dangling is no folder"),
        (["new", "reading_lab", "--like", "essay_grading", "--into", "s3://bucket/x"], 2, "is an address; expected"),
        (["new", "reading_lab", "--like", "essay_grading", "--into", "file/below"], 4, "could not be written"),
    ],
)
def test_wrong_use_is_told_and_writes_nothing(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_used_and_stays_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab").mkdir()
    number = (tmp_path / "lab").stat().st_ino
    monkeypatch.chdir(tmp_path / "lab")
    new_project("reading_lab", "essay_grading", Path())
    assert (tmp_path / "lab").stat().st_ino == number
    assert {path.name for path in Path().iterdir()} == {
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src",
        "tests",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["lab"]


class FailingRename:
    """Lets `count` files be moved, then the disk is full."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.real = Path.rename

    def __call__(self, path: Path, target: Path) -> Path:
        if not self.left:
            raise OSError(28, "No space left on device")
        self.left -= 1
        return self.real(path, target)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("moves", [0, 2])
def test_a_failure_leaves_nothing(is_there: bool, moves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "some" / "lab"
    if is_there:
        target.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    failing = FailingRename(moves if is_there else 0)
    monkeypatch.setattr(Path, "rename", lambda path, target: failing(path, target))
    with pytest.raises(StoreError, match="lab could not be written"):
        write_whole({"a/b.txt": b"1", "c.txt": b"2", "d.txt": b"3"}, target)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interruption_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = Path.write_bytes, list[str]()

    def interrupted(path: Path, body: bytes) -> int:
        written.append(path.name)
        if len(written) == 5:
            raise KeyboardInterrupt
        return real(path, body)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_project("reading_lab", "essay_grading", tmp_path / "deep" / "lab")
    assert len(written) == 5
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_another_distributions_application_depends_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_project("first_lab", "essay_grading", tmp_path / "first")
    monkeypatch.syspath_prepend(str(tmp_path / "first" / "src"))
    install(monkeypatch, tmp_path / "site", "first-lab", {"first_lab": "first_lab.app:APP"})
    about = tomllib.loads(project_files("second_lab", "first_lab")["pyproject.toml"].decode())
    assert about["project"]["dependencies"] == ["homeroom", "first-lab"]
    assert project.TEMPLATES.keys() <= project_files("second_lab", "first_lab").keys()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project `key_lab` like knowledge tracing, on the path with its entry point."""
    new_project("key_lab", "knowledge_tracing", tmp_path / "lab")
    monkeypatch.syspath_prepend(str(tmp_path / "lab" / "src"))
    install(monkeypatch, tmp_path / "site", "key-lab", {"key_lab": "key_lab.app:APP"})
    return tmp_path / "lab"


def test_a_key_hangs_on_the_applications_own_code_and_on_nothing_else_of_the_project(lab: Path, tmp_path: Path) -> None:
    application = load_application("key_lab")
    assert application.folder == lab / "src" / "key_lab"

    def code() -> dict[str, str]:
        parts = Runner(Store(tmp_path / "store"), application).key_parts(train, [], [])["code"]
        assert isinstance(parts, dict)
        return {name: str(digest) for name, digest in parts.items()}

    first = code()
    assert {"key_lab.app", "key_lab.model", "key_lab.codec", "key_lab.networks.dkt"} <= first.keys()
    assert "components.train.fit" in first
    assert not [name for name in first if name.startswith("flows.knowledge_tracing")]
    for unrelated in ("README.md", "tests/test_contract.py", "src/key_lab/README.md", "src/key_lab/configs/full.toml"):
        with (lab / unrelated).open("a") as stream:
            stream.write("\n# changed\n")
    (lab / "src" / "key_lab_tools.py").write_text("")
    assert code() == first
    for module in ("model", "networks/dkt"):
        with (lab / "src" / "key_lab" / f"{module}.py").open("a") as stream:
            stream.write("\n# changed\n")
        now, name = code(), f"key_lab.{module.replace('/', '.')}"
        assert {one for one in now if now[one] != first.get(one)} == {name}
        first = now
