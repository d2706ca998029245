"""Splitting students."""

import hashlib

import numpy as np

from components.preprocess.split import TEST, TRAIN, VALID, split_of_students

STUDENTS = [hashlib.sha256(str(i).encode()).hexdigest()[:32] for i in range(5_000)]


def split(students: list[str], **changes: float) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    settings = {"valid_share": 0.1, "test_share": 0.2, **changes}
    return split_of_students(
        students,
        [None] * len(students),
        valid_share=settings["valid_share"],
        test_share=settings["test_share"],
        seed=int(settings.get("seed", 0)),
    )


def test_shares_are_met_within_sampling_error() -> None:
    side = split(STUDENTS)
    # binomial standard deviation of 5,000 draws is below 0.0057
    assert abs((side == TEST).mean() - 0.2) < 0.02
    assert abs((side == VALID).mean() - 0.1) < 0.02
    assert abs((side == TRAIN).mean() - 0.7) < 0.02


def test_students_who_join_later_move_nobody() -> None:
    assert np.array_equal(split(STUDENTS)[:1_000], split(STUDENTS[:1_000]))


def test_order_of_students_does_not_matter() -> None:
    assert np.array_equal(split(STUDENTS)[::-1], split(STUDENTS[::-1]))


def test_another_seed_is_another_split() -> None:
    assert (split(STUDENTS) != split(STUDENTS, seed=1)).mean() > 0.3


def test_one_student_by_hand() -> None:
    # SHA-256("0:a") begins with these eight bytes; as a share of 2**64 they fall below or above the test share.
    place = int.from_bytes(hashlib.sha256(b"0:a").digest()[:8], "big") / 2**64
    for test_share in (place / 2, (place + 1) / 2):
        expected = TEST if place < test_share else TRAIN
        assert split(["a"], test_share=test_share, valid_share=0.0)[0] == expected


def test_declared_test_students_are_the_test_split_alone() -> None:
    declared = ["test" if i % 3 == 0 else None for i in range(5_000)]
    side = split_of_students(STUDENTS, declared, valid_share=0.1, test_share=0.2, seed=0)
    assert np.array_equal(side == TEST, np.array(declared) == "test")
    others = side[np.array(declared) != "test"]
    assert abs((others == VALID).mean() - 0.1 / 0.8) < 0.02  # valid : train stays 1 : 7


def test_declared_validation_students_leave_the_others_to_training() -> None:
    declared = ["valid" if i % 4 == 0 else "test" if i % 4 == 1 else None for i in range(5_000)]
    side = split_of_students(STUDENTS, declared, valid_share=0.1, test_share=0.2, seed=0)
    expected = [{"valid": VALID, "test": TEST, None: TRAIN}[name] for name in declared]
    assert side.tolist() == expected


def test_where_only_validation_is_declared_the_test_share_is_taken_of_the_others() -> None:
    declared = ["valid" if i % 2 else None for i in range(5_000)]
    side = split_of_students(STUDENTS, declared, valid_share=0.2, test_share=0.2, seed=0)
    others = side[np.array(declared) != "valid"]
    assert not (others == VALID).any()
    assert abs((others == TEST).mean() - 0.2 / 0.8) < 0.025
