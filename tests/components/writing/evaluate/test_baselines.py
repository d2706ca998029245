"""The training mean and the line of length, against hand calculation and scikit-learn, and new prompts."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from components.store import Store
from components.writing.evaluate.baselines import baselines_of
from components.writing.evaluate.dataset import read_split
from tests.components.writing.evaluate.made_up import Responses, simulated, write_dataset


def test_the_mean_is_each_prompts_own_and_of_all_by_range_for_a_new_prompt(tmp_path: Path) -> None:
    train = Responses(prompt=np.array([0, 0, 1, 1]), score=np.array([0.0, 3, 2, 7]))
    test = Responses(prompt=np.array([1, 0, 2]), score=np.array([2.0, 0, 1]))
    store = Store(tmp_path / "store")
    folder = store.folder(write_dataset(store, tmp_path / "d", {"train": train, "test": test}, features=()))
    found = baselines_of(read_split(folder, "train"), read_split(folder, "test"))
    # shares of the range in training: 0, 1, 0, .5; their mean .375, on the scale from 1 to 3
    assert found["constant"].raw.tolist() == [4.5, 1.5, 1.75]
    assert list(found) == ["constant"]


def test_the_line_of_length_is_scikit_learns_ridge_for_each_prompt(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    data = {"train": simulated(200, 1)[0], "test": simulated(100, 2)[0]}
    folder = store.folder(write_dataset(store, tmp_path / "d", data))
    train, test = read_split(folder, "train"), read_split(folder, "test")
    found = baselines_of(train, test)["length"]
    assert train.length is not None
    assert test.length is not None
    for p in range(3):
        own, wanted = train.prompt == p, test.prompt == p
        scaler = StandardScaler().fit(train.length[own][:, None])
        line = Ridge(alpha=1.0).fit(scaler.transform(train.length[own][:, None]), train.score[own])
        assert found.raw[wanted] == pytest.approx(line.predict(scaler.transform(test.length[wanted][:, None])))


def test_a_prompt_with_two_training_responses_or_equal_lengths_falls_back_to_the_mean(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    train = Responses(
        prompt=np.array([0, 0, 1, 1, 1]),
        score=np.array([0.0, 3, 2, 7, 9]),
        features=np.array([[1.0], [5], [4], [4], [4]]),
    )
    test = Responses(prompt=np.array([0, 1]), score=np.array([1.0, 5]), features=np.array([[9.0], [1.0]]))
    folder = store.folder(write_dataset(store, tmp_path / "d", {"train": train, "test": test}, features=("log_words",)))
    found = baselines_of(read_split(folder, "train"), read_split(folder, "test"))
    assert found["length"].raw.tolist() == found["constant"].raw.tolist() == [1.5, 6.0]
