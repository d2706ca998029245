"""Several loaders read as one: the four modes, in training, in evaluation, and over a resume."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.checkpoints.test_resume import KillAfter, Killed
from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_data
from trainer.callbacks import ModelCheckpoint
from trainer.errors import MisconfigurationException
from trainer.utilities import CombinedLoader

# What Lightning's documentation shows for range(6) in batches of 4 and range(15) in batches of 5.
A, B = [[0, 1, 2, 3], [4, 5]], [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]
DOCUMENTED: dict[str, list[Any]] = {
    "min_size": [({"a": A[0], "b": B[0]}, 0, 0), ({"a": A[1], "b": B[1]}, 1, 0)],
    "max_size": [({"a": A[0], "b": B[0]}, 0, 0), ({"a": A[1], "b": B[1]}, 1, 0), ({"a": None, "b": B[2]}, 2, 0)],
    "max_size_cycle": [({"a": A[0], "b": B[0]}, 0, 0), ({"a": A[1], "b": B[1]}, 1, 0), ({"a": A[0], "b": B[2]}, 2, 0)],
    "sequential": [(A[0], 0, 0), (A[1], 1, 0), (B[0], 0, 1), (B[1], 1, 1), (B[2], 2, 1)],
}


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, Tensor) else value


def two_loaders() -> dict[str, Any]:
    a: Any = range(6)
    b: Any = range(15)
    return {"a": DataLoader(a, batch_size=4), "b": DataLoader(b, batch_size=5)}


@pytest.mark.parametrize("mode", list(DOCUMENTED))
def test_each_mode_gives_what_is_documented(mode: Any) -> None:
    combined = CombinedLoader(two_loaders(), mode)
    with pytest.raises(RuntimeError, match="Call `iter"):
        len(combined)
    for _ in range(2):  # every pass is a fresh one
        assert [(plain(batch), *indices) for batch, *indices in combined] == DOCUMENTED[mode]
    assert len(combined) == len(DOCUMENTED[mode])


def test_collections_of_any_form_keep_their_form() -> None:
    Pair = namedtuple("Pair", ["x", "y"])
    nested = [range(2), {"k": (range(3), range(4))}, Pair(range(5), OrderedDict(z=range(6)))]
    combined = CombinedLoader(nested, "max_size")
    assert combined.flattened == [range(n) for n in (2, 3, 4, 5, 6)]
    first, *_ = next(iter(combined))
    assert first == [0, {"k": (0, 0)}, Pair(0, OrderedDict(z=0))]
    assert CombinedLoader([1, 2, 3]).flattened == [[1, 2, 3]]  # numbers are items, not iterables
    combined.flattened = [range(n) for n in (5, 4, 3, 2, 1)]
    assert combined.iterables[1] == {"k": (range(4), range(3))}
    with pytest.raises(ValueError, match="Got 1; expected 5"):
        combined.flattened = [range(1)]
    assert [item for item, *_ in CombinedLoader(range(3))] == [0, 1, 2]


def test_limits_end_each_iterable_in_turn() -> None:
    combined = CombinedLoader([range(4), range(4), range(4)], "sequential")
    combined.limits = [2, 0, 3]
    assert list(combined) == [(0, 0, 0), (1, 1, 0), (0, 0, 2), (1, 1, 2), (2, 2, 2)]
    assert len(combined) == 5
    with pytest.raises(ValueError, match="number of limits"):
        combined.limits = [1]
    with pytest.raises(ValueError, match="`mode` is unknown"):
        CombinedLoader([], "shortest")  # type: ignore[arg-type]  # the mistake under test


class Both(Regression):
    """Trains on what two loaders give."""

    def __init__(self) -> None:
        super().__init__(dropout=0.5)
        self.seen: list[Any] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        parts = list(batch.values()) if isinstance(batch, dict) else batch
        self.seen.append([None if part is None else tuple(part[0][:, 0].tolist()) for part in parts])
        losses = [self.loss(part) for part in parts if part is not None]
        return torch.stack(losses).sum()


def loader(samples: int, batch_size: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(regression_data(samples), batch_size=batch_size, **({"shuffle": True} | options))


def test_training_cycles_the_shorter_loader(tmp_path: Path) -> None:
    model, given = Both(), {"long": loader(20, 4), "short": loader(4, 2)}
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(model, given)
    assert trainer.num_training_batches == 5
    assert trainer.global_step == 10
    assert trainer.train_dataloader is given
    first = [step[1] for step in model.seen[:5]]
    assert sorted(first[0] + first[1]) == sorted(first[2] + first[3])
    assert sorted(value for step in model.seen[:5] for value in step[0]) == sorted(
        regression_data(20).tensors[0][:, 0].tolist()
    )


@pytest.mark.parametrize(("mode", "steps"), [("min_size", 2), ("max_size", 5), ("max_size_cycle", 5)])
def test_training_takes_a_combined_loader(tmp_path: Path, mode: Any, steps: int) -> None:
    model = Both()
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, CombinedLoader([loader(20, 4), loader(4, 2)], mode))
    assert trainer.global_step == steps
    assert [step[1] is None for step in model.seen].count(True) == (3 if mode == "max_size" else 0)


def test_a_list_of_one_gives_lists_of_one(tmp_path: Path) -> None:
    model = Both()
    make_trainer(tmp_path, max_epochs=1).fit(model, [loader(8, 4)])
    assert [len(step) for step in model.seen] == [1, 1]


def test_training_one_after_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="cannot read its loaders one after the other"):
        make_trainer(tmp_path).fit(Both(), CombinedLoader([loader(8, 4)], "sequential"))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from (regression_data(16)[int(index)] for index in torch.randperm(16))


def own_generator(samples: int, batch_size: int) -> DataLoader[Any]:
    return loader(samples, batch_size, generator=torch.Generator().manual_seed(5))


COLLECTIONS: dict[str, Any] = {
    "cycle": lambda: [loader(20, 4), loader(6, 2)],
    "generators": lambda: {"a": own_generator(6, 2), "b": own_generator(20, 4)},
    "shared generator": lambda: (lambda g: [loader(6, 2, generator=g), loader(20, 4, generator=g)])(
        torch.Generator().manual_seed(3)
    ),
    "min": lambda: CombinedLoader([loader(20, 4), loader(24, 4)], "min_size"),
    "max": lambda: CombinedLoader([loader(20, 4), loader(4, 2)], "max_size"),
    "stream": lambda: [DataLoader(Stream(), batch_size=4), loader(6, 2)],
    "workers": lambda: [loader(20, 4), loader(6, 2, num_workers=1)],
}


@pytest.mark.filterwarnings("ignore:DataLoader cannot be entered in the middle")
@pytest.mark.parametrize("kind", list(COLLECTIONS))
@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_a_killed_run_ends_with_the_same_weights(tmp_path: Path, kind: str, after: int) -> None:
    if kind == "workers" and after not in (1, 4):
        pytest.skip("starting workers takes time; two places are enough")
    torch.manual_seed(11)
    straight = Both()
    make_trainer(tmp_path / "straight", max_epochs=2).fit(straight, COLLECTIONS[kind]())

    def saver() -> ModelCheckpoint:
        return ModelCheckpoint(tmp_path / "kept", every_n_train_steps=1, save_top_k=0, save_last=True)

    torch.manual_seed(11)
    first = Both()
    with pytest.raises(Killed):
        make_trainer(tmp_path, max_epochs=2, callbacks=[KillAfter(after), saver()]).fit(first, COLLECTIONS[kind]())
    torch.manual_seed(999)
    second = Both()
    make_trainer(tmp_path, max_epochs=2, callbacks=saver()).fit(second, COLLECTIONS[kind](), ckpt_path="last")
    assert first.seen + second.seen == straight.seen
    assert_equal_weights(straight, second)


class Evaluated(Regression):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = -1) -> None:
        self.calls.append((sorted(batch) if isinstance(batch, dict) else len(batch[0]), batch_idx, dataloader_idx))

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = -1) -> Any:
        return len(batch[0]), dataloader_idx


def test_evaluation_reads_nested_loaders_in_turn(tmp_path: Path) -> None:
    model, trainer = Evaluated(), make_trainer(tmp_path)
    a, b, c = loader(4, 2), loader(3, 3), loader(5, 5)
    given = {"x": a, "y": [b, c]}
    trainer.validate(model, given, verbose=False)
    assert model.calls == [(2, 0, 0), (2, 1, 0), (3, 0, 1), (5, 0, 2)]
    assert trainer.val_dataloaders is given
    assert trainer.num_val_batches == [2, 1, 1]
    assert trainer.predict(model, CombinedLoader(given, "sequential")) == [[(2, 0), (2, 0)], [(3, 1)], [(5, 2)]]


def test_evaluation_reads_a_combined_loader_together(tmp_path: Path) -> None:
    model, trainer = Evaluated(), make_trainer(tmp_path, limit_val_batches=2)
    trainer.validate(model, CombinedLoader({"x": loader(9, 2), "y": loader(2, 2)}, "max_size"), verbose=False)
    assert model.calls == [(["x", "y"], 0, 0), (["x", "y"], 1, 0)]
    with pytest.raises(ValueError, match="one after the other"):
        trainer.predict(model, CombinedLoader([loader(4, 2)], "min_size"))
