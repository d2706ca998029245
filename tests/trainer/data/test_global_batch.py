"""One global batch for any number of processes."""

from __future__ import annotations

import pytest

from trainer.data.global_batch import share_of_batch
from trainer.errors import MisconfigurationException


@pytest.mark.parametrize(
    ("samples", "processes", "largest", "expected"),
    [
        (64, 1, None, (64, 1)),
        (64, 4, None, (16, 1)),
        (64, 4, 16, (16, 1)),
        (64, 4, 15, (8, 2)),
        (64, 1, 20, (16, 4)),
        (48, 4, 5, (4, 3)),
        (7, 1, 3, (1, 7)),
    ],
)
def test_a_step_has_the_same_samples_on_any_number_of_processes(
    samples: int, processes: int, largest: int | None, expected: tuple[int, int]
) -> None:
    share = share_of_batch(samples, processes, largest=largest)
    assert share == expected
    assert share.batch_size * share.accumulate * processes == samples


@pytest.mark.parametrize(
    ("samples", "processes", "largest", "message"),
    [
        (64, 3, None, r"64 samples cannot be shared equally by 3 processes.*63 or 66"),
        (2, 3, None, r"Take a global batch of 3,"),
        (0, 1, None, "`global_batch_size` is no number"),
        (8, 0, None, "`processes` is no number"),
        (8, 1, 0, "`largest` is no number"),
    ],
)
def test_what_cannot_be_shared_is_refused(samples: int, processes: int, largest: int | None, message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        share_of_batch(samples, processes, largest=largest)
