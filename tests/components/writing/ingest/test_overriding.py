"""Teachers' overrides in ingest: known responses get their score, other texts a row; counted, named, or refused."""

import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from components.artifacts import TeacherOverrides
from components.errors import SchemaError, StoreError
from components.ingest.collect import collect
from components.overrides import FILE, Journal, Override
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from components.stage import Runner
from components.store import Store
from components.writing.ingest.config import Rubric, WritingIngestConfig
from components.writing.ingest.stage import ingest
from tests.components.test_overrides import override
from tests.components.writing.ingest.running import KEY, Outcome

BODY = (
    "response,student,prompt,text,score,rater_1,rater_2,group_school\n"
    "r1,s1,a,One fine text.,3,3,3,north\n"
    "r2,s2,a,Another text.,2,2,2,south\n"
    "r3,s1,b,One fine text.,1,1,1,north\n"
    "r4,s3,b,Handed in twice.,1,1,1,north\n"
    "r5,s4,b,Handed in twice.,1,1,1,south\n"
)
LIMITS = WritingIngestConfig(prompts={"*": Rubric(low=0, high=6)}, quarantine_limit=1.0)


def named(kind: str, name: str, key: SecretKey = KEY) -> dict[str, str]:
    """Return the fields by which an override names a student or response."""
    return {kind: pseudonyms(key, [name], kind)[0], "pseudonym_key_id": key.id}


def later(minutes: int, **values: object) -> Override:
    made = replace(override(minutes), **values)  # type: ignore[arg-type]  # fields of any type
    return replace(made, made_utc=f"2026-11-21T20:{minutes:02d}:00.000+00:00")


def ingested(folder: Path, overrides: list[Override], config: WritingIngestConfig = LIMITS) -> Outcome:
    """Ingest `BODY` with the overrides in a journal."""
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text(BODY)
    journal = Journal(folder / "kept")
    for one in overrides:
        journal.append(one)
    store, said = Store(folder / "store"), list[str]()
    raw = collect(store, [str(folder / "a.csv")], overrides=[str(folder / "kept")])
    writing = Runner(store, pseudonym_key=KEY, say=said.append)(ingest, raw, config)
    return Outcome(writing=writing, raw=raw, folder=store.folder(writing), said=tuple(said))


def score_of(found: Outcome, response: str) -> float:
    score: float = found.responses.filter(pl.col("response") == named("response", response)["response"])["score"].item()
    return score


def test_a_known_response_gets_the_teachers_score_and_its_raters_stay(tmp_path: Path) -> None:
    found = ingested(tmp_path, [later(1, prompt="a", text="Quite another text", score=5.0, **named("response", "r1"))])
    assert score_of(found, "r1") == 5
    assert found.by_row["score"].to_list()[1:] == [2, 1, 1, 1]
    assert found.by_row["rater_1"].to_list() == [3, 2, 1, 1, 1]
    assert found.by_row["text"][0] == "One fine text."
    assert (found.writing.rows, found.writing.overrides) == (5, 1)


def test_a_text_is_known_by_its_prompt_and_by_the_student_where_both_are_named(tmp_path: Path) -> None:
    overrides = [
        later(1, prompt="a", text="One fine text.", score=6.0),  # of prompt b the same text has another score
        later(2, prompt="b", text="Handed in twice.", score=4.0, **named("student", "s4")),
    ]
    found = ingested(tmp_path, overrides)
    assert [score_of(found, f"r{n}") for n in (1, 2, 3, 4, 5)] == [6, 2, 1, 1, 4]
    unknown_id = [later(4, prompt="a", text="Another text.", score=5.0, **named("response", "r99"))]
    assert score_of(ingested(tmp_path / "ids", unknown_id), "r2") == 5
    both = ingested(tmp_path, [later(3, prompt="b", text="Handed in twice.", score=2.0)])
    assert [score_of(both, f"r{n}") for n in (4, 5)] == [2, 2], "the same text has the same score"


def test_another_text_is_a_row_of_its_own_with_its_student(tmp_path: Path) -> None:
    found = ingested(
        tmp_path,
        [
            later(1, prompt="a", text="A new text\r\nof s1.", score=4.0, **named("student", "s1")),
            later(2, prompt="a", text="Nobody's text.", score=1.0),
        ],
    )
    assert found.writing.rows == 7
    new = found.responses.filter(pl.col("file") == found.raw.roles.index("overrides")).sort("row")
    assert new["text"].to_list() == ["A new text\nof s1.", "Nobody's text."]
    assert new["score"].to_list() == [4, 1]
    assert new["student"][0] == named("student", "s1")["student"]
    assert new["student"][1] == new["response"][1]
    schools = dict(found.students.select("student", "school").iter_rows())
    assert schools[named("student", "s1")["student"]] == "north", "the student's own attributes stay"
    assert found.writing.students == 5


def test_the_latest_of_several_counts_and_everything_is_counted(tmp_path: Path) -> None:
    overrides = [
        later(4, prompt="a", text="One fine text.", score=2.0),
        later(1, prompt="a", text="One fine text.", score=6.0),
        later(2, prompt="a", text="New.", score=1.0),
        later(3, prompt="a", text="New.", score=2.0),
        later(5, prompt="z", text="Of no prompt known.", score=2.0),
        later(6, prompt="b", text="One fine text.", score=9.0),
    ]
    found = ingested(tmp_path, overrides)
    assert score_of(found, "r1") == 2
    assert found.by_row.filter(pl.col("text") == "New.")["score"].to_list() == [2]
    own = found.report["overrides"]
    digest = found.raw.digests[found.raw.roles.index("overrides")]
    assert own == {
        "sha256": digest,
        "given": 6,
        "responses_replaced": 1,
        "responses_added": 1,
        "superseded": 2,
        "set_apart": 2,
    }
    assert {reason for _, _, reason in found.faults} == {"override_prompt_unknown", "score_outside_rubric"}
    assert (found.writing.overrides, found.writing.overrides_sha256) == (2, digest)
    assert found.report["rows_in"] == 11
    assert any(
        line.startswith("6 overrides of teachers: 1 responses have their score, 1 were added") for line in found.said
    )


def test_an_unknown_prompt_is_set_apart_where_no_rubric_is_for_all(tmp_path: Path) -> None:
    config = WritingIngestConfig(quarantine_limit=1.0)
    found = ingested(tmp_path, [later(1, prompt="z", text="Of no prompt known.")], config)
    assert found.faults == [(1, "prompt", "override_prompt_unknown")]
    assert found.writing.overrides == 0


def test_pseudonyms_of_another_key_are_refused(tmp_path: Path) -> None:
    other = SecretKey(b"quite another key, 32 bytes long")
    with pytest.raises(SchemaError, match="the same pseudonym key") as caught:
        ingested(tmp_path, [later(1, prompt="a", **named("student", "s1", other))])
    assert "text" not in str(caught.value).replace("texts", "")


def test_lineage_names_the_overrides_and_a_growing_journal_changes_nothing_that_was(tmp_path: Path) -> None:
    found = ingested(tmp_path, [later(1, prompt="a", text="One fine text.", score=6.0)])
    store = Store(tmp_path / "store")
    (snapshot,) = (store.find(sha256) for sha256 in store.find(found.raw.sha256).lineage.parents)
    assert isinstance(snapshot, TeacherOverrides)
    assert (snapshot.overrides, snapshot.teachers, snapshot.releases) == (1, 1, ("essay_grading-000000000000",))
    again = ingested(tmp_path, [])
    assert again.raw.sha256 == found.raw.sha256
    with (tmp_path / "kept" / FILE).open("ab") as journal:
        journal.write(b'{"override":{"id":"half a li')
    assert ingested(tmp_path, []).raw.sha256 == found.raw.sha256, "what a crash left is no override"
    more = ingested(tmp_path, [later(2, prompt="a", text="Another text.", score=6.0)])
    assert more.raw.sha256 != found.raw.sha256
    shutil.rmtree(tmp_path / "kept")
    run = Runner(store, pseudonym_key=KEY)
    assert run(ingest, found.raw, LIMITS).sha256 == found.writing.sha256


def test_an_empty_journal_is_none_and_a_missing_one_is_told(tmp_path: Path) -> None:
    Journal(tmp_path / "kept").check()
    found = ingested(tmp_path, [])
    assert found.raw.roles == ("any",)
    assert found.report["overrides"] is None
    with pytest.raises(StoreError, match=r"no folder with one \(overrides.jsonl\)"):
        collect(Store(tmp_path / "store"), [str(tmp_path / "a.csv")], overrides=[str(tmp_path / "absent")])
