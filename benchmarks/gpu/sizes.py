"""How large everything is that is measured."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How large everything is.

    Attributes:
        matrix: side of the matrices of the floors.
        copy: bytes of the copies.
        layers, width, heads, tokens, words: of the essay scorer.
        essays: batch sizes that are tried.
        hidden, answers, students, checked: of knowledge tracing, the last one students of the validation.
        windows: batch sizes that are tried.
        epochs: of the training whose AUC is reported.
        warm, steps: optimizer steps before and while it is measured.
        overhead_steps, overhead_rounds: of a block, and blocks.
    """

    matrix: int = 8192
    copy: int = 2**30
    layers: int = 12
    width: int = 768
    heads: int = 12
    tokens: int = 512
    words: int = 30_522
    essays: tuple[int, ...] = (32, 64, 128)
    hidden: int = 256
    answers: int = 200
    students: int = 65_536
    checked: int = 4_096
    windows: tuple[int, ...] = (1_024, 2_048, 4_096, 8_192)
    epochs: int = 20
    warm: int = 15
    steps: int = 40
    overhead_steps: int = 100
    overhead_rounds: int = 20


SMALL = Sizes(
    matrix=128, copy=2**16, layers=2, width=32, heads=2, tokens=16, words=50, essays=(2, 4), hidden=8, answers=10,
    students=64, checked=32, windows=(8, 16), epochs=3, warm=2, steps=4, overhead_steps=5, overhead_rounds=4,
)  # fmt: skip
