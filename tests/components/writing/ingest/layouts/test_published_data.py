"""The published data sets read whole: their counts, scales, folds and how far their raters agree, as documented."""

import csv
import gzip
import hashlib
from pathlib import Path

import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from components.writing.ingest.config import WritingIngestConfig
from tests.components.writing.ingest.running import KEY, Outcome, ingest_uris

pytestmark = pytest.mark.data

AES_ESSAYS = {"1": 1783, "2": 1800, "3": 1726, "4": 1772, "5": 1805, "6": 1800, "7": 1569, "8": 723}
AES_SEEN = {"1": (2, 12), "2": (1, 6), "3": (0, 3), "4": (0, 3), "5": (0, 4), "6": (0, 4), "7": (2, 24), "8": (10, 60)}
AES_RUBRIC = {**AES_SEEN, "7": (0, 30), "8": (0, 60)}
AES_WORDS = {"1": 365, "2": 380, "3": 108, "4": 94, "5": 122, "6": 153, "7": 168, "8": 605}
AES_AGREEMENT = {"1": 0.721, "2": 0.814, "3": 0.769, "4": 0.851, "5": 0.753, "6": 0.776, "7": 0.721, "8": 0.629}
SAS_AGREEMENT = (0.944, 0.914, 0.755, 0.749, 0.953, 0.956, 0.968, 0.856, 0.828, 0.884)
SAS_TRAIN = (1338, 1023, 1447, 1326, 1436, 1438, 1440, 1440, 1439, 1312)
SAS_VALID = (334, 255, 361, 331, 359, 359, 359, 359, 359, 328)
SAS_TEST = (557, 426, 406, 295, 598, 599, 599, 599, 599, 546)
SAS_TOP = (3, 3, 2, 2, 3, 3, 2, 2, 2, 2)
SEMEVAL = [
    ("training/3way/beetle", 47, 3941, 1665, 1049, 1227),
    ("training/3way/sciEntsBank", 135, 4969, 2008, 499, 2462),
    ("test/3way/beetle/test-unseen-answers", 47, 439, 176, 111, 152),
    ("test/3way/beetle/test-unseen-questions", 9, 819, 344, 244, 231),
    ("test/3way/sciEntsBank/test-unseen-answers", 135, 540, 233, 58, 249),
    ("test/3way/sciEntsBank/test-unseen-questions", 15, 733, 301, 64, 368),
    ("test/3way/sciEntsBank/test-unseen-domains", 46, 4562, 1917, 417, 2228),
]


def agreement(rows: pl.DataFrame) -> float:
    """Return the quadratic weighted kappa of the first two raters, by scikit-learn."""
    both = rows.drop_nulls(["rater_1", "rater_2"]).select(pl.col("rater_1", "rater_2").cast(pl.Int64))
    lowest, highest = (int(f(both.select(pl.all()).to_numpy().flatten())) for f in (min, max))
    kappa = cohen_kappa_score(both["rater_1"], both["rater_2"], weights="quadratic", labels=range(lowest, highest + 1))
    return float(kappa)


@pytest.fixture(scope="module")
def aes(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = data_folder / "asap-aes"
    fold = folder / "nea_folds" / "fold_0"
    return ingest_uris(
        tmp_path_factory.mktemp("aes"),
        [str(folder / "training_set_rel3.tsv.gz"), str(fold / "train_ids.txt")],
        test_uris=[str(fold / "test_ids.txt")],
        valid_uris=[str(fold / "dev_ids.txt")],
    )


def test_asap_aes_has_all_essays_of_all_prompts(aes: Outcome) -> None:
    assert aes.writing.facts() | {"pseudonym_key_id": ""} == {
        "rows": 12_978, "students": 12_978, "prompts": 8, "raters": 3, "quarantined": 0, "layout": "asap_aes",
        "traits": ["conventions", "ideas", "organization", "sentence_fluency", "style", "voice", "word_choice"],
        "protocol": "scored_writing", "pseudonym_key_id": "", "groups": [],
        "overrides": 0, "overrides_sha256": "",
    }  # fmt: skip
    by_prompt = aes.responses.group_by("prompt").agg(
        pl.len(), pl.col("score").min().alias("low"), pl.col("score").max().alias("high"),
        pl.col("text").str.count_matches(r"\S+").mean().alias("words"),
    )  # fmt: skip
    for row in by_prompt.to_dicts():
        assert row["len"] == AES_ESSAYS[row["prompt"]]
        assert (row["low"], row["high"]) == AES_SEEN[row["prompt"]]
        assert row["words"] == pytest.approx(AES_WORDS[row["prompt"]], rel=0.02)
    rubric = {name: (prompt["low"], prompt["high"]) for name, prompt in aes.prompts.items()}
    assert rubric == AES_RUBRIC
    assert aes.report["texts"]["repeated"] == 4
    assert aes.responses["rater_3"].drop_nulls().len() == 128


def test_asap_aes_raters_agree_as_documented(aes: Outcome) -> None:
    found = {str(name): agreement(rows) for (name,), rows in aes.responses.group_by("prompt")}
    assert {name: round(value, 3) for name, value in found.items()} == AES_AGREEMENT
    assert round(sum(found.values()) / 8, 3) == 0.754


def test_asap_aes_folds_are_the_published_ones(aes: Outcome, data_folder: Path) -> None:
    assert aes.report["responses_declared"] == {"train": 7787, "valid": 2593, "test": 2598, "none": 0}
    ids = (data_folder / "asap-aes/nea_folds/fold_0/test_ids.txt").read_text().split()
    expected = {KEY.mac(f"response\0{one}".encode())[:16].hex() for one in ids}
    assert set(aes.responses.filter(pl.col("declared_split") == "test")["response"]) == expected


def test_asap_aes_texts_and_traits_are_those_of_the_file(aes: Outcome, data_folder: Path) -> None:
    kept = {row["response"]: row for row in aes.responses.to_dicts()}
    with gzip.open(data_folder / "asap-aes/training_set_rel3.tsv.gz", "rt", encoding="utf-8", newline="\n") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    traits = 0
    for row in rows:
        own = kept[KEY.mac(f"response\0{row['essay_id']}".encode())[:16].hex()]
        assert own["text"] == row["essay"]
        assert own["score"] == float(row["domain1_score"])
        if row["essay_set"] == "2":
            assert own["trait_conventions"] == float(row["domain2_score"])
        elif row["essay_set"] in "78":
            place = 4 if row["essay_set"] == "7" else 6
            third = row[f"rater3_trait{place}"]
            two = float(row[f"rater1_trait{place}"]) + float(row[f"rater2_trait{place}"])
            assert own["trait_conventions"] == (2 * float(third) if third else two)
            assert own["trait_ideas"] is not None
            assert (own["trait_style"] is None) == (row["essay_set"] == "8")
            traits += 1
        else:
            assert own["trait_conventions"] is None
    assert traits == AES_ESSAYS["7"] + AES_ESSAYS["8"]
    assert {name: sorted(prompt["traits"]) for name, prompt in aes.prompts.items() if prompt["traits"]} == {
        "2": ["conventions"],
        "7": ["conventions", "ideas", "organization", "style"],
        "8": ["conventions", "ideas", "organization", "sentence_fluency", "voice", "word_choice"],
    }


def test_asap_aes_is_found_from_its_head_alone_and_lists_of_other_data_are_refused(
    data_folder: Path, tmp_path: Path
) -> None:
    from components.errors import SchemaError

    sas = [str(p) for p in sorted((data_folder / "asap-sas").glob("asap-3/train.csv.gz"))]
    ids = str(data_folder / "asap-aes/nea_folds/fold_0/test_ids.txt")
    with pytest.raises(SchemaError, match=r"of 2598 ids in the lists belong to no response in the data"):
        ingest_uris(tmp_path, sas, test_uris=[ids])


def test_asap_sas_has_all_answers_with_roles_by_file(data_folder: Path, tmp_path: Path) -> None:
    folders = [data_folder / "asap-sas" / f"asap-{number}" for number in range(1, 11)]
    parts = {name: [str(folder / f"{name}.csv.gz") for folder in folders] for name in ("train", "val", "test")}
    outcome = ingest_uris(tmp_path, parts["train"], None, parts["test"], parts["val"])
    assert outcome.writing.quarantined == 0
    assert outcome.writing.raters == 2
    for number in range(10):
        rows = outcome.responses.filter(pl.col("prompt") == str(number + 1))
        declared = dict(rows.group_by("declared_split").len().iter_rows())
        assert declared == {None: SAS_TRAIN[number], "valid": SAS_VALID[number], "test": SAS_TEST[number]}
        assert rows["score"].equals(rows["rater_1"], check_names=False)
        assert rows["score"].max() == SAS_TOP[number] == outcome.prompts[str(number + 1)]["high"]
        assert round(agreement(rows), 3) == SAS_AGREEMENT[number]


def test_asap_sas_as_the_competition_gave_it_has_no_scores(data_folder: Path, tmp_path: Path) -> None:
    uris = [str(data_folder / "asap-sas/original/public_leaderboard_rel_2.tsv.gz")]
    outcome = ingest_uris(tmp_path, uris, WritingIngestConfig(needs_scores=False))
    assert outcome.writing.rows == sum(SAS_TEST)
    assert outcome.responses["score"].null_count() == sum(SAS_TEST)


@pytest.mark.parametrize(("part", "questions", "answers", "correct", "contradictory", "incorrect"), SEMEVAL)
def test_semeval_has_all_answers_straight_from_the_archive(
    data_folder: Path,
    tmp_path: Path,
    part: str,
    questions: int,
    answers: int,
    correct: int,
    contradictory: int,
    incorrect: int,
) -> None:
    archive = data_folder / "semeval2013-task7-3way/semeval-3way.zip"
    outcome = ingest_uris(tmp_path, [f"zip://{part}/*.xml::{archive}"])
    assert (outcome.writing.prompts, outcome.writing.rows, outcome.writing.quarantined) == (questions, answers, 0)
    labels = dict(outcome.responses.group_by("score").len().iter_rows())
    assert labels == {2.0: correct, 1.0: contradictory, 0.0: incorrect}
    assert all(prompt["text"] and prompt["reference_answers"] for prompt in outcome.prompts.values())
    assert 10 < outcome.writing.students < answers


def test_the_digest_of_the_essays_is_the_documented_one(data_folder: Path) -> None:
    with gzip.open(data_folder / "asap-aes/training_set_rel3.tsv.gz") as stream:
        assert hashlib.sha256(stream.read()).hexdigest().startswith("2c61002824334ca0")
