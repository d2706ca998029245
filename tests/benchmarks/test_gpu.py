"""benchmarks/gpu: all of it runs, small, with nothing but torch and numpy; and its arithmetic is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.gpu import SECTIONS, SMALL, Sizes, busy_share, counted_flops, roc_auc, scorer_flops, waits

ROOT = Path(__file__).parents[2]
BARE = """
import sys

hidden = {"polars", "pydantic", "pydantic_settings", "scipy", "sklearn", "click", "fsspec", "onnx", "onnxruntime",
          "bentoml", "prefect", "tqdm", "platformdirs", "psutil", "lightning", "torchmetrics", "rich", "pandas",
          "matplotlib", "tensorboard", "wandb", "mlflow", "jsonargparse", "safetensors"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from benchmarks import gpu
sys.exit(gpu.main())
"""


@pytest.mark.soak
@pytest.mark.slow
def test_every_section_runs_on_a_bare_machine(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, "-c", BARE, "--small", "--output", str(output)], cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True,
        timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    found = json.loads(output.read_text())
    assert set(SECTIONS) < set(found)
    assert found["bert"]["tflops"] > 0
    assert found["bert"]["bert_share"] == pytest.approx(found["bert"]["tflops"] / found["floors"]["bf16_tflops"])
    assert found["dkt"]["dkt_interactions_per_s"] > 0
    assert 0.5 < found["dkt"]["auc_of_the_truth"] < 1
    assert 0.4 < found["dkt"]["auc"] < 1
    assert found["dkt"]["auc_steps"] == SMALL.epochs * SMALL.students // found["dkt"]["windows"]
    assert found["parity"]["parity"] == 0  # here both are the CPU
    assert found["trace"]["dkt"]["syncs_per_step"] == 0
    assert found["overhead"]["tiny trainer"]["ratio"] > 0
    assert "failed" not in done.stdout


@pytest.mark.parametrize("sizes", [SMALL, Sizes()])
def test_the_formula_of_flops_is_what_torch_counts(sizes: Sizes) -> None:
    assert scorer_flops(sizes, 1) == counted_flops(sizes)
    assert scorer_flops(sizes, 7) == 7 * counted_flops(sizes)


def test_the_area_under_the_curve_is_that_of_scikit_learn() -> None:
    source = np.random.default_rng(0)
    scores = source.integers(0, 9, 500) / 8  # with ties
    right = source.random(500) < scores
    assert roc_auc(right, scores) == pytest.approx(roc_auc_score(right, scores), abs=1e-12)
    assert roc_auc(np.array([0, 1]), np.array([0.1, 0.2])) == 1


def test_overlapping_kernels_count_once() -> None:
    def kernel(start: float, length: float) -> dict[str, object]:
        return {"cat": "kernel", "ts": start, "dur": length, "name": "k"}

    # From 0 to 100, of which 15 to 85 counts: 15 to 40 and 60 to 85 are covered.
    events = [kernel(0, 40), kernel(10, 20), kernel(60, 40), kernel(70, 5)]
    assert busy_share(events, ("kernel",)) == pytest.approx(50 / 70)
    assert busy_share([], ("kernel",)) is None


def test_waits_are_counted_inside_the_bounds() -> None:
    def event(name: str, category: str, at: float) -> dict[str, object]:
        return {"ph": "X", "name": name, "cat": category, "ts": at, "dur": 1.0}

    events = [
        {"ph": "X", "name": "measured steps", "cat": "user_annotation", "ts": 10.0, "dur": 10.0},
        event("cudaStreamSynchronize", "cuda_runtime", 5.0),
        event("cudaStreamSynchronize", "cuda_runtime", 12.0),
        event("cudaDeviceSynchronize", "cuda_runtime", 13.0),
        event("cudaLaunchKernel", "cuda_runtime", 14.0),
        event("aten::item", "cpu_op", 15.0),
        event("aten::_local_scalar_dense", "cpu_op", 15.1),  # inside of it: one reading of the device
        event("Memcpy HtoD (Pageable -> Device)", "gpu_memcpy", 16.0),
        event("aten::_local_scalar_dense", "cpu_op", 25.0),
    ]
    found = waits(events, 2)
    assert found["syncs_per_step"] == 1
    assert (found["items_per_step"], found["launches_per_step"], found["pageable_copies"]) == (0.5, 0.5, 1)
