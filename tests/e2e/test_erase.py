"""Erasing a student from what real runs left: found before, nothing left after, and the next run is without them."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from components.app import load_application
from components.erasure.search import Wanted, search_file
from components.errors import ArtifactMissingError, StoreError
from components.overrides import Journal, Override, parsed
from components.pseudonyms import pseudonyms
from components.store import Store
from components.upkeep import leases
from flows.cli.erase import erase
from flows.cli.lineage import lineage
from flows.erasure import erase_student, to_json
from flows.garbage import Retention, garbage_of
from flows.lineage import lineage_tree
from flows.operations import run_request
from flows.scoring import score_logs
from flows.settings import Settings
from flows.stages import collect, ingest, open_application, preprocess
from serving.bundle import load_bundle
from serving.health import golden_problems
from tests.conftest import Released
from tests.forked import Forks, forks

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@dataclass(frozen=True)
class Place:
    """A copy of what a run left, and a student in it."""

    released: Released
    settings: Settings
    raw: str
    """The student's id in the raw file."""
    pseudonym: str

    @property
    def store(self) -> Store:
        return self.settings.open_store()

    def files_with(self, *names: str) -> list[Path]:
        """Return the files of the installation, keys aside, that hold one of these pseudonyms."""
        wanted = Wanted.of(names)
        home = Path(self.settings.store).parent
        files = [path for path in home.rglob("*") if path.is_file() and self.settings.keys not in path.parents]
        return [path for path in files if search_file(path, wanted).found]

    def erase(self, **how: Any) -> dict[str, Any]:
        """Erase for real, and return the report."""
        return to_json(erase_student(self.settings, student=self.raw, really=True, **how), self.settings.store)


def copied(released: Released, home: Path, table: str, artifact: Any, which: pl.Expr) -> Place:
    """Copy a run's store, and choose the first student in a table of one of its artifacts."""
    shutil.copytree(released.untouched, home / "store")
    settings = Settings(
        store=str(home / "store"),
        cache=home / "cache",
        keys=released.settings.keys,
        overrides=home / "overrides",
    )
    pseudonym = str(pl.read_parquet(settings.open_store().folder(artifact) / table).filter(which)["student"][0])
    raw = pl.read_parquet(released.logs)["student"].unique().to_list()
    own = dict(zip(pseudonyms(settings.read_pseudonym_key(), raw), raw, strict=True))
    return Place(released, settings, own[pseudonym], pseudonym)


@pytest.fixture
def logs(released: Released, tmp_path: Path) -> Place:
    """Return a place with student logs, and a student of the test split, whose predictions are kept."""
    outcome = released.summary.outcome
    return copied(released, tmp_path / "place", "predictions.parquet", outcome.evaluation, pl.lit(True))


@pytest.fixture
def essays(released_essays: Released, tmp_path: Path) -> Place:
    """Return a place with essays and teachers' overrides, and a student of the training split."""
    outcome = released_essays.summary.outcome
    is_training = pl.col("split") == "train"
    place = copied(released_essays, tmp_path / "place", "responses.parquet", outcome.dataset, is_training)
    rows = pl.read_parquet(place.store.folder(outcome.logs) / "responses.parquet")
    first, second = rows.filter(pl.col("student") == place.pseudonym).head(2).iter_rows(named=True)
    other = rows.filter(pl.col("student") != place.pseudonym).row(0, named=True)
    journal = Journal(place.settings.overrides / "essay_grading")
    key_id = place.settings.read_pseudonym_key().id
    for number, (row, names) in enumerate(
        [
            (first, {"student": place.pseudonym, "pseudonym_key_id": key_id}),
            (first, {"response": first["response"], "pseudonym_key_id": key_id}),
            (second, {}),  # known by its text alone
            (other, {"student": other["student"], "pseudonym_key_id": key_id}),
            (other, {}),
        ]
    ):
        journal.append(
            Override(
                id=f"{number:016d}", made_utc=f"2026-11-21T20:00:0{number}.000+00:00", application="essay_grading",
                release=released_essays.summary.outcome.release.version, prompt=row["prompt"], text=row["text"],
                machine_score=None, score=1.0, reason="Why?", teacher="T", **names,
            )
        )  # fmt: skip
    return place


def kinds(found: list[dict[str, Any]], fate: str) -> set[str]:
    return {one["kind"] for one in found if one["fate"] == fate}


def others(place: Place) -> dict[str, int]:
    """Return how many rows each other student has in the raw file."""
    counts = pl.read_parquet(place.released.logs).group_by("student").len().filter(pl.col("student") != place.raw)
    names = counts["student"].to_list()
    return dict(zip(pseudonyms(place.settings.read_pseudonym_key(), names), counts["len"].to_list(), strict=True))


def test_what_student_logs_left_goes_and_the_release_serves_on(logs: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.relative_to(logs.settings.store).parts[1] for path in logs.files_with(logs.pseudonym)}
    outcome = logs.released.summary.outcome
    assert before == {one.sha256 for one in (outcome.logs, outcome.dataset, outcome.evaluation)}

    dry = to_json(erase_student(logs.settings, student=logs.raw), logs.settings.store)
    assert (dry["done"], dry["proof"]) == (False, None)
    assert {one["artifact"] for one in dry["artifacts"] if one["fate"] == "retired"} == before
    assert not logs.store.list_records("erased"), "a look changes nothing"
    for one in (outcome.logs, outcome.dataset, outcome.evaluation):
        logs.store.verify(one)

    report = logs.erase()
    assert report["proven"]
    assert kinds(report["artifacts"], "retired") == {"StudentLogs", "SequenceDataset", "Evaluation"}
    assert kinds(report["artifacts"], "kept") == {"Checkpoint", "OnnxModel", "FairnessReport", "LeakageReport"}
    assert report["yours_to_erase"] == list(logs.released.summary.request.data)
    [release] = report["releases"]
    assert release["version"] == outcome.release.version
    assert release["serves"] == "current release of knowledge_tracing"
    assert (release["fate"], release["holds"]) == ("kept", [])
    assert logs.files_with(logs.pseudonym) == []

    key = logs.settings.read_signing_key()
    assert golden_problems(load_bundle(logs.store.folder(outcome.release), key)) == ()
    with pytest.raises(ArtifactMissingError, match=r"deleted .* for good"):
        logs.store.find(outcome.logs.sha256)
    tree = json.dumps(lineage_tree(logs.store, outcome.release))
    assert '"missing"' not in tree
    assert f'"uri": "{logs.released.summary.request.data[0]}"' in tree, "lineage is walked through what was retired"

    run, config = open_application("knowledge_tracing", settings=logs.settings)
    made = run(ingest, collect(logs.store, [str(logs.released.logs)]), config.ingest)
    assert made.students == outcome.logs.students - 1
    folder = logs.store.folder(made)
    counted = pl.read_parquet(folder / "interactions.parquet").group_by("student").len()
    assert dict(counted.iter_rows()) == others(logs), "all rows of all the others"
    told = json.loads((folder / "report.json").read_text())
    assert told["rows_erased"] == outcome.logs.rows - made.rows > 0
    parts = ("rows_kept", "rows_quarantined", "rows_merged", "rows_erased")
    assert told["rows_in"] == sum(told[part] for part in parts) == sum(told["files"][0][part] for part in parts)
    dataset = run(preprocess, made, config.preprocess)
    assert sum(dataset.students.values()) == made.students
    assert logs.files_with(logs.pseudonym) == []

    out = Path(logs.settings.store).parent / "answers.parquet"
    score_logs("knowledge_tracing", [str(logs.released.logs)], out, "last", logs.settings)
    assert logs.pseudonym not in pl.read_parquet(out)["student"].to_list(), "scoring leaves the student out too"


def test_essays_kernel_rows_and_overrides_go_and_training_goes_on(essays: Place) -> None:
    outcome = essays.released.summary.outcome
    report = essays.erase()
    assert report["proven"]
    assert kinds(report["artifacts"], "retired") >= {"ScoredWriting", "TextDataset", "Checkpoint", "OnnxModel"}
    [release] = report["releases"]
    assert (release["fate"], release["holds"]) == ("kept", ["features"]), "its kernel has the essays' features"
    assert [one["path"] for one in report["proof"]["remains"]] == [f"artifacts/{outcome.release.sha256}/model.onnx"]
    journal = essays.settings.overrides / "essay_grading" / "overrides.jsonl"
    assert report["overrides"] == {str(journal.parent): 3}
    assert [one.id for one in parsed(journal.read_bytes()).overrides] == ["0" * 15 + "3", "0" * 15 + "4"]
    assert essays.files_with(essays.pseudonym) == []

    request = replace(essays.released.summary.request, teacher_overrides=(str(journal.parent),))
    summary = run_request(request, essays.settings)
    assert summary.outcome.logs.students == outcome.logs.students - 1
    assert summary.outcome.release.sha256 != outcome.release.sha256
    assert essays.files_with(essays.pseudonym) == []
    assert summary.decision.promote

    again = essays.erase(releases="retire")
    assert again["proven"]
    assert {one["version"]: one["fate"] for one in again["releases"]} == {outcome.release.version: "retired"}
    assert again["proof"]["remains"] == []
    with pytest.raises(ArtifactMissingError, match="a student's data were erased"):
        essays.store.find(outcome.release.sha256)
    essays.store.verify(summary.outcome.release)


def test_a_second_student_is_still_found_in_what_was_made_from_both(essays: Place) -> None:
    """The data that told it are gone with the first, and the release still knows both."""
    version = essays.released.summary.outcome.release.version
    essays.erase()
    raw = next(one for one in pl.read_parquet(essays.released.logs)["student"].to_list() if one != essays.raw)
    second = to_json(erase_student(essays.settings, student=raw, really=True), essays.settings.store)
    assert {one["version"]: one["holds"] for one in second["releases"]} == {version: ["unknown"]}
    nobody = to_json(erase_student(essays.settings, student="nobody at all"), essays.settings.store)
    assert (nobody["artifacts"], nobody["releases"]) == ([], [])


def test_a_deleted_override_does_not_come_back_from_a_copy(essays: Place, tmp_path: Path) -> None:
    shutil.copytree(essays.settings.overrides / "essay_grading", tmp_path / "backup")
    essays.erase()
    raw = collect(essays.store, [str(essays.released.logs)], overrides=[str(tmp_path / "backup")])
    assert essays.files_with(essays.pseudonym) == [], "the snapshot in the store is without it"
    run, config = open_application("essay_grading", settings=essays.settings)
    made = run(load_application("essay_grading").kind.stage("ingest"), raw, config.ingest)
    assert made.overrides == 1, "two overrides of one response of another student; those of the erased are gone"


def test_it_waits_for_runs_under_way_and_the_tombstone_is_written(logs: Place) -> None:
    with leases.held(logs.store, run="20261122T000000-abcdef", application="knowledge_tracing", request={}):
        with pytest.raises(StoreError, match=r"^1 run.s. or stage.s. are under way.*The tombstone is written"):
            logs.erase()
        assert len(logs.store.list_records("erased")) == 1
        assert logs.files_with(logs.pseudonym)
    assert logs.erase()["proven"]


@pytest.fixture(scope="module")
def eraser() -> Iterator[Forks]:
    """Return what starts erasures: a fork of this process would have none of polars' threads, and wait for them."""
    with forks("tests.e2e.erasing") as server:
        yield server


def killed_and_called_again(eraser: Forks, place: Place, number: int, when: str) -> bool:
    """Kill an erasure at a write, call it again, and check what is left; return whether there was such a write."""
    journal = place.settings.overrides / "essay_grading" / "overrides.jsonl"
    names = ("store", "cache", "keys", "overrides")
    output = Path(place.settings.store).parent.with_name("output.txt")
    pid = eraser.start(
        output,
        settings={name: str(getattr(place.settings, name)) for name in names},
        pseudonym=place.pseudonym,
        number=number,
        when=when,
    )
    code = eraser.wait(pid, 60)
    assert code in (0, -signal.SIGKILL), output.read_text()
    report = place.erase()
    assert report["proven"]
    assert place.files_with(place.pseudonym) == []
    assert [one.id for one in parsed(journal.read_bytes()).overrides] == ["0" * 15 + "3", "0" * 15 + "4"]
    [release] = report["releases"]
    assert (release["fate"], release["holds"]) == ("kept", ["features"]), "what only the lost data told is known"
    assert len(place.store.list_records("erased")) == 3, "the student's tombstone, and two of responses"
    return code != 0


@pytest.mark.multiprocess
@pytest.mark.parametrize(("number", "when"), [(0, "after"), (2, "before"), (5, "after"), (9, "before"), (20, "after")])
def test_killed_at_a_write_the_same_command_finishes_it(eraser: Forks, essays: Place, number: int, when: str) -> None:
    assert killed_and_called_again(eraser, essays, number, when)


@pytest.mark.multiprocess
@pytest.mark.soak
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_write_the_same_command_finishes_it(eraser: Forks, essays: Place, when: str) -> None:
    home, number = Path(essays.settings.store).parent, 0
    shutil.copytree(home, home.with_name("untouched"))
    while killed_and_called_again(eraser, essays, number, when):
        number += 1
        shutil.rmtree(home)
        shutil.copytree(home.with_name("untouched"), home)
    assert number > 20


def test_the_command_says_what_it_does_and_never_who(
    logs: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOMEROOM_STORE", logs.settings.store)
    monkeypatch.setenv("HOMEROOM_KEYS", str(logs.settings.keys))
    monkeypatch.setenv("HOMEROOM_OVERRIDES", str(logs.settings.overrides))

    def call(*arguments: str) -> Any:
        found = CliRunner().invoke(erase, ["-", *arguments], input=f"{logs.raw}\n", standalone_mode=False)
        assert found.exception is None, found.exception
        assert logs.pseudonym not in found.output
        return found

    shown = call()
    assert "would be retired" in shown.output
    assert "Nothing was changed" in shown.output
    assert "current release of knowledge_tracing: kept; made from the student's data" in shown.output
    done = call("--yes", "--json")
    assert done.return_value == 0
    assert json.loads(done.stdout)["proven"]
    again = call("--yes")
    assert "was retired before" in again.output
    assert "nothing of the student is left" in again.output
    walked = CliRunner().invoke(lineage, ["knowledge_tracing"], standalone_mode=False)
    assert walked.output.count("(files deleted for good at ") >= 2
    assert "RawFiles" in walked.output
    assert all(one.kind != "artifact" for one in garbage_of(logs.store, Retention())), "what is left is kept as before"


def test_what_is_left_is_named_and_the_exit_code_says_so(logs: Place) -> None:
    stray = Path(logs.settings.store) / "runs" / "20261122T000000-abcdef" / "note.txt"
    stray.parent.mkdir(parents=True)
    stray.write_text(logs.pseudonym)
    report = logs.erase()
    assert not report["proven"]
    assert report["proof"]["hits"] == [{"path": str(stray), "what": ["pseudonym"]}]
    record = logs.store.read_record(logs.store.list_records("erased")[0])
    assert record["finished_utc"] is None
    os.remove(stray)
    assert logs.erase()["proven"]
