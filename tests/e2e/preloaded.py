"""Runs of `homeroom` for `tests.forked`: what runs in the fork, and is killed, is the whole command."""

import contextlib
import importlib
import os
import sys
import warnings
from typing import Any

from tests.forked import serve

MODULES = (
    "torch",
    "torch.onnx",
    "torch.export",
    "torch.onnx._internal.exporter._core",
    "polars",
    "sklearn.metrics",
    "scipy.stats",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "jinja2",
    "psutil",
    "flows.cli.run",
    "flows.operations",
)


def _export_once() -> None:
    """Export a layer: the exporter loads and builds most of what it needs at its first use."""
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(
            torch.nn.Linear(2, 2), (torch.zeros(3, 2),), dynamo=True, dynamic_shapes=shapes, verbose=False
        )


def run(question: dict[str, Any]) -> int:
    """Run `homeroom ARGUMENTS` in its environment and return its exit code."""
    os.environ.clear()
    os.environ.update(question["environment"])
    from flows.__main__ import main

    sys.argv = ["homeroom", *question["arguments"]]
    try:
        main(question["arguments"])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 1


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    _export_once()
    serve(run)
