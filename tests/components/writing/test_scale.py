"""The rubric's arithmetic: halves go up, ends hold, single precision is forgiven; a scale that is none is refused."""

import numpy as np
import pytest

from components.errors import SchemaError
from components.writing.scale import PromptScale, RowScales, Scale, prompt_scales


def rows(scale: Scale, count: int) -> RowScales:
    return RowScales.of([scale], np.zeros(count, np.int64))


def test_halves_go_up_and_not_to_the_even_neighbour() -> None:
    raw = np.array([0.49, 0.5, 1.5, 2.5, 2.4999, -3.0, 9.0])
    assert rows(Scale(low=0, high=4), 7).rounded(raw).tolist() == [0, 1, 2, 3, 2, 0, 4]


def test_steps_of_a_half_begin_at_the_lowest_score() -> None:
    raw = np.array([1.0, 1.2, 1.25, 1.74, 1.75, 2.9, 3.6])
    assert rows(Scale(low=1, high=3.5, step=0.5), 7).rounded(raw).tolist() == [1, 1, 1.5, 1.5, 2, 3, 3.5]


def test_every_row_has_the_scale_of_its_prompt() -> None:
    found = RowScales.of([Scale(low=0, high=3), Scale(low=10, high=60)], np.array([1, 0, 1]))
    assert found.rounded(np.array([61.0, 2.5, 34.4])).tolist() == [60, 3, 34]
    assert found.in_steps(np.array([10.0, 3.0, 12.0])).tolist() == [0, 3, 2]
    assert found.width.tolist() == [50, 3, 50]


def test_scores_of_single_precision_become_the_scores_that_they_were() -> None:
    scale = Scale(low=0, high=3, step=0.1)
    single = np.array([2.7, 0.3, 3.0], np.float32).astype(np.float64)
    assert single[0] != 2.7
    steps = rows(scale, 3).in_steps(rows(scale, 3).snapped(single))
    assert steps == pytest.approx([27, 3, 30], abs=1e-12)
    # a human score between two points, as the mean of two raters is, stays there
    assert rows(Scale(low=0, high=3), 1).snapped(np.array([1.5])).tolist() == [1.5]


def test_points_are_counted() -> None:
    assert (Scale(low=2, high=12).points, Scale(low=0, high=1, step=0.1).points) == (11, 11)


def test_prompts_and_traits_are_read_with_a_step_of_one_where_none_is_given() -> None:
    found = prompt_scales(
        [{"prompt": 7, "low": 0, "high": 30, "traits": {"style": {"low": 0, "high": 6, "step": 0.5}}, "rows": 5}]
    )
    expected = PromptScale(prompt="7", score=Scale(low=0, high=30), traits={"style": Scale(low=0, high=6, step=0.5)})
    assert found == (expected,)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"low": 0, "high": 3}, "Entry 1 of the prompts names no prompt"),
        ({"prompt": "1", "low": 0}, "The scale of prompt '1' has no numbers `low` and `high`"),
        ({"prompt": "1", "low": 3, "high": 3}, "goes from 3.0 to 3.0 in steps of 1.0; expected a highest score above"),
        ({"prompt": "1", "low": 0, "high": 3, "step": 0}, r"in steps of 0\.0"),
        ({"prompt": "1", "low": 0, "high": 3, "traits": {"style": {"low": 0}}}, "The scale of trait 'style' of prompt"),
    ],
)
def test_a_prompt_without_a_scale_is_refused(entry: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        prompt_scales([entry])
