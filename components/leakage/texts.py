"""The same, or nearly the same, text in more than one split, by prompt.

Texts are the same when their words are, whatever the case, spaces and marks; nearly the same when their runs of words
are (`components/leakage/near.py`). Texts of one split are no leak, whoever wrote them.

Shapes: N responses, D distinct texts of a prompt each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from components.leakage.findings import PAIRS
from components.leakage.near import near_pairs
from components.leakage.words import plain, runs_of, words_of
from components.preprocess.split import SPLITS, TEST, VALID


class TextConfig(Protocol):
    """What makes texts nearly the same."""

    @property
    def near_similarity(self) -> float:
        """From this Jaccard similarity on."""

    @property
    def shingle_words(self) -> int:
        """Words of a run."""

    @property
    def min_near_words(self) -> int:
        """Shorter texts are never nearly the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTexts:
    """Pairs of responses across splits, as `PAIRS` has them, and held-out responses with a text of an earlier split."""

    same_pairs: npt.NDArray[np.int64]
    """(prompts, 3)."""
    near_pairs: npt.NDArray[np.int64]
    """(prompts, 3); those of the same text are not among them."""
    responses: npt.NDArray[np.int64]
    """(prompts, 3) of train, valid and test."""
    same: npt.NDArray[np.int64]
    """(prompts, 3) responses whose text is in an earlier split; none of train."""
    near: npt.NDArray[np.int64]
    """(prompts, 3) responses of which only nearly the text is."""
    complete: bool
    """False where near pairs are so many that some were not looked for."""

    @property
    def held_out(self) -> int:
        """Responses of valid and test."""
        return int(self.responses[:, VALID:].sum())

    @property
    def share(self) -> float:
        """Share of the held-out responses with the same or nearly the same text in an earlier split."""
        return float((self.same + self.near).sum() / self.held_out) if self.held_out else 0.0


def shared_texts(
    texts: Sequence[str] | pl.Series,
    prompt_N: npt.NDArray[np.int64],
    split_N: npt.NDArray[np.int64],
    prompts: int,
    config: TextConfig,
) -> SharedTexts:
    """Return which texts lie in more than one split.

    Args:
        texts: (N).
        prompt_N: number of the prompt of each, below `prompts`.
        split_N: 0 train, 1 valid, 2 test.
        prompts: how many there are.
        config: what makes texts nearly the same.
    """
    texts = pl.Series("text", texts, pl.String)
    words = words_of(texts)
    frame = pl.DataFrame({"prompt": prompt_N, "plain": plain(texts, words)})
    distinct = frame.with_row_index("row").unique(["prompt", "plain"], keep="first", maintain_order=True)
    numbered = distinct.select("prompt", "plain").with_row_index("text")
    text_N = frame.join(numbered, on=["prompt", "plain"], how="left", maintain_order="left")["text"].to_numpy()
    counts_D3 = np.zeros((distinct.height, len(SPLITS)), np.int64)
    np.add.at(counts_D3, (text_N, split_N), 1)
    prompt_D = distinct["prompt"].to_numpy().astype(np.int64)

    has_D3 = counts_D3 > 0
    runs = runs_of(words.gather(distinct["row"]), config.shingle_words, config.min_near_words)
    pairs = near_pairs(runs, prompt_D, has_D3 @ np.array([1, 2, 4]), config.near_similarity)
    a, b = pairs.first_P, pairs.second_P

    responses = np.zeros((prompts, len(SPLITS)), np.int64)
    np.add.at(responses, (prompt_N, split_N), 1)
    same_pairs, near = np.zeros((prompts, len(PAIRS)), np.int64), np.zeros((prompts, len(PAIRS)), np.int64)
    for column, (s, t) in enumerate(PAIRS):
        np.add.at(same_pairs[:, column], prompt_D, counts_D3[:, s] * counts_D3[:, t])
        crossing = counts_D3[a, s] * counts_D3[b, t] + counts_D3[a, t] * counts_D3[b, s]
        np.add.at(near[:, column], prompt_D[a], crossing)
    same_of, near_of = np.zeros_like(responses), np.zeros_like(responses)
    for side in (VALID, TEST):
        known_D: npt.NDArray[np.bool_] = has_D3[:, :side].sum(axis=1) > 0
        alike_D = np.zeros(len(known_D), np.bool_)
        alike_D[a[known_D[b]]] = True
        alike_D[b[known_D[a]]] = True
        np.add.at(same_of[:, side], prompt_D[known_D], counts_D3[known_D, side])
        only = alike_D & ~known_D
        np.add.at(near_of[:, side], prompt_D[only], counts_D3[only, side])
    return SharedTexts(
        same_pairs=same_pairs,
        near_pairs=near,
        responses=responses,
        same=same_of,
        near=near_of,
        complete=pairs.complete,
    )
