"""Nothing that is loaded can run code: no pickle in the sources that read files or requests, none in a bundle."""

import ast
import pickletools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from flows.checks import ADVISORIES, check_advisory
from tests.conftest import Released

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("serving", "components", "flows")
FORBIDDEN = frozenset(
    {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
)
"""Modules whose loaders run what they read. There are no exceptions in these packages."""
TRAINER_PICKLES = {
    "trainer/launching/spawning.py": "hands work to processes of its own, through memory",
    "trainer/checkpoints/sharded/exchange.py": "between the processes of one run, never from a file",
    "trainer/checkpoints/sharded/reading.py": "knows the few names of a sharded checkpoint and no other",
    "trainer/checkpoints/files.py": "names the error that torch.load(weights_only=True) raises",
    "trainer/utilities/parsing.py": "writes, to see whether something can be sent to another process; reads nothing",
}
"""No server and no stage that reads others' files comes here; each with its reason."""


def sources(*packages: str) -> Iterator[tuple[str, ast.AST]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}:
            yield from ((node.lineno, str(one.value)) for one in node.args[:1] if isinstance(one, ast.Constant))


def unsafe_loads(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield calls that could unpickle: by name, as `torch.load` and `np.load` are written here."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = ast.unparse(node.func)
        given = {one.arg: ast.unparse(one.value) for one in node.keywords}
        if named.endswith("torch.load") and given.get("weights_only") != "True":
            yield node.lineno, "torch.load without weights_only=True"
        if named.split(".")[-1] in {"load", "fromfile", "loadtxt"} and given.get("allow_pickle", "False") != "False":
            yield node.lineno, "allow_pickle"
        if named in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "pd.read_pickle"}:
            yield node.lineno, named
        if named in {"eval", "exec"}:
            yield node.lineno, named
        if given.get("shell") == "True" or named == "os.system":
            yield node.lineno, "a shell"


def test_no_source_imports_what_runs_what_it_reads() -> None:
    trees = list(sources(*PACKAGES))
    assert len(trees) > 200, "nothing was read"
    found = [
        (path, line, name) for path, tree in trees for line, name in imported(tree) if name.split(".")[0] in FORBIDDEN
    ]
    assert found == []
    own = {path for path, tree in sources("trainer") for _, name in imported(tree) if name.split(".")[0] in FORBIDDEN}
    assert own == set(TRAINER_PICKLES)


def test_no_call_can_unpickle_or_run_text() -> None:
    found = [(path, line, what) for path, tree in sources(*PACKAGES, "trainer") for line, what in unsafe_loads(tree)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=given)",
        "yaml.load(x)",
        "eval(x)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_the_scan_sees_what_it_looks_for(line: str) -> None:
    assert list(unsafe_loads(ast.parse(line)))
    assert not list(unsafe_loads(ast.parse("torch.load(x, weights_only=True); np.load(x, mmap_mode='r')")))
    assert {name for _, name in imported(ast.parse("import pickle; from joblib import load; __import__('dill')"))} == {
        "pickle",
        "joblib",
        "dill",
    }


def is_pickle(body: bytes) -> bool:
    """Return whether bytes are one whole pickle, from the first opcode to the last."""
    try:
        *_, (last, _, at) = pickletools.genops(body)
    except Exception:  # whatever else it is
        return False
    return last.name == "STOP" and at == len(body) - 1


def test_a_bundle_holds_no_pickle(released_essays: Released) -> None:
    import pickle
    import zipfile

    assert is_pickle(pickle.dumps({"a": [1]}))
    assert is_pickle(pickle.dumps({"a": [1]}, 0))
    release = released_essays.summary.outcome.release
    folder = released_essays.settings.open_store().folder(release)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"bundle.json", "model.onnx"} <= {path.name for path in files}
    assert {path.suffix for path in files} <= {".json", ".py", ".onnx", ".md", ".html", ".toml", ".npy", ".png", ".svg"}
    for path in files:
        body = path.read_bytes()
        assert not is_pickle(body), path.name
        assert not zipfile.is_zipfile(path), f"{path.name}: torch and numpy keep pickles in zip files"
    for tree in (ast.parse(path.read_text()) for path in files if path.suffix == ".py"):
        assert not [name for _, name in imported(tree) if name.split(".")[0] in FORBIDDEN]
        assert not list(unsafe_loads(tree))


def test_what_is_required_and_pinned_is_above_the_known_advisories() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {r.name.lower(): r for r in map(Requirement, project["dependencies"])}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name.lower(): Version(number) for name, _, number in (line.partition("==") for line in lines) if number}
    assert {one.name for one in ADVISORIES} >= {"bentoml", "torch"}
    for one in ADVISORIES:
        assert one.advisory.startswith(("CVE-", "GHSA-"))
        assert pinned[one.name] >= Version(one.fixed)
        if one.name in required:
            below = Version(one.fixed).release
            last_bad = (
                f"{'.'.join(map(str, below[:-1]))}.{below[-1] - 1}" if below[-1] else f"{below[0]}.{below[1] - 1}.999"
            )
            assert not required[one.name].specifier.contains(last_bad), f"{required[one.name]} lets {last_bad} in"
        assert check_advisory(one).ok
