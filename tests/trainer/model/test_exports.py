"""to_onnx: what the exported file computes, and what is refused."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import trainer as L
from tests.trainer.models import Regression
from trainer.errors import MisconfigurationException


@pytest.fixture(autouse=True)
def _quiet_exporter() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's exporter and onnxscript, about themselves
        yield


def run_onnx(model: Any, *inputs: Tensor) -> np.ndarray[Any, Any]:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    found: np.ndarray[Any, Any] = session.run(
        None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)}
    )[0]
    return found


def test_the_file_computes_what_the_model_does_in_evaluation(tmp_path: Path) -> None:
    model = Regression(dropout=0.9)
    model.net[1].eval()
    features = torch.randn(5, 4)
    model.to_onnx(tmp_path / "model.onnx", features, verbose=False)
    assert [part.training for part in model.net] == [True, False, True, True]
    with torch.no_grad():
        expected = model.eval()(features).numpy()
    np.testing.assert_allclose(run_onnx(str(tmp_path / "model.onnx"), features), expected, atol=1e-6)


class Recurrent(L.LightningModule):
    """An LSTM over sequences of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.out = nn.Linear(5, 1)
        self.example_input_array = torch.randn(2, 4, 3)

    def forward(self, steps: Tensor) -> Tensor:
        output: Tensor = self.out(self.lstm(steps)[0])
        return output


def test_open_dimensions_stay_open(tmp_path: Path) -> None:
    model = Recurrent()
    open_ = ({0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("steps", min=1, max=64)},)
    program = model.to_onnx(tmp_path / "lstm.onnx", dynamic_shapes=open_, verbose=False)
    assert program is not None
    for shape in ((3, 7, 3), (1, 1, 3), (2, 4, 3)):
        steps = torch.randn(*shape)
        with torch.no_grad():
            expected = model(steps).numpy()
        np.testing.assert_allclose(run_onnx(str(tmp_path / "lstm.onnx"), steps), expected, atol=1e-6)
    with pytest.raises(MisconfigurationException, match=r"shape \(1, 4, 3\), dimension 0 open"):
        model.to_onnx(tmp_path / "fixed.onnx", torch.randn(1, 4, 3), dynamic_shapes=open_)
    assert not (tmp_path / "fixed.onnx").exists()


def test_a_sample_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Could not export to ONNX since neither"):
        Regression().to_onnx(tmp_path / "model.onnx")


class Pair(L.LightningModule):
    """Two arguments, and a hook on batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.seen: list[type] = []

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        output: Tensor = self.layer(one) - other
        return output

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.seen.append(type(batch))
        return batch


@pytest.mark.parametrize("named", [False, True])
def test_several_arguments(named: bool) -> None:
    model, one, other = Pair(), torch.randn(3, 2), torch.randn(3, 2)
    sample: Any = {"one": one, "other": other} if named else (one, other)
    file = BytesIO()
    model.to_onnx(file, sample, verbose=False)
    assert model.seen == [type(sample)]
    with torch.no_grad():
        expected = model(one, other).numpy()
    np.testing.assert_allclose(run_onnx(file.getvalue(), one, other), expected, atol=1e-6)
