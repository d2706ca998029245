"""Batches: every step once, a bounded size, a reproducible order that can be resumed, a fair share per rank."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from components.preprocess.windows import cut_windows
from components.sequences.loader import WindowLoader
from components.sequences.windows import Windows

LENGTHS = np.array([1, 7, 200, 3, 3, 55, 120, 9, 2, 2, 2, 31, 450], np.int64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    count = int(LENGTHS.sum())
    starts, lengths, students = cut_windows(LENGTHS, 200)
    for split in ("train", "valid", "test"):
        part = tmp_path / split
        part.mkdir()
        np.save(part / "items.npy", random.integers(1, 50, count, np.int32))
        np.save(part / "skills.npy", random.integers(1, 9, (count, 2), np.int32))
        np.save(part / "responses.npy", random.integers(0, 2, count).astype(np.float32))
        np.save(part / "starts.npy", starts)
        np.save(part / "lengths.npy", lengths)
        np.save(part / "window_student.npy", students)
    return tmp_path


def opened(folder: Path, split: str) -> Windows:
    return Windows.open(folder, split, ("items", "skills", "responses"))


def steps_of(loader: WindowLoader) -> list[int]:
    return [int(i) for batch in loader for i in batch["index"][batch["mask"]]]


@pytest.mark.parametrize("seed", [None, 3])
def test_every_step_comes_once_per_epoch(folder: Path, seed: int | None) -> None:
    loader = WindowLoader(opened(folder, "train"), 400, seed=seed)
    for epoch in range(2):
        loader.set_epoch(epoch)
        assert sorted(steps_of(loader)) == list(range(int(LENGTHS.sum())))


def test_a_batch_holds_what_the_arrays_hold_and_zeros_elsewhere(folder: Path) -> None:
    windows = opened(folder, "train")
    for batch in WindowLoader(windows, 400, seed=1):
        mask, index = batch["mask"], batch["index"][batch["mask"]].numpy()
        assert np.array_equal(batch["items"][mask].numpy(), windows.arrays["items"][index])
        assert np.array_equal(batch["skills"][mask].numpy(), windows.arrays["skills"][index])
        assert np.array_equal(batch["responses"][mask].numpy(), windows.arrays["responses"][index])
        assert not batch["items"][~mask].any()
        assert not batch["skills"][~mask].any()
        assert not batch["responses"][~mask].any()
        assert torch.equal(mask, mask.cummin(dim=1).values)  # padding at the right only


def test_no_batch_is_larger_than_the_budget(folder: Path) -> None:
    for batch in WindowLoader(opened(folder, "train"), 400, seed=1):
        assert batch["mask"].numel() <= 400


def test_the_order_is_a_function_of_seed_and_epoch(folder: Path) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = WindowLoader(opened(folder, "train"), 60, seed=seed)
        loader.set_epoch(epoch)
        return steps_of(loader)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


@pytest.mark.parametrize("world", [2, 3, 8])
def test_ranks_share_each_batch_of_one_rank(folder: Path, world: int) -> None:
    windows = opened(folder, "train")
    alone = list(WindowLoader(windows, 60, seed=1))
    shared = [list(WindowLoader(windows, 60, seed=1, rank=r, world_size=world)) for r in range(world)]
    for number, whole in enumerate(alone):
        parts = [ranks[number] for ranks in shared]
        steps = [part["index"][part["mask"]] for part in parts if part["weight"] > 0]
        assert sorted(torch.cat(steps).tolist()) == sorted(whole["index"][whole["mask"]].tolist())
        # the mean over the batch, of anything that steps have, is the weighted mean of the ranks' means
        means = torch.stack([part["items"][part["mask"]].double().mean() for part in parts])
        weights = torch.stack([part["weight"] for part in parts]).double()
        assert float(weights.sum()) == pytest.approx(world)
        expected = float(whole["items"][whole["mask"]].double().mean())
        assert float((means * weights).mean()) == pytest.approx(expected, rel=1e-6)
    assert any(part["weight"] == 0 for ranks in shared for part in ranks)  # batches of fewer windows than ranks
    assert {len(ranks) for ranks in shared} == {len(alone)}


def test_an_epoch_goes_on_with_another_number_of_ranks(folder: Path) -> None:
    windows = opened(folder, "train")
    first = [WindowLoader(windows, 60, seed=1, rank=r, world_size=3) for r in range(3)]
    seen: list[int] = []
    for loader in first:
        batches = iter(loader)
        for _ in range(4):
            batch = next(batches)
            seen += batch["index"][batch["mask"]].tolist() if batch["weight"] > 0 else []
    for rank in range(2):
        rest = WindowLoader(windows, 60, seed=1, rank=rank, world_size=2)
        rest.load_state_dict(first[0].state_dict())
        for batch in rest:
            seen += batch["index"][batch["mask"]].tolist() if batch["weight"] > 0 else []
    assert sorted(seen) == list(range(int(LENGTHS.sum())))


def test_ranks_evaluate_every_step_exactly_once_and_none_is_idle(folder: Path) -> None:
    windows = opened(folder, "valid")
    parts = [steps_of(WindowLoader(windows, 20_000, rank=r, world_size=2)) for r in range(2)]
    assert all(parts)
    assert sorted(parts[0] + parts[1]) == list(range(int(LENGTHS.sum())))


def test_the_arrays_stay_on_the_disk(folder: Path) -> None:
    assert all(isinstance(array, np.memmap) for array in opened(folder, "train").arrays.values())


@pytest.mark.parametrize("done", [0, 1, 5])
def test_a_loader_goes_on_where_another_stopped(folder: Path, done: int) -> None:
    whole = WindowLoader(opened(folder, "train"), 60, seed=1)
    whole.set_epoch(3)
    expected = steps_of(whole)
    first = WindowLoader(opened(folder, "train"), 60, seed=1)
    first.set_epoch(3)
    batches = iter(first)
    begun = [int(i) for _ in range(done) for b in [next(batches)] for i in b["index"][b["mask"]]]
    second = WindowLoader(opened(folder, "train"), 60, seed=1)
    second.load_state_dict(first.state_dict())
    assert begun + steps_of(second) == expected
    second.set_epoch(3)
    assert steps_of(second) == expected


def test_a_resumed_loader_reads_nothing_of_the_batches_before(folder: Path) -> None:
    class Counted(Windows):
        read = 0

        def batch(self, windows: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
            Counted.read += 1
            return super().batch(windows)

    loader = WindowLoader(Counted.open(folder, "train", ("items",)), 60, seed=1)
    loader.load_state_dict({"epoch": 0, "taken": len(loader) - 2})
    assert len(list(loader)) == Counted.read == 2


def test_a_place_in_other_data_is_refused(folder: Path) -> None:
    loader = WindowLoader(opened(folder, "train"), 60, seed=1)
    with pytest.raises(ValueError, match="after batch 1000; an epoch has"):
        loader.load_state_dict({"epoch": 0, "taken": 1_000})


@pytest.mark.parametrize(("steps", "rank"), [(0, 0), (60, 2)])
def test_impossible_arguments_are_refused(folder: Path, steps: int, rank: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        WindowLoader(opened(folder, "train"), steps, rank=rank, world_size=2)
