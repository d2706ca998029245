"""Streams of indices: split, skipped, shuffled alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, Sampler, SequentialSampler

from tests.trainer.models import regression_data
from trainer.data.sampling import IndexStream, Split, is_split_already, view_loader


def split(rank: int, world_size: int, repeats: bool = False, drops: bool = False) -> Split:
    return Split(rank=rank, world_size=world_size, repeats=repeats, drops=drops, share=lambda payload: payload)


@given(total=st.integers(0, 40), world_size=st.integers(1, 5))
def test_evaluation_covers_every_sample_exactly_once(total: int, world_size: int) -> None:
    parts = [list(split(rank, world_size).part(range(total))) for rank in range(world_size)]
    assert sorted(index for part in parts for index in part) == list(range(total))
    assert [len(part) for part in parts] == [split(rank, world_size).size(total) for rank in range(world_size)]


@given(total=st.integers(1, 40), world_size=st.integers(1, 5), drops=st.booleans())
def test_training_gives_every_process_the_same_number(total: int, world_size: int, drops: bool) -> None:
    options = {"repeats": not drops, "drops": drops}
    parts = [list(split(rank, world_size, **options).part(range(total))) for rank in range(world_size)]
    assert {len(part) for part in parts} == {split(0, world_size, **options).size(total)}
    seen = {index for part in parts for index in part}
    assert len(seen) == (total // world_size * world_size if drops else total)


@given(total=st.integers(1, 40), world_size=st.integers(1, 4), batch_size=st.integers(1, 5), drop_last=st.booleans())
def test_the_length_of_a_stream_is_what_it_yields(
    total: int, world_size: int, batch_size: int, drop_last: bool
) -> None:
    for rank in range(world_size):
        source = BatchSampler(SequentialSampler(range(total)), batch_size, drop_last)
        stream = IndexStream(source, split(rank, world_size, repeats=not drop_last, drops=drop_last))
        assert len(list(stream)) == len(stream)


def test_processes_together_read_the_global_batches_of_one() -> None:
    alone = list(BatchSampler(SequentialSampler(range(24)), 8, False))
    source = BatchSampler(SequentialSampler(range(24)), 4, False)
    parts = [list(IndexStream(source, split(rank, 2, repeats=True))) for rank in range(2)]
    together = [sorted(one + other) for one, other in zip(*parts, strict=True)]
    assert together == alone


@given(total=st.integers(1, 30), skip=st.integers(0, 12))
def test_a_skipped_stream_is_the_rest_of_the_whole(total: int, skip: int) -> None:
    source = BatchSampler(SequentialSampler(range(total)), 3, False)
    whole = list(IndexStream(source, None))
    stream = IndexStream(source, None)
    stream.skip = skip
    assert list(stream) == whole[skip:]
    stream.enter()
    assert list(stream) == whole


class ByLength(Sampler[list[int]]):
    """A batch sampler of the user's own, with arguments nobody can guess."""

    def __init__(self, secret: object) -> None:
        self.secret = secret

    def __iter__(self) -> Iterator[list[int]]:
        yield from ([0, 1], [2, 3, 4], [5], [6, 7])

    def __len__(self) -> int:
        return 4


class OwnLoader(DataLoader[Any]):
    """A loader of the user's own, likewise."""

    def __init__(self, secret: object, **options: Any) -> None:
        super().__init__(regression_data(8), **options)
        self.secret = secret


def test_loaders_and_samplers_of_any_kind_are_viewed_not_built_again() -> None:
    loader = OwnLoader("x", batch_sampler=ByLength("y"))
    view, stream = view_loader(loader, split=split(1, 2))
    assert type(view) is OwnLoader
    assert view.secret == "x"
    assert [len(batch[0]) for batch in view] == [3, 2]
    assert len(view) == 2
    assert [len(batch[0]) for batch in loader] == [2, 3, 1, 2]
    assert stream.source is loader.batch_sampler


def test_a_loader_without_batching_is_split_by_sample() -> None:
    loader = DataLoader(regression_data(5), batch_size=None)
    view, _ = view_loader(loader, split=split(0, 2))
    assert len(list(view)) == len(view) == 3


def test_processes_shuffle_alike_with_and_without_a_generator_of_their_own() -> None:
    for make in (lambda: None, lambda: torch.Generator().manual_seed(3)):
        loaders = [DataLoader(regression_data(8), batch_size=2, shuffle=True, generator=make()) for _ in range(2)]
        orders = []
        shared: list[bytes] = []

        def share(payload: bytes, shared: list[bytes] = shared) -> bytes:
            shared.append(payload)
            return shared[0]

        for rank, loader in enumerate(loaders):
            torch.manual_seed(rank)
            part = Split(rank=rank, world_size=2, repeats=True, drops=False, share=share)
            _, stream = view_loader(loader, split=part)
            orders.append([index for batch in stream for index in batch])
        assert sorted(orders[0] + orders[1]) == list(range(8))


def test_a_shuffled_loader_can_be_read_in_order() -> None:
    loader = DataLoader(regression_data(8), batch_size=4, shuffle=True)
    view, _ = view_loader(loader, in_order=True)
    expected = [batch[0] for batch in DataLoader(regression_data(8), batch_size=4)]
    for batch, other in zip(view, expected, strict=True):
        assert torch.equal(batch[0], other)


@pytest.mark.parametrize("own", [True, False])
def test_a_users_own_distributed_sampler_is_seen(own: bool) -> None:
    data = regression_data(8)
    sampler: DistributedSampler[Any] | None = DistributedSampler(data, num_replicas=2, rank=0) if own else None
    assert is_split_already(DataLoader(data, sampler=sampler)) is own
    batches = BatchSampler(sampler or SequentialSampler(data), 2, False)
    assert is_split_already(DataLoader(data, batch_sampler=batches)) is own
