"""Batches of texts: every text once, an order that can be resumed, a fair share per rank."""

import itertools

import numpy as np
import pytest
import torch

from components.writing.loader import TextLoader
from components.writing.preprocess.arrays import Ragged, TextArrays

LENGTHS = np.random.default_rng(0).integers(1, 90, 101)


def arrays(lengths: np.ndarray = LENGTHS) -> TextArrays:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    count = len(lengths)
    return TextArrays(
        prompt_R=np.zeros(count, np.int32),
        features_RF=np.zeros((count, 2), np.float32),
        score_R=np.arange(count, dtype=np.float32),
        traits_RK=np.zeros((count, 0), np.float32),
        ids=None,
        values=None,
        tokens=Ragged(flat=np.ones(offsets[-1], np.int32), offsets=offsets),
    )


def rows(loader: TextLoader) -> list[list[int]]:
    return [batch["index"].tolist() for batch in loader]


@pytest.mark.parametrize("seed", [None, 3])
def test_every_text_comes_once_an_epoch(seed: int | None) -> None:
    loader = TextLoader(arrays(), 8, seed=seed)
    given = rows(loader)
    assert len(given) == len(loader) == 13
    assert sorted(itertools.chain(*given)) == list(range(101))


def test_texts_of_a_batch_are_of_like_length() -> None:
    loader = TextLoader(arrays(), 8, seed=1)
    padded = sum(batch["tokens"].numel() for batch in loader)
    assert padded < 1.35 * LENGTHS.sum()
    in_any_order = sum(LENGTHS[i : i + 8].max() * len(LENGTHS[i : i + 8]) for i in range(0, 101, 8))
    assert in_any_order > 1.6 * LENGTHS.sum()


def test_an_order_belongs_to_its_seed_and_epoch() -> None:
    def of(seed: int, epoch: int) -> list[list[int]]:
        loader = TextLoader(arrays(), 8, seed=seed)
        loader.set_epoch(epoch)
        return rows(loader)

    assert of(1, 2) == of(1, 2)
    assert of(1, 2) != of(1, 3)
    assert of(1, 2) != of(2, 2)


def test_a_resumed_epoch_goes_on_with_the_next_batch() -> None:
    whole = TextLoader(arrays(), 8, seed=1)
    whole.set_epoch(4)
    expected = rows(whole)
    broken = TextLoader(arrays(), 8, seed=1)
    broken.set_epoch(4)
    first = [batch["index"].tolist() for batch in itertools.islice(broken, 5)]
    again = TextLoader(arrays(), 8, seed=1)
    again.load_state_dict(broken.state_dict())
    assert first + rows(again) == expected
    assert rows(again) == expected  # and the next time from the beginning


@pytest.mark.parametrize("texts", [1, 7, 8])
def test_ranks_share_each_batch_and_their_weights_make_its_mean(texts: int) -> None:
    alone = list(TextLoader(arrays(), texts, seed=2))
    shares = [list(TextLoader(arrays(), texts, seed=2, rank=rank, world_size=3)) for rank in range(3)]
    for batch, *own in zip(alone, *shares, strict=True):
        weighted = [part["score"].mean() * part["weight"] for part in own]
        assert float(torch.stack(weighted).mean()) == pytest.approx(float(batch["score"].mean()), rel=1e-5)
        kept = itertools.chain(*(part["index"].tolist() for part in own if part["weight"] > 0))
        assert sorted(kept) == sorted(batch["index"].tolist())


def test_ranks_evaluate_every_text_once_and_each_has_some() -> None:
    few = arrays(LENGTHS[:5])
    shares = [rows(TextLoader(few, 64, rank=rank, world_size=2)) for rank in range(2)]
    assert all(shares)
    assert sorted(itertools.chain(*shares[0], *shares[1])) == list(range(5))


def test_a_place_behind_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="after batch 14; an epoch has 13 batches here"):
        TextLoader(arrays(), 8, seed=1).load_state_dict({"epoch": 0, "taken": 14})


@pytest.mark.parametrize(("texts", "rank"), [(0, 0), (8, 2)])
def test_senseless_settings_are_refused(texts: int, rank: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1 text"):
        TextLoader(arrays(), texts, rank=rank, world_size=2)
