"""Layouts of published data on small files made by hand."""

from pathlib import Path

import pytest

from components.errors import SchemaError
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.layouts.semeval import student_of
from tests.components.writing.ingest.running import ANY, ingest_files

AES = [
    "essay_id", "essay_set", "essay", "rater1_domain1", "rater2_domain1", "rater3_domain1", "domain1_score",
    "rater1_domain2", "rater2_domain2", "domain2_score",
    *(f"rater{rater}_trait{trait}" for rater in (1, 2, 3) for trait in range(1, 7)),
]  # fmt: skip


def essay(**cells: str) -> str:
    row = {"essay_id": "1", "essay_set": "1", "essay": '"An essay', "domain1_score": "3"} | cells
    return "\t".join(row.get(name, "") for name in AES) + "\n"


def traits(rater: int, *scores: int) -> dict[str, str]:
    return {f"rater{rater}_trait{place}": str(score) for place, score in enumerate(scores, 1)}


def test_asap_aes_resolves_traits_as_the_competition_resolved_scores(tmp_path: Path) -> None:
    body = "\t".join(AES) + "\n"
    body += essay(essay_id="1", essay_set="1", domain1_score="8", rater1_domain1="4", rater2_domain1="4")
    body += essay(essay_id="2", essay_set="2", domain1_score="4", rater1_domain2="3", domain2_score="2")
    body += essay(essay_id="3", essay_set="7", domain1_score="15", **traits(1, 2, 1, 3, 0), **traits(2, 3, 1, 2, 1))
    two = {**traits(1, 4, 4, 4, 4, 4, 4), **traits(2, 1, 2, 3, 4, 5, 6)}
    body += essay(essay_id="4", essay_set="8", domain1_score="46", **two)
    body += essay(essay_id="5", essay_set="8", domain1_score="46", **two, **traits(3, 6, 5, 4, 3, 2, 2))
    outcome = ingest_files(tmp_path, {"a.tsv": body})
    names = ("conventions", "ideas", "organization", "sentence_fluency", "style", "voice", "word_choice")
    found = outcome.by_row.select(f"trait_{name}" for name in names).rows()
    assert found == [
        (None,) * 7,
        (2, None, None, None, None, None, None),
        (1, 5, 2, None, 5, None, None),
        (10, 5, 6, 9, None, 7, 8),
        (4, 12, 10, 4, None, 8, 6),
    ]
    assert outcome.texts == ['"An essay'] * 5
    assert outcome.by_row["rater_1"].to_list() == [4, None, None, None, None]


def test_asap_aes_sets_a_trait_that_is_no_number_apart(tmp_path: Path) -> None:
    body = "\t".join(AES) + "\n"
    body += essay(essay_id="1", essay_set="7", domain1_score="15", **traits(1, 2, 1, 3, 0), **traits(2, 3, 1, 2, 1))
    body += essay(essay_id="2", essay_set="7", domain1_score="15", **{**traits(1, 2, 1, 3, 0), "rater2_trait1": "x"})
    body += essay(essay_id="3", essay_set="7", domain1_score="31")
    outcome = ingest_files(tmp_path, {"a.tsv": body}, ANY)
    assert outcome.faults == [(2, "trait ideas", "trait_not_a_number"), (3, "domain1_score", "score_outside_rubric")]


def test_asap_aes_without_scores_is_read_to_be_graded(tmp_path: Path) -> None:
    body = "essay_id\tessay_set\tessay\tdomain1_predictionid\n1\t1\tText\t7\n"
    outcome = ingest_files(tmp_path, {"valid.tsv": body}, WritingIngestConfig(needs_scores=False))
    assert (outcome.writing.layout, outcome.writing.rows, outcome.writing.traits) == ("asap_aes", 1, ())


QUESTION = """<?xml version="1.0"?>
<question qtype="Q" id="Q1" module="M" stype="E">
  <questionText>Why is <b>it</b> so?</questionText>
  <referenceAnswers>
    <referenceAnswer category="MINIMAL" id="a2" fileID="f">Because.</referenceAnswer>
    <referenceAnswer category="BEST" id="a1" fileID="f">Because the gap is closed &amp; the bulb lit.</referenceAnswer>
    <referenceAnswer category="BEST" id="a3" fileID="f">Because.</referenceAnswer>
  </referenceAnswers>
  <studentAnswers>
    <studentAnswer count="1" id="M-Q1.sbj3-l1.qa1" accuracy="correct">A &lt; B, caf\u00e9</studentAnswer>
    <studentAnswer count="1" id="M-Q1.sbj3-l2.qa7" accuracy="Contradictory">no</studentAnswer>
    <studentAnswer count="1" id="M-Q1.sbj4-l1.qa1" accuracy="incorrect">maybe</studentAnswer>
    <studentAnswer count="1" id="M-Q1.sbj5-l1.qa1" accuracy="irrelevant">maybe</studentAnswer>
    <studentAnswer count="1" accuracy="correct">no id</studentAnswer>
    <studentAnswer count="1" id="M-Q1.sbj6-l1.qa1">no label</studentAnswer>
    <studentAnswer count="1" id="M-Q1.sbj7-l1.qa1" accuracy="correct"> </studentAnswer>
  </studentAnswers>
</question>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_semeval_questions_are_prompts_with_reference_answers(tmp_path: Path, encoding: str) -> None:
    outcome = ingest_files(tmp_path, {"q.xml": QUESTION.encode(encoding)}, ANY)
    assert outcome.by_row.select("prompt", "text", "score").rows() == [
        ("Q1", "A < B, café", 2.0), ("Q1", "no", 1.0), ("Q1", "maybe", 0.0),
    ]  # fmt: skip
    assert outcome.writing.students == 2
    prompt = outcome.prompts["Q1"]
    assert prompt["text"] == "Why is it so?"
    assert prompt["reference_answers"] == ["Because the gap is closed & the bulb lit.", "Because."]
    assert outcome.faults == [
        (4, "accuracy", "label_unknown"), (5, "id", "response_missing"), (6, "accuracy", "score_missing"),
        (7, "text", "text_missing"),
    ]  # fmt: skip


def test_semevals_two_way_labels_are_configured(tmp_path: Path) -> None:
    config = WritingIngestConfig(labels=("incorrect", "correct"), quarantine_limit=1.0)
    outcome = ingest_files(tmp_path, {"q.xml": QUESTION}, config)
    assert outcome.by_row["score"].to_list() == [1.0, 0.0]
    assert outcome.prompts["Q1"]["high"] == 1


@pytest.mark.parametrize(
    ("answer", "student"),
    [
        ("FaultFinding-BULB_ONLY_EXPLAIN_WHY2.sbj3-l1.qa209", "sbj3"),
        ("SwitchesBulbsSeries-SWITCH_OPEN_EXPLAIN_Q.sbjb16-l1.qa65", "sbjb16"),
        ("ME.65a.101.1", "ME.101"),
        ("ME.28b.xx-10.1", "ME.xx-10"),
        ("HB.46.179a.1", "HB.179a"),
        ("another", "another"),
    ],
)
def test_semevals_students_are_told_from_the_answers_ids(answer: str, student: str) -> None:
    assert student_of(answer) == student


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (QUESTION[:400], "q.xml is no XML that can be read at line 7: it is cut short or damaged"),
        (QUESTION.replace('id="Q1" ', ""), "its outermost element is no question with an id"),
        (QUESTION.replace("<question ", '<!DOCTYPE q [<!ENTITY a "b">]><question '), "XML with a document type"),
        (QUESTION.replace('"1.0"', '"1.0" encoding="klingon"'), "no XML that can be read"),
    ],
)
def test_semeval_files_that_are_none_are_refused(tmp_path: Path, body: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        ingest_files(tmp_path, {"q.xml": body}, ANY)
