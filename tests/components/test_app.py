"""Applications: found by name, their parts and configurations loaded on demand, and many requests in one batch."""

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from click.testing import CliRunner

import components.app
from components.app import Application, Codec, answer_requests, application_names, application_origins, load_application
from components.errors import ConfigError
from flows.__main__ import cli
from flows.checks import check_applications
from tests.installed import install

APP = """
from components.app import Application
from made_up_apps.{name}.settings import Config

APP = Application(
    name="{name}", title="{name}", package="made_up_apps.{name}", config=Config, train_config="not:used",
    data="made_up_apps.{name}.settings:Config", model="not:used", scorer="not:used", encoder="not:used",
)
"""
SETTINGS = """
from components.config import config_class

@config_class
class Config:
    seed: int = 0
"""


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two applications, a folder that is none, and a module that is no Application."""
    root = tmp_path / "made_up_apps"
    for name in ("spelling", "algebra"):
        folder = root / name
        (folder / "configs").mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "app.py").write_text(APP.format(name=name))
        (folder / "settings.py").write_text(SETTINGS)
        (folder / "codec.py").write_text("class Codec: ...")
        (folder / "README.md").write_text("card")
        (folder / "configs" / "small.toml").write_text("seed = 1")
        (folder / "configs" / "full.toml").write_text("seed = 2")
    (root / "__init__.py").write_text("")
    (root / "not_an_app").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "__init__.py").write_text("")
    (root / "broken" / "app.py").write_text("APP = 3")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    here = importlib.metadata.entry_points  # without homeroom's own, which count where it is installed
    monkeypatch.setattr(
        components.app,
        "entry_points",
        lambda group: [entry for entry in here(group=group) if not entry.value.startswith("flows.")],
    )
    yield root
    for name in [n for n in sys.modules if n.partition(".")[0] == "made_up_apps"]:
        del sys.modules[name]


def test_applications_are_the_folders_with_an_app_and_the_entry_points(
    apps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert application_names("made_up_apps") == ("algebra", "broken", "spelling")
    entry = EntryPoint(name="elsewhere", value="made_up_apps.spelling.app:APP", group="homeroom.apps")
    monkeypatch.setattr(components.app, "entry_points", lambda group: [entry] if group == "homeroom.apps" else [])
    assert application_names("made_up_apps") == ("algebra", "broken", "elsewhere", "spelling")
    assert application_origins("made_up_apps")["elsewhere"][0].target == "made_up_apps.spelling.app:APP"


@pytest.mark.usefixtures("apps")
def test_an_unknown_name_lists_what_there_is_and_a_wrong_object_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"No application 'history'; there are: algebra, broken, spelling"):
        load_application("history", "made_up_apps")
    with pytest.raises(ConfigError, match=r"'broken' of the folder made_up_apps .* is of type int; expected an App"):
        load_application("broken", "made_up_apps")


def test_an_entry_point_may_name_what_a_folder_holds_without_a_clash(
    apps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "site", "word-tools", {"spelling": "made_up_apps.spelling.app:APP"})
    assert load_application("spelling", "made_up_apps").name == "spelling"
    assert [str(one) for one in application_origins("made_up_apps")["spelling"]] == [
        "word-tools 1.0 (made_up_apps.spelling.app:APP)"
    ]


@pytest.mark.usefixtures("apps")
def test_two_applications_of_one_name_are_refused_with_both_distributions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, tmp_path / "one", "word-tools", {"reading": "made_up_apps.spelling.app:APP"})
    install(monkeypatch, tmp_path / "two", "more-words", {"reading": "somewhere.app:APP", "spelling": "other.app:APP"})
    with pytest.raises(
        ConfigError, match=r"'reading' is there 2 times: .*; expected once. Uninstall the others"
    ) as told:
        load_application("reading", "made_up_apps")
    assert "word-tools 1.0 (made_up_apps.spelling.app:APP)" in str(told.value)
    assert "more-words 1.0 (somewhere.app:APP)" in str(told.value)
    with pytest.raises(
        ConfigError, match=r"more-words 1.0 \(other.app:APP\) and the folder made_up_apps \(made_up_apps"
    ):
        load_application("spelling", "made_up_apps")


BROKEN = {
    "gone": ("no_such_package.app:APP", r"cannot be imported: ModuleNotFoundError: No module named 'no_such_package'"),
    "no_name": ("made_up_apps.spelling.app:APPLICATION", r"cannot be imported: AttributeError: .*'APPLICATION'"),
    "syntax": ("made_up_apps.crooked.syntax:APP", r"cannot be imported: SyntaxError: .*syntax.py, line 1"),
    "ends": ("made_up_apps.crooked.ends:APP", r"cannot be imported: SystemExit: 3"),
    "a_class": ("made_up_apps.spelling.settings:Config", r"is of type type; expected an Application, called APP"),
    "a_module": ("made_up_apps.spelling.app", r"is of type module; expected an Application"),
    "misnamed": ("made_up_apps.spelling.app:APP", r"calls itself 'spelling'; expected the same name in both places"),
    "elsewhere": (
        "made_up_apps.crooked.elsewhere:APP",
        r"names the package 'made_up_apps.crooked'; expected the package",
    ),
}
"""Entry point -> its target and what is said of it."""


@pytest.fixture
def broken(apps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose applications are all broken, each in its own way."""
    crooked = apps / "crooked"
    crooked.mkdir()
    (crooked / "__init__.py").write_text("")
    (crooked / "syntax.py").write_text("APP = (")
    (crooked / "ends.py").write_text("raise SystemExit(3)")
    (crooked / "elsewhere.py").write_text(
        "from dataclasses import replace\nfrom made_up_apps.spelling.app import APP\n"
        'APP = replace(APP, name="elsewhere", package="made_up_apps.crooked")\n'
    )
    targets = {name: target for name, (target, _) in BROKEN.items()}
    install(monkeypatch, tmp_path / "site", "crooked-apps", targets)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_application_is_refused_with_its_distribution_and_the_reason(name: str) -> None:
    target, reason = BROKEN[name]
    with pytest.raises(ConfigError, match=reason) as told:
        load_application(name, "made_up_apps")
    assert str(told.value).startswith(f"Application {name!r} of crooked-apps 1.0 ({target})")


@pytest.mark.usefixtures("broken")
def test_broken_applications_break_no_other() -> None:
    assert set(BROKEN) < set(application_names("made_up_apps"))
    assert load_application("algebra", "made_up_apps").name == "algebra"
    listed = CliRunner().invoke(cli, ["apps"])
    assert listed.exit_code == 0
    assert "knowledge_tracing\n  Knowledge tracing" in listed.output
    assert "gone\n  broken: Application 'gone' of crooked-apps 1.0" in listed.output
    checks = {check.name: check for check in check_applications()}
    assert checks["application knowledge_tracing"].ok
    assert not checks["application gone"].ok
    assert "crooked-apps 1.0" in checks["application gone"].finding


def test_an_application_knows_its_files_parts_and_configurations(apps: Path, tmp_path: Path) -> None:
    app = load_application("spelling", "made_up_apps")
    assert app.folder == apps / "spelling"
    assert app.codec_files() == {"codec.py": apps / "spelling" / "codec.py"}
    assert app.card_file.read_text() == "card"
    assert app.codec().__module__ == "made_up_apps.spelling.codec"
    assert app.part(app.data).__name__ == "Config"
    assert app.configurations() == ("full", "small")
    assert app.configuration("small").seed == 1
    assert app.configuration("full", ["seed=7"]).seed == 7
    own = tmp_path / "own.toml"
    own.write_text("seed = 5")
    assert app.configuration(str(own)).seed == 5
    with pytest.raises(ConfigError, match=r"spelling has no configuration 'large'; it has full, small. Name one of"):
        app.configuration("large")


def test_a_codec_may_be_a_package_elsewhere(apps: Path) -> None:
    shared = apps / "shared"
    (shared / "inner").mkdir(parents=True)
    (shared / "inner" / "__init__.py").write_text("from .core import Codec")
    (shared / "inner" / "core.py").write_text("class Codec: ...")
    (shared / "__init__.py").write_text("")
    app = replace(load_application("spelling", "made_up_apps"), codec_name="made_up_apps.shared.inner")
    assert app.codec().__module__ == "made_up_apps.shared.inner.core"
    files = {name: path.read_text() for name, path in app.codec_files().items()}
    assert files == {"codec/__init__.py": "from .core import Codec", "codec/core.py": "class Codec: ..."}
    lost = replace(app, codec_name="made_up_apps.nothing")
    with pytest.raises(ConfigError, match=r"spelling has no codec made_up_apps.nothing; give it a file of this name"):
        lost.codec_files()


@pytest.mark.usefixtures("apps")
def test_a_package_without_init_is_refused() -> None:
    app = replace(load_application("spelling", "made_up_apps"), package="made_up_apps.not_an_app")
    with pytest.raises(ConfigError, match=r"not_an_app has no folder; give it an __init__.py"):
        _ = app.folder


class Doubling:
    """A codec of numbers: a request is a list of numbers, a row is one of them, the answer is their doubles."""

    def to_json(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls()

    def encode(self, request: Any) -> Sequence[Any]:
        if not request:
            raise ValueError("empty")
        return list(request)

    def batch(self, rows: Sequence[Any]) -> dict[str, Any]:
        return {"x": np.array(rows)}

    def decode(self, request: Any, rows: Sequence[Any], outputs: Sequence[Mapping[str, Any]]) -> Any:
        return [(row, float(out["double"])) for row, out in zip(rows, outputs, strict=True)]

    def golden_requests(self, count: int, seed: int) -> Sequence[Any]:
        return []


def test_requests_are_answered_in_one_batch_and_each_gets_its_own_rows() -> None:
    codec = Doubling()
    assert isinstance(codec, Codec)
    sizes: list[int] = []

    def run_model(inputs: dict[str, Any]) -> dict[str, Any]:
        sizes.append(len(inputs["x"]))
        return {"double": inputs["x"] * 2}

    assert answer_requests(codec, run_model, [[1, 2], [3], [4, 5, 6]]) == [
        [(1, 2.0), (2, 4.0)],
        [(3, 6.0)],
        [(4, 8.0), (5, 10.0), (6, 12.0)],
    ]
    assert sizes == [6]
    assert answer_requests(codec, run_model, []) == []
    with pytest.raises(ValueError, match="empty"):
        answer_requests(codec, run_model, [[1], []])


def test_the_repositorys_own_applications_are_found_by_folder() -> None:
    assert "knowledge_tracing" in application_names()
    assert isinstance(load_application("knowledge_tracing"), Application)
