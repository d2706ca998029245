"""Bundles for tests: real codecs, tiny ONNX models with a formula that can be worked out by hand."""

import importlib.util
import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, checker, helper, numpy_helper
from pydantic import TypeAdapter

from components.app import answer_requests
from components.bundle import write_bundle_manifest
from components.signing import SigningKey

ROOT = Path(__file__).resolve().parents[2]
TRACING_CODEC = ROOT / "flows" / "knowledge_tracing" / "codec.py"
SCORE_CODEC = Path(__file__).with_name("score_codec.py")
TRACING_VOCABULARY = {
    "codec": "knowledge_tracing",
    "version": 1,
    "items": ["i1", "i2", "i3"],
    "skills": ["add", "mul", "sub"],
    "max_skills": 2,
    "max_len_steps": 40,
}
KEY = SigningKey(b"a key for tests only, 32 bytes..")
OTHER_KEY = SigningKey(b"another key for tests, 32 bytes.")

Arrays = Mapping[str, npt.NDArray[Any]]


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def tracing_reference(inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return, in numpy, sigmoid(0.5 * sum of earlier (2 r - 1) + 0.1 * sum of skill indices - 0.05 * item index)."""
    signs = 2.0 * inputs["responses"] - 1.0
    earlier = np.cumsum(signs, axis=1) - signs
    logits = 0.5 * earlier + 0.1 * inputs["skills"].sum(axis=2) - 0.05 * inputs["items"]
    return {"probability": (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)}


def shifted_reference(inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return `tracing_reference` with 1 added to every logit."""
    odds = np.exp(1.0) * (probability := tracing_reference(inputs)["probability"]) / (1.0 - probability)
    return {"probability": (odds / (1.0 + odds)).astype(np.float32)}


def tracing_model(*, shift: float = 0.0) -> bytes:
    """Return `tracing_reference` as ONNX, with `shift` added to every logit, and symbolic batch and time axes."""
    constants = {"two": 2.0, "one": 1.0, "half": 0.5, "tenth": 0.1, "twentieth": 0.05, "shift": shift}
    weights = [numpy_helper.from_array(np.array(v, np.float32), name) for name, v in constants.items()]
    weights.append(numpy_helper.from_array(np.array(1, np.int64), "time_axis"))
    weights.append(numpy_helper.from_array(np.array([2], np.int64), "skill_axis"))
    nodes = [
        helper.make_node("Mul", ["responses", "two"], ["doubled"]),
        helper.make_node("Sub", ["doubled", "one"], ["signs"]),
        helper.make_node("CumSum", ["signs", "time_axis"], ["earlier"], exclusive=1),
        helper.make_node("Mul", ["earlier", "half"], ["history"]),
        helper.make_node("ReduceSum", ["skills", "skill_axis"], ["skill_sum"], keepdims=0),
        helper.make_node("Cast", ["skill_sum"], ["skill_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["skill_float", "tenth"], ["skill_part"]),
        helper.make_node("Cast", ["items"], ["item_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["item_float", "twentieth"], ["item_part"]),
        helper.make_node("Add", ["history", "skill_part"], ["with_skills"]),
        helper.make_node("Sub", ["with_skills", "item_part"], ["with_items"]),
        helper.make_node("Add", ["with_items", "shift"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info("items", TensorProto.INT64, ["batch", "steps"]),
        helper.make_tensor_value_info("skills", TensorProto.INT64, ["batch", "steps", "k"]),
        helper.make_tensor_value_info("responses", TensorProto.FLOAT, ["batch", "steps"]),
    ]
    return _serialised(nodes, inputs, weights)


def score_reference(inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """Return sigmoid(sum of scores so far)."""
    return {"probability": (1.0 / (1.0 + np.exp(-np.cumsum(inputs["scores"], axis=1)))).astype(np.float32)}


def score_model() -> bytes:
    """Return `score_reference` as ONNX."""
    weights = [numpy_helper.from_array(np.array(1, np.int64), "time_axis")]
    nodes = [
        helper.make_node("CumSum", ["scores", "time_axis"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["probability"]),
    ]
    inputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", "steps"])]
    return _serialised(nodes, inputs, weights)


def _serialised(nodes: list[Any], inputs: list[Any], weights: list[Any]) -> bytes:
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", "steps"])
    graph = helper.make_graph(nodes, "test", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    body: bytes = model.SerializeToString()
    return body


def write_bundle(
    folder: Path,
    *,
    application: str = "knowledge_tracing",
    codec_file: Path = TRACING_CODEC,
    vocabulary: Mapping[str, Any] | None = None,
    model: bytes | None = None,
    reference: Callable[[dict[str, Any]], Arrays] = tracing_reference,
    int8_model: bytes | None = None,
    int8_reference: Callable[[dict[str, Any]], Arrays] | None = None,
    key: SigningKey | None = None,
    extra: Mapping[str, bytes] | None = None,
    tolerance: float = 1e-5,
) -> str:
    """Write a whole bundle whose golden answers come from `reference` (numpy), not from ONNX; return its version.

    A bundle with an `int8_model` but no `int8_reference` is as older releases were: without golden answers for it.
    """
    folder.mkdir(parents=True)
    vocabulary = TRACING_VOCABULARY if vocabulary is None else vocabulary
    shutil.copy(codec_file, folder / "codec.py")
    (folder / "codec.json").write_text(json.dumps(vocabulary))
    (folder / "model.onnx").write_bytes(tracing_model() if model is None else model)
    module = module_of(codec_file)
    codec = module.Codec.from_json(vocabulary)
    requests = codec.golden_requests(8, seed=3)
    for name, answering in (("golden.json", reference), ("golden.int8.json", int8_reference)):
        if answering is not None:
            answers = answer_requests(codec, answering, requests)
            golden = {
                "requests": [TypeAdapter(module.Request).dump_python(r, mode="json") for r in requests],
                "answers": [TypeAdapter(module.Answer).dump_python(a, mode="json") for a in answers],
            }
            (folder / name).write_text(json.dumps(golden))
    if int8_model is not None:
        (folder / "model.int8.onnx").write_bytes(int8_model)
    (folder / "card.md").write_text("# Card\n\nMade for tests.\n")
    for name in ("metrics", "fairness", "lineage"):
        (folder / f"{name}.json").write_text("{}")
    for name, body in (extra or {}).items():
        (folder / name).write_bytes(body)
    return write_bundle_manifest(folder, application, ["probability"], tolerance, key)


def write_score_bundle(folder: Path) -> str:
    """Write a bundle of another application: another codec, another model."""
    return write_bundle(
        folder,
        application="scores",
        codec_file=SCORE_CODEC,
        vocabulary={"most": 20},
        model=score_model(),
        reference=score_reference,
    )


def module_of(path: Path) -> ModuleType:
    """Import a codec file apart from the application that it belongs to."""
    import sys

    name = f"codec_for_tests_{path.parent.name}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def request_of(steps: int, candidates: int = 1, *, correct: float = 1.0) -> dict[str, Any]:
    """Return a request as plain JSON: `steps` answers, all alike, then candidates with item i2 and skill mul."""
    return {
        "history": [{"correct": correct, "item": "i1", "skills": ["add"]}] * steps,
        "candidates": [{"item": "i2", "skills": ["mul"]}] * candidates,
    }


def probability_of(steps: int, *, correct: float = 1.0) -> float:
    """Return, by hand, the answer to each candidate of `request_of`: index of i2 is 3, of mul is 3."""
    return sigmoid(0.5 * steps * (2 * correct - 1) + 0.1 * 3 - 0.05 * 3)
