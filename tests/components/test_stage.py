"""The stage runner: what is a hit and what is not, what a key is made of, and what a stage may use.

Over 400 lines: one bench serves all, and each claim about keys is a short test of its own.
"""

import importlib
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import components.stage
from components.app import Application
from components.artifacts import Checkpoint, Evaluation, FairnessReport, Lineage, StudentLogs
from components.config import config_class
from components.errors import PipelineError
from components.secrets import SecretKey
from components.signing import SigningKey
from components.stage import PENDING, Runner, StageEvent, Work, WouldRun, spec_of, stage
from components.store import Store

STAGE = '''
"""A stage in a package of its own."""
from components.artifacts import FairnessReport, StudentLogs
from components.stage import PENDING, Work, stage
from made_up_stages.config import Config

@stage("count", libraries=("numpy", "no-such-library"), also=("made_up_stages.child",))
def count(work: Work, logs: StudentLogs, config: Config) -> FairnessReport:
    from made_up_stages.factor import FACTOR
    out = work.output()
    text = (work.folder(logs) / "rows.txt").read_text()
    (out / "count.txt").write_text(str(len(text) * FACTOR * config.inner.times))
    return work.publish(FairnessReport(ref=PENDING, lineage=work.lineage, verdict="pass"), out)
'''
FILES = {
    "__init__.py": "",
    "config.py": """
from components.config import config_class
@config_class
class Inner:
    times: int = 1
@config_class
class Config:
    inner: Inner = Inner()
    seed: int = 0
""",
    "counting.py": STAGE,
    "factor.py": "from made_up_stages.deep import FACTOR",
    "deep.py": "FACTOR = 1",
    "child.py": "import made_up_stages.grandchild",
    "grandchild.py": "",
    "unrelated.py": "",
    "README.md": "read me",
}


def forget(package: str) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        del sys.modules[name]


@dataclass
class Bench:
    """A stage package, a store with one input, and what happened."""

    root: Path
    store: Store
    logs: StudentLogs
    events: list[StageEvent] = field(default_factory=list)

    def edit(self, name: str, text: str) -> None:
        (self.root / "made_up_stages" / name).write_text(text)

    def runner(self, store: Store | None = None, **options: Any) -> Runner:
        return Runner(store or self.store, observe=self.events.append, **options)

    def arguments(self, **config: Any) -> tuple[Any, Any]:
        """Import the stage anew, as a new process would, and return it with a configuration."""
        forget("made_up_stages")
        importlib.invalidate_caches()
        module = importlib.import_module("made_up_stages.counting")
        kind = importlib.import_module("made_up_stages.config")
        inner = kind.Inner(times=config.pop("times", 1))
        return module.count, kind.Config(inner=inner, **config)

    def run(self, logs: StudentLogs | None = None, store: Store | None = None, **config: Any) -> str:
        """Run the stage once and return `ran` or `skipped`."""
        count, made = self.arguments(**config)
        self.runner(store)(count, logs or self.logs, made)
        return {"finished": "ran", "skipped": "skipped"}[self.events[-1].status]

    def explain(self, logs: StudentLogs | None = None, **config: Any) -> list[str]:
        count, made = self.arguments(**config)
        return self.runner().explain(count, logs or self.logs, made)


def publish_logs(store: Store, folder: Path, text: str = "one two") -> StudentLogs:
    folder.mkdir(parents=True)
    (folder / "rows.txt").write_text(text)
    draft = StudentLogs(
        ref=PENDING,
        lineage=Lineage(stage="ingest"),
        rows=1,
        students=1,
        items=1,
        skills=1,
        quarantined=0,
        layout="fake",
        protocol="problem",
        pseudonym_key_id="0" * 16,
    )
    return store.publish(draft, folder)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    root = tmp_path / "code"
    (root / "made_up_stages").mkdir(parents=True)
    store = Store(tmp_path / "store")
    made = Bench(root=root, store=store, logs=publish_logs(store, tmp_path / "logs"))
    for name, text in FILES.items():
        made.edit(name, text)
    monkeypatch.syspath_prepend(str(root))
    # the same text in the same second would keep its compiled file: always compile
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield made
    forget("made_up_stages")


# -- hits ------------------------------------------------------------------------------------------------------------


def test_the_second_run_is_skipped_also_in_another_store_object(bench: Bench) -> None:
    assert bench.run() == "ran"
    assert bench.run() == "skipped"
    assert bench.run(store=Store(bench.store.url)) == "skipped"
    assert bench.events[-1].reason.startswith("same inputs, configuration, code and libraries")


def test_what_a_result_took_to_make_is_told_also_when_it_is_there(bench: Bench) -> None:
    assert bench.run() == "ran"
    made = bench.events[-1]
    assert made.made_s == made.seconds
    assert made.made_s is not None
    assert made.made_cpu_s is not None
    assert 0.0 <= made.made_cpu_s < 60.0
    assert bench.run() == "skipped"
    there = bench.events[-1]
    assert there.seconds == 0.0
    assert (there.made_s, there.made_cpu_s) == (round(made.made_s, 3), round(made.made_cpu_s, 3))


def test_processor_time_counts_this_process_and_its_children_and_no_waiting() -> None:
    """Three tenths of a second of work, one of them in a child, beside a wait that costs nothing."""

    def work(seconds: float) -> str:
        return f"import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass"

    before = components.stage._cpu_seconds()
    exec(work(0.2))
    subprocess.run([sys.executable, "-S", "-c", work(0.1)], check=True)
    time.sleep(0.3)
    assert 0.29 < components.stage._cpu_seconds() - before < 0.55


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("counting.py", STAGE + "\n# a comment"),
        ("factor.py", "from made_up_stages.deep import FACTOR\nX = 1"),
        ("deep.py", "FACTOR = 2"),
        ("child.py", "import made_up_stages.grandchild\nX = 1"),
        ("grandchild.py", "X = 1"),
        ("__init__.py", "X = 1"),
    ],
)
def test_editing_a_module_that_the_stage_reaches_runs_it_again(bench: Bench, name: str, text: str) -> None:
    bench.run()
    bench.edit(name, text)
    module = f"made_up_stages.{name.removesuffix('.py')}".removesuffix(".__init__")
    assert bench.explain() == [f"code of {module} changed"]
    assert bench.run() == "ran"
    assert bench.run() == "skipped"


@pytest.mark.parametrize("name", ["unrelated.py", "README.md", "new.py", "notes.txt"])
def test_editing_what_the_stage_does_not_reach_runs_nothing(bench: Bench, name: str) -> None:
    bench.run()
    bench.edit(name, "changed")
    assert bench.explain() == ["nothing: the result is there"]
    assert bench.run() == "skipped"


def test_moving_the_input_and_the_whole_store_runs_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.run()
    (tmp_path / "store").rename(tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    elsewhere = replace(bench.logs, ref=replace(bench.logs.ref, uri="s3://elsewhere"), lineage=Lineage(stage="other"))
    assert bench.run(logs=elsewhere, store=moved) == "skipped"


def test_another_input_configuration_or_library_runs_it_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run()
    assert bench.run(seed=1) == "ran"
    assert bench.run(times=2) == "ran"
    assert bench.run(logs=publish_logs(bench.store, tmp_path / "more", "one two three")) == "ran"
    assert bench.run() == "skipped"
    monkeypatch.setattr(components.stage, "version", lambda name: "99")
    assert bench.run() == "ran"


@pytest.mark.parametrize("damage", ["file changed", "file gone", "manifest gone", "manifest damaged", "record damaged"])
def test_a_result_that_is_not_whole_is_no_hit_and_is_made_again(bench: Bench, damage: str, tmp_path: Path) -> None:
    bench.run()
    (record,) = (tmp_path / "store" / "records").rglob("*.json")
    folder = tmp_path / "store" / "artifacts" / json.loads(record.read_text())["artifact"]["ref"]["sha256"]
    match damage:
        case "file changed":
            (folder / "count.txt").write_text("tampered")
        case "file gone":
            (folder / "count.txt").unlink()
        case "manifest gone":
            (folder / "manifest.json").unlink()
        case "manifest damaged":
            (folder / "manifest.json").write_text("{")
        case "record damaged":
            record.write_text("{}")
    assert bench.run() == "ran"
    assert (folder / "count.txt").read_text() == "7"
    assert bench.run() == "skipped"


def test_a_stage_that_raises_leaves_no_record_and_no_scratch(bench: Bench, tmp_path: Path) -> None:
    bench.edit("deep.py", "raise RuntimeError('half way')")
    with pytest.raises(RuntimeError, match="half way"):
        bench.run()
    assert [e.status for e in bench.events] == ["started"]
    assert bench.store.list_records("stages") == []
    assert [p for p in (tmp_path / "store" / "tmp").rglob("*") if p.is_file()] == []
    bench.edit("deep.py", "FACTOR = 1")
    assert bench.run() == "ran"


def test_refresh_runs_a_finished_stage_and_only_the_named_one(bench: Bench) -> None:
    bench.run()
    count, config = bench.arguments()
    bench.runner(refresh=["other"])(count, bench.logs, config)
    assert bench.events[-1].status == "skipped"
    bench.runner(refresh=["count"])(count, bench.logs, config)
    assert [e.status for e in bench.events[-2:]] == ["started", "finished"]
    assert bench.events[-1].reason == "asked for with --refresh"


def test_a_dry_run_says_why_a_stage_would_run_and_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    count, config = bench.arguments()
    before = sorted((tmp_path / "store").rglob("*"))
    with pytest.raises(WouldRun, match="count would run: it never finished in this store"):
        bench.runner(dry=True)(count, bench.logs, config)
    assert [e.status for e in bench.events] == ["would_run"]
    assert sorted((tmp_path / "store").rglob("*")) == before
    bench.run()
    bench.runner(dry=True)(count, bench.logs, config)
    assert bench.events[-1].status == "skipped"


# -- explaining ------------------------------------------------------------------------------------------------------


def test_explain_names_each_part_that_changed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.explain() == ["it never finished in this store"]
    bench.run()
    assert bench.explain() == ["nothing: the result is there"]
    assert bench.explain(seed=4, times=3) == ["configuration inner.times: 1 -> 3", "configuration seed: 0 -> 4"]
    more = publish_logs(bench.store, tmp_path / "more", "more")
    assert bench.explain(logs=more) == ["an input artifact changed"]
    bench.edit("factor.py", "FACTOR = 1")
    assert bench.explain() == ["code of made_up_stages.deep is gone", "code of made_up_stages.factor changed"]
    bench.edit("factor.py", FILES["factor.py"] + "\nimport made_up_stages.unrelated")
    assert bench.explain() == ["code of made_up_stages.factor changed", "code of made_up_stages.unrelated is new"]
    bench.edit("factor.py", FILES["factor.py"])
    monkeypatch.setattr(components.stage, "version", lambda name: "99")
    changed = bench.explain()
    assert [line.rpartition(": ")[0] for line in changed] == ["library no-such-library", "library numpy"]
    assert changed[0] == "library no-such-library: absent -> 99"


def test_explain_compares_with_the_latest_record(bench: Bench) -> None:
    bench.run()
    bench.run(seed=1)
    assert bench.explain(seed=2) == ["configuration seed: 1 -> 2"]


# -- keys and lineage ------------------------------------------------------------------------------------------------


def test_the_lineage_says_what_ran_on_what(bench: Bench) -> None:
    count, config = bench.arguments(times=2)
    made = bench.runner()(count, bench.logs, config)
    assert made.lineage.parents == (bench.logs.sha256,)
    assert made.lineage.stage == "count"
    assert made.lineage.config == {"inner": {"times": 2}, "seed": 0}
    assert made.lineage.packages["python"] == ".".join(platform.python_version_tuple()[:2])
    assert made.lineage.packages["no-such-library"] == "absent"
    assert bench.store.find(made.sha256) == made


@config_class
class Seed:
    seed: int = 0


@config_class
class OtherSeed:
    seed: int = 0


def _result(work: Work, verdict: str) -> FairnessReport:
    out = work.output()
    (out / "x").write_text(verdict)
    return work.publish(FairnessReport(ref=PENDING, lineage=work.lineage, verdict=verdict), out)


@stage("compare")
def compare(work: Work, first: StudentLogs, second: StudentLogs, config: Seed = Seed(seed=5)) -> FairnessReport:  # noqa: B008  # frozen
    return _result(work, f"{first.sha256} {second.sha256} {config.seed}")


@stage("doubly_configured")
def doubly_configured(work: Work, one: Seed, two: OtherSeed) -> FairnessReport:
    return _result(work, "x")


@stage("draft")
def draft(work: Work) -> FairnessReport:
    return FairnessReport(ref=PENDING, lineage=work.lineage, verdict="x")


@stage("nosy")
def nosy(work: Work) -> FairnessReport:
    return _result(work, str((work.application, work.pseudonym_key, work.signing_key)))


@stage("nosy_key")
def nosy_key(work: Work) -> FairnessReport:
    return _result(work, work.pseudonym_key.id)


@stage("nosy_signer")
def nosy_signer(work: Work) -> FairnessReport:
    return _result(work, work.signing_key.id)


@stage("keyed", uses_pseudonym_key=True)
def keyed(work: Work) -> FairnessReport:
    return _result(work, work.pseudonym_key.id)


@stage("signed", uses_signing_key=True)
def signed(work: Work) -> FairnessReport:
    return _result(work, work.signing_key.id)


@stage("applied", uses_application=True)
def applied(work: Work) -> FairnessReport:
    return _result(work, work.application.name)


@stage("resumable")
def resumable(work: Work, config: Seed) -> FairnessReport:
    mark = work.job_folder / "tries"
    mark.write_text(mark.read_text() + "x" if mark.exists() else "x")
    if len(mark.read_text()) < 3:
        raise RuntimeError("killed")
    return _result(work, mark.read_text())


def test_arguments_count_by_parameter_and_not_by_the_order_of_writing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    a, b = (publish_logs(store, tmp_path / n, n) for n in "ab")
    run = Runner(store)
    one = run(compare, a, b, Seed())
    assert run(compare, second=b, first=a, config=Seed()) == one
    swapped = run(compare, second=a, first=b, config=Seed())
    assert swapped.verdict.startswith(f"{b.sha256} {a.sha256}")
    assert run(compare, a, b).verdict.endswith(" 5")
    assert run(compare, a, b, Seed(seed=5)) == run(compare, a, b)


def test_what_is_neither_artifact_nor_configuration_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    logs = publish_logs(store, tmp_path / "logs")
    with pytest.raises(TypeError, match=r"Stage 'compare' was given a int; a stage takes artifact handles and one"):
        Runner(store)(compare, logs, logs, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"given 2 configurations; a stage takes one"):
        Runner(store)(doubly_configured, Seed(seed=1), OtherSeed(seed=2))
    with pytest.raises(TypeError, match="'_result' is no stage; mark it with @stage"):
        Runner(store)(_result, "x")
    with pytest.raises(PipelineError, match=r"'draft' returned a draft; return what `work.publish` gives"):
        Runner(store)(draft)


def test_a_stage_stays_the_plain_function_that_it_is() -> None:
    assert compare.__name__ == "compare"
    assert spec_of(compare).name == "compare"


# -- what a stage may use --------------------------------------------------------------------------------------------

KEY, OTHER = SecretKey(b"k" * 32), SecretKey(b"o" * 32)
SIGNING, OTHER_SIGNING = SigningKey(b"k" * 32), SigningKey(b"o" * 32)


@pytest.fixture
def application(bench: Bench) -> Application:
    folder = bench.root / "made_up_application"
    folder.mkdir()
    for name in ("__init__.py", "codec.py", "model.py"):
        (folder / name).write_text("")
    (folder / "README.md").write_text("card")
    return Application(
        name="made_up",
        title="made up",
        package="made_up_application",
        config=object,
        train_config="made_up_application.model:used",
        data="made_up_application.model:used",
        model="made_up_application.model:used",
        scorer="made_up_application.model:used",
        encoder="made_up_application.model:used",
    )


@pytest.mark.parametrize(
    ("function", "name"), [(nosy, "application"), (nosy_key, "pseudonym_key"), (nosy_signer, "signing_key")]
)
def test_what_a_stage_did_not_declare_it_cannot_read(
    bench: Bench, application: Application, function: Callable[[Work], FairnessReport], name: str
) -> None:
    run = Runner(bench.store, application, pseudonym_key=KEY, signing_key=OTHER_SIGNING)
    with pytest.raises(TypeError, match=f"did not declare uses_{name}; add it to @stage"):
        run(function)


def test_what_a_stage_declared_must_be_given(bench: Bench) -> None:
    with pytest.raises(TypeError, match="'applied' needs an application; give one to the Runner"):
        Runner(bench.store)(applied)
    for function in (keyed, signed):
        with pytest.raises(TypeError, match="needs a secret key; give it to the Runner"):
            Runner(bench.store)(function)


def test_another_key_runs_again_those_that_use_it_and_only_those(bench: Bench) -> None:
    def run(function: Callable[[Work], FairnessReport], pseudonym: SecretKey, signing: SigningKey) -> str:
        Runner(bench.store, pseudonym_key=pseudonym, signing_key=signing, observe=bench.events.append)(function)
        return bench.events[-1].status

    assert [run(f, KEY, SIGNING) for f in (keyed, signed)] == ["finished", "finished"]
    assert [run(f, OTHER, SIGNING) for f in (keyed, signed)] == ["finished", "skipped"]
    assert [run(f, OTHER, OTHER_SIGNING) for f in (keyed, signed)] == ["skipped", "finished"]
    text = "".join(p.read_text() for p in Path(bench.store.url).rglob("*.json"))
    assert KEY.value.hex() not in text
    assert KEY.id in text


def test_every_module_of_the_application_counts_and_its_readme_does_not(bench: Bench, application: Application) -> None:
    def run() -> str:
        Runner(bench.store, application, observe=bench.events.append)(applied)
        return bench.events[-1].status

    folder = bench.root / "made_up_application"
    assert [run(), run()] == ["finished", "skipped"]
    (folder / "codec.py").write_text("VERSION = 2")
    assert run() == "finished"
    assert bench.events[-1].reason == "code of made_up_application.codec changed"
    (folder / "README.md").write_text("another card")
    assert run() == "skipped"
    (folder / "features.py").write_text("")
    assert run() == "finished"
    assert bench.events[-1].reason == "code of made_up_application.features is new"


def test_records_of_applications_are_kept_apart(bench: Bench, application: Application) -> None:
    Runner(bench.store, application)(applied)
    (record,) = bench.store.list_records("stages")
    assert record.startswith("stages/made_up/applied/")


def test_the_job_folder_outlives_failures_belongs_to_the_key_and_goes_with_the_record(bench: Bench) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match="killed"):
            Runner(bench.store)(resumable, Seed())
    with pytest.raises(RuntimeError, match="killed"):
        Runner(bench.store)(resumable, Seed(seed=1))  # another key starts afresh
    assert Runner(bench.store)(resumable, Seed()).verdict == "xxx"
    assert [len((j / "tries").read_text()) for j in (Path(bench.store.url) / "jobs").iterdir()] == [1]


def test_a_record_of_another_kind_of_artifact_is_still_a_typed_handle(bench: Bench) -> None:
    bench.run()
    count, config = bench.arguments()
    hit = bench.runner()(count, bench.logs, config)
    assert isinstance(hit, FairnessReport)
    assert not isinstance(hit, Checkpoint)


@stage("measured")
def measured(work: Work) -> Evaluation:
    """Give metrics in an order of its own."""
    out = work.output()
    (out / "metrics.json").write_text("{}")
    draft = Evaluation(
        ref=PENDING,
        lineage=work.lineage,
        metrics={"brier": 0.2, "auc": 0.7},
        intervals={"brier": (0.1, 0.3), "auc": (0.6, 0.8)},
        scored=1,
        students=1,
        protocol="problem",
    )
    return work.publish(draft, out)


def test_the_next_stage_is_given_the_same_whether_this_one_ran_or_was_skipped(tmp_path: Path) -> None:
    """A card that lists metrics must come out the same after a kill between the two."""
    ran, skipped = (Runner(Store(tmp_path / "store"))(measured) for _ in range(2))
    assert ran == skipped
    assert list(ran.metrics) == list(skipped.metrics)
    assert list(ran.intervals.items()) == list(skipped.intervals.items())
