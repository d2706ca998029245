"""Who is answered by a challenger: always the same students, more with a larger share, others for another release."""

import pytest

from serving.canary import LONGEST, takes_part

STUDENTS = [f"pseudonym-{number}" for number in range(20_000)]


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_the_share_is_what_was_asked_for(percent: int) -> None:
    share = sum(takes_part(student, "tracing-aa", percent) for student in STUDENTS) / len(STUDENTS)
    spread = (percent / 100 * (1 - percent / 100) / len(STUDENTS)) ** 0.5  # binomial
    assert abs(share - percent / 100) < 5 * spread


def test_a_student_stays_while_the_share_grows() -> None:
    for before, after in ((1, 10), (10, 50), (50, 99)):
        for student in STUDENTS[:3000]:
            assert takes_part(student, "v", after) or not takes_part(student, "v", before)


def test_another_release_meets_other_students() -> None:
    one = {student for student in STUDENTS if takes_part(student, "tracing-aa", 10)}
    other = {student for student in STUDENTS if takes_part(student, "tracing-bb", 10)}
    assert len(one & other) / len(one) == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("student", [None, "", "x" * (LONGEST + 1)])
def test_without_a_pseudonym_nobody_takes_part(student: str | None) -> None:
    assert not takes_part(student, "v", 99)


def test_any_text_can_be_hashed() -> None:
    assert isinstance(takes_part("\ud800 ñ 数", "v", 50), bool)
    assert not takes_part("a", "v", 0)
