"""Writing what was learned into the grader's buffers: what both ways to fit it share."""

from typing import Any

import numpy as np
import torch

from components.writing.codec import Codec, Rubric
from components.writing.kernel.choices import Chosen, points_of
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.grader import KernelGrader

NEVER = -1e9
"""Added to the share of a label that a prompt's rubric does not have."""


def most_labels(codec: Codec, config: KernelConfig) -> int:
    """Return how many labels are decided between in any prompt; 0 where scores are rounded."""
    return max(len(points_of(terms.rubric)) for terms in codec.prompts) if config.decision == "label" else 0


def fill_labels(grader: KernelGrader, index: int, chosen: Chosen, rubric: Rubric) -> None:
    """Write a prompt's labels into the module's buffers; others than the rubric's are never chosen."""
    count = len(chosen.bias_C)
    if count:
        put(grader.bias_PC[index], np.full(grader.labels, NEVER))
        put(grader.bias_PC[index, :count], chosen.bias_C)
        put(grader.point_PC[index, :count], points_of(rubric))


def put(buffer: torch.Tensor, value: Any) -> None:  # Any: what numpy takes for an array
    """Write numbers into a buffer or a part of it."""
    buffer.copy_(torch.from_numpy(np.array(value)))
