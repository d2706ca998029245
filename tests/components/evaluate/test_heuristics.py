"""The heuristics against a calculation by hand and the figures computed elsewhere for two public data sets."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from components.evaluate.heuristics import heuristics_of
from components.evaluate.sequences import read_split
from tests.components.evaluate.published import read_three_lines


def test_two_students_give_the_values_worked_out_by_hand(tmp_path: Path, split_writer: Callable[..., None]) -> None:
    train = [[([2, 0], 1.0), ([2, 0], 1.0), ([2, 3], 0.0), ([2, 0], 0.0)]]
    test = [[([2, 0], 0.0), ([2, 3], 1.0), ([5, 0], 1.0)], [([2, 0], 1.0)]]
    split_writer(tmp_path / "train", [0], train, 10)
    split_writer(tmp_path / "test", [1, 2], test, 2)  # the first student's third step opens a second window
    found = heuristics_of(read_split(tmp_path, "train"), read_split(tmp_path, "test"))
    base = 0.5
    single, pair, unseen = (2 + 5 * base) / (3 + 5), (0 + 5 * base) / (1 + 5), base
    assert found.skill_mean == pytest.approx([single, pair, unseen, single])
    running = [base, (0 + 2 * base) / 3, (1 + 2 * base) / 4, base]
    assert found.skill_and_student_mean == pytest.approx(
        [(s + r) / 2 for s, r in zip([single, pair, unseen, single], running, strict=True)]
    )


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "skill_mean", "with_student"), [("assist2009_updated", 0.620, 0.711), ("assist2015", 0.643, 0.676)]
)
def test_public_data_give_the_aucs_that_their_readmes_name(
    data_folder: Path, name: str, skill_mean: float, with_student: float
) -> None:
    train, test = (read_three_lines(data_folder / name / f"{name}_{part}.csv.gz") for part in ("train", "test"))
    found = heuristics_of(train, test)
    # the READMEs give three decimals of "smoothed" means; the weight of the prior moves the third
    assert roc_auc_score(test.responses, found.skill_mean) == pytest.approx(skill_mean, abs=0.001)
    assert roc_auc_score(test.responses, found.skill_and_student_mean) == pytest.approx(with_student, abs=0.001)
