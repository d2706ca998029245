"""Erasing in small stores: what is found by what evidence, what becomes of it, and that others keep theirs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from components.artifacts import Artifact, Evaluation, FairnessReport, Lineage, Release, StudentLogs
from components.erasure.erasing import Erasure, erase
from components.erasure.subject import Subject
from components.errors import ArtifactMissingError, StoreError
from components.ingest.collect import collect
from components.ingest.config import IngestConfig
from components.ingest.stage import ingest
from components.pseudonyms import pseudonyms
from components.stage import PENDING, Runner
from components.store import Store
from components.testing import S3Server
from components.tombstones import name_of, path_of
from components.upkeep.inventory import take_inventory
from components.upkeep.sweeping import SweepNotice
from tests.components.ingest.running import KEY

ANN, BEA, CY = pseudonyms(KEY, ["ann", "bea", "cy"])
ROWS = [
    "student,item,skills,correct,time",
    "ann,i1,add,1,1",
    "ann,only ann's,add,0,2",
    "bea,i1,add,1,1",
    "bea,i2,mul,0,2",
]
Publish = Callable[..., Artifact]


def logs_of(store: Store, folder: Path, rows: list[str] = ROWS) -> StudentLogs:
    path = folder / f"{len(rows)}.csv"
    path.write_text("\n".join(rows) + "\n")
    return Runner(store, pseudonym_key=KEY)(ingest, collect(store, [str(path)]), IngestConfig())


def published(store: Store, draft: Artifact, files: dict[str, str], *parents: Artifact) -> Artifact:
    with store.scratch() as scratch:
        for name, body in files.items():
            (scratch / name).write_text(body)
        lineage = Lineage(parents=tuple(one.sha256 for one in parents), stage="made")
        return store.publish(replace(draft, lineage=lineage), scratch)


def release(store: Store, vocabulary: list[str], number: int, *parents: Artifact) -> Artifact:
    draft = Release(ref=PENDING, lineage=Lineage(), application="a", version=f"a-{number:012x}", verdict="pass")
    return published(store, draft, {"codec.json": json.dumps({"items": vocabulary})}, *parents)


def predictions(store: Store, body: str, *parents: Artifact) -> Artifact:
    draft = Evaluation(
        ref=PENDING, lineage=Lineage(), metrics={}, intervals={}, scored=1, students=1, protocol="problem"
    )
    return published(store, draft, {"predictions.json": body}, *parents)


def erased(store: Store, pseudonym: str = ANN, **how: object) -> Erasure:
    how = {"serving": dict, **how}
    return erase(store, Subject(pseudonym=pseudonym), KEY.id, journals=[], really=True, **how)  # type: ignore[arg-type]  # options of any type


def told(done: Erasure) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return version of a release -> its fate and what it holds."""
    return {one.found.version: (one.fate, one.found.holds) for one in done.releases()}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_releases_are_listed_with_what_their_vocabulary_knows_from_the_student_alone(
    store: Store, tmp_path: Path
) -> None:
    logs = logs_of(store, tmp_path)
    release(store, ["i1", "i2", "only ann's"], 1, logs)
    release(store, ["i1", "i2"], 2, logs)
    without = logs_of(store, tmp_path, [ROWS[0], *ROWS[3:]])
    release(store, ["i1"], 3, without)
    done = erased(store)
    assert done.is_proven
    assert told(done) == {"a-000000000001": ("kept", ("vocabulary",)), "a-000000000002": ("kept", ())}
    store.verify(without)


def test_one_that_serves_is_never_retired(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    serving, old = release(store, ["i1"], 1, logs), release(store, ["i2"], 2, logs)
    done = erased(store, serving=lambda: {serving.sha256: "champion"}, releases="retire")
    assert {one.found.version: (one.fate, one.serves) for one in done.releases()} == {
        "a-000000000001": ("kept", "champion"),
        "a-000000000002": ("retired", ""),
    }
    store.verify(serving)
    with pytest.raises(ArtifactMissingError, match="for good"):
        store.find(old.sha256)


@pytest.mark.parametrize("late", ["promoted", "about to be"])
def test_one_that_is_made_to_serve_during_the_search_stays(store: Store, tmp_path: Path, late: str) -> None:
    """Or that somebody has just verified: who promotes does so first, and writes the log then."""
    taken = release(store, ["i1"], 1, logs_of(store, tmp_path))
    serves: dict[str, str] = {}

    def say(line: str) -> None:
        if line == "searching the store" and late == "promoted":
            serves[taken.sha256] = "champion"
        elif line == "searching the store":
            store.use(taken)

    done = erased(store, serving=lambda: dict(serves), releases="retire", say=say)
    assert [(one.fate, one.serves) for one in done.releases()] == [
        ("kept", "champion" if late == "promoted" else "just taken into use")
    ]
    store.verify(taken)


def test_what_lineage_does_not_lead_to_is_found_by_its_bytes(store: Store, tmp_path: Path) -> None:
    logs_of(store, tmp_path)
    astray = predictions(store, json.dumps([{"student": ANN}]))
    others = predictions(store, json.dumps([{"student": BEA}]))
    done = erased(store)
    assert {one.found.sha256: one.found.holds for one in done.fates}[astray.sha256] == ("pseudonym",)
    assert not list((tmp_path / "store" / "artifacts" / astray.sha256).glob("predictions*"))
    store.verify(others)


def test_an_aggregate_without_anything_of_them_stays(store: Store, tmp_path: Path) -> None:
    draft = FairnessReport(ref=PENDING, lineage=Lineage(), verdict="pass")
    report = published(store, draft, {"groups.json": "{}"}, logs_of(store, tmp_path))
    assert [one.fate for one in erased(store).fates if one.found.sha256 == report.sha256] == ["kept"]
    store.verify(report)


def test_what_was_retired_keeps_who_was_in_it_as_digests_and_its_lineage(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    erased(store)
    folder = tmp_path / "store" / "artifacts" / logs.sha256
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "students.json"]
    assert json.loads((folder / "students.json").read_text()) == sorted(name_of(one)[:16] for one in (ANN, BEA))
    origin = store.origin(logs.sha256)
    assert (origin.kind, origin.lineage.parents) == ("StudentLogs", logs.lineage.parents)
    assert "a student's data were erased" in origin.retired
    assert take_inventory(store).artifacts[logs.sha256].kind == "StudentLogs"
    record = store.read_record(path_of(KEY.id, name_of(ANN)))
    assert record["retired"] == [logs.sha256]
    assert record["proof"]["hits"] == 0
    assert ANN not in json.dumps(record)


def test_the_same_bytes_made_again_without_the_student_may_come_back(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    again = predictions(store, ANN, logs)
    erased(store)
    with pytest.raises(ArtifactMissingError):
        store.verify(again)
    store.verify(predictions(store, ANN))  # made on purpose here; a model that never saw them may be the same


def test_a_student_of_whom_nothing_is_there_gets_a_tombstone_all_the_same(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    done = erased(store, CY)
    assert (done.fates, done.is_proven) == ((), True)
    store.verify(logs)
    assert store.list_records("erased") == [path_of(KEY.id, name_of(CY))]


def test_a_collection_at_work_is_not_disturbed(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    with SweepNotice(store.place, []), pytest.raises(StoreError, match="garbage collection is at work"):
        erased(store)
    store.verify(logs)
    assert erased(store).is_proven


def test_jobs_of_dead_runs_made_from_it_go(store: Store, tmp_path: Path) -> None:
    logs = logs_of(store, tmp_path)
    theirs, others = (store.job_folder(f"train-{n:032x}") for n in (1, 2))
    (theirs / "job.json").write_text(json.dumps({"dataset": f"artifacts/{logs.sha256}"}))
    (theirs / "last.ckpt").write_bytes(b"weights")
    (others / "job.json").write_text("{}")
    done = erased(store)
    assert done.leftovers == (str(theirs),)
    assert (theirs.exists(), others.exists()) == (False, True)


def test_in_a_bucket_and_its_copies_on_this_machine(s3_environment: S3Server, tmp_path: Path) -> None:
    s3_environment.make_bucket("erasing")
    store = Store("s3://erasing/store", cache=tmp_path / "cache")
    logs = logs_of(store, tmp_path)
    made = predictions(store, json.dumps([ANN]), logs)
    for one in (logs, made):
        store.folder(one)
    done = erased(store)
    assert done.is_proven
    assert done.proof is not None
    assert done.proof.files > 5
    assert {path.split("/")[2] for path in store.place.list("artifacts") if logs.sha256 in path} == {
        "manifest.json", "students.json",
    }  # fmt: skip
    assert not (tmp_path / "cache" / "artifacts" / logs.sha256).exists()
    with pytest.raises(ArtifactMissingError, match="for good"):
        store.find(made.sha256)
