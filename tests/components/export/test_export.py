"""The export: symbolic axes, the same answers as torch, metadata, and what it refuses."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import onnx
import pytest
import torch
from torch import Tensor, nn

from components.errors import ExportError
from components.export import graph, parity
from components.export.config import ExportConfig
from flows.knowledge_tracing.config import DktConfig
from flows.knowledge_tracing.model import DeepKnowledgeTracing

pytestmark = pytest.mark.slow  # torch.onnx.export takes seconds

LONGEST = 60


@pytest.fixture(scope="module")
def network() -> DeepKnowledgeTracing:
    torch.manual_seed(0)
    made = DeepKnowledgeTracing(
        items=30, skills=9, max_skills=3, network=asdict(DktConfig(width=8, hidden=12)), learning_rate=1e-2
    )
    assert made.network.difficulty is not None
    nn.init.normal_(made.network.difficulty.weight)
    return made.eval()


@pytest.fixture(scope="module")
def exported(network: DeepKnowledgeTracing, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    graph.write_onnx(network, path, opset=20, metadata={"checkpoint": "abc", "application": "knowledge_tracing"})
    return path


def test_batch_and_time_are_symbolic(exported: Path) -> None:
    graph.check_axes(exported)
    found = {
        i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim]
        for i in onnx.load(exported).graph.input
    }
    assert found == {"items": ["batch", "steps"], "skills": ["batch", "steps", 3], "responses": ["batch", "steps"]}


def test_metadata_name_where_the_model_came_from(exported: Path) -> None:
    found = {p.key: p.value for p in onnx.load(exported).metadata_props}
    assert found == {"checkpoint": "abc", "application": "knowledge_tracing"}


def test_it_equals_torch_on_shapes_that_the_export_never_saw(network: DeepKnowledgeTracing, exported: Path) -> None:
    checks = parity.compare(network, exported, [], LONGEST)
    shapes = {(c.batch, c.steps) for c in checks}
    assert {(1, 1), (1, LONGEST)} <= shapes
    assert len(shapes) >= 6
    assert (graph.EXAMPLE_BATCH, graph.EXAMPLE_STEPS) not in shapes
    assert max(c.max_abs_error for c in checks) <= 1e-5


def test_the_same_model_gives_the_same_bytes(network: DeepKnowledgeTracing, exported: Path, tmp_path: Path) -> None:
    graph.write_onnx(
        network, tmp_path / "again.onnx", opset=20, metadata={"checkpoint": "abc", "application": "knowledge_tracing"}
    )
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_another_model_is_found_out(network: DeepKnowledgeTracing, exported: Path) -> None:
    other = DeepKnowledgeTracing(items=30, skills=9, max_skills=3, network=asdict(DktConfig(width=8, hidden=12))).eval()
    checks = parity.compare(other, exported, [], LONGEST)
    with pytest.raises(ExportError, match=r"differ from torch's by more than 1e-05 in 8 check"):
        parity.require(checks, 1e-5, "the exported model", "Look.")


def test_answers_that_are_no_number_are_found_out() -> None:
    check = parity.ParityCheck(inputs="made up", batch=1, steps=1, max_abs_error=float("nan"))
    with pytest.raises(ExportError, match="nan"):
        parity.require([check], 1e-5, "the exported model", "Look.")


def test_a_step_sees_only_what_came_before(network: DeepKnowledgeTracing) -> None:
    inputs = network.export_inputs(2, 20, seed=1)
    with torch.inference_mode():
        before = network(**inputs)
        changed = {name: value.clone() for name, value in inputs.items()}
        changed["responses"][:, 10:] = 1 - changed["responses"][:, 10:]
        changed["items"][:, 11:] = 2
        changed["skills"][:, 11:] = 3
        after = network(**changed)
    assert torch.equal(before[:, :11], after[:, :11])  # the answer at step 10 is predicted before it is given
    assert not torch.allclose(before[:, 11:], after[:, 11:])


class FixedTime(nn.Module):
    """Stands for a model whose axis the exporter fixed; the graph is changed by hand below."""

    input_names = ("responses",)
    output_names = ("probability",)

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        return {"responses": torch.rand(batch, steps, generator=torch.Generator().manual_seed(seed))}

    def forward(self, responses: Tensor) -> Tensor:
        return torch.sigmoid(responses)


def test_a_fixed_axis_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    graph.write_onnx(FixedTime(), path, opset=20, metadata={})
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5  # what an example dimension of 1 leads to
    onnx.save(model, path)
    with pytest.raises(ExportError, match=r"axis 1 \(steps\) of responses is 5"):
        graph.check_axes(path)


def test_int8_is_smaller_and_near(network: DeepKnowledgeTracing, exported: Path, tmp_path: Path) -> None:
    graph.write_int8(exported, tmp_path / "int8.onnx")
    checks = parity.compare(network, tmp_path / "int8.onnx", [], LONGEST)
    worst = max(c.max_abs_error for c in checks)
    assert 0 < worst <= ExportConfig().int8_tolerance
    # only matrices become 8-bit: the LSTM's weights, most of this model, shrink to about a quarter
    assert (tmp_path / "int8.onnx").stat().st_size < exported.stat().st_size


def test_nothing_of_the_machine_is_in_the_file(exported: Path) -> None:
    body = exported.read_bytes()
    assert b".py" not in body
    assert str(Path(__file__).resolve().parents[3]).encode() not in body


def test_the_inputs_are_described(network: DeepKnowledgeTracing) -> None:
    assert json.loads(graph.inputs_schema(network)) == {
        "items": {"dtype": "int64", "shape": ["batch", "steps"]},
        "skills": {"dtype": "int64", "shape": ["batch", "steps", 3]},
        "responses": {"dtype": "float32", "shape": ["batch", "steps"]},
    }


class OneNumberEach(nn.Module):
    """Some inputs and the output have no steps."""

    input_names = ("ids", "place")
    output_names = ("score",)
    export_axes: ClassVar = {"place": ("batch",), "score": ("batch",)}

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(12.0).reshape(3, 4))

    def forward(self, ids: Tensor, place: Tensor) -> Tensor:
        return self.table[place.unsqueeze(1), ids].sum(1)

    def export_inputs(self, batch: int, steps: int, seed: int) -> dict[str, Tensor]:
        source = torch.Generator().manual_seed(seed)
        return {
            "ids": torch.randint(0, 4, (batch, steps), generator=source),
            "place": torch.randint(0, 3, (batch,), generator=source),
        }


def test_inputs_without_steps_have_one_free_axis(tmp_path: Path) -> None:
    network, path = OneNumberEach(), tmp_path / "model.onnx"
    graph.write_onnx(network, path, opset=20, metadata={})
    graph.check_axes(path, network)
    shapes = json.loads(graph.inputs_schema(network))
    assert {name: one["shape"] for name, one in shapes.items()} == {"ids": ["batch", "steps"], "place": ["batch"]}
    real = [{"ids": torch.tensor([[1, 2, 3], [0, 0, 1]]), "place": torch.tensor([0, 2])}]
    checks = parity.compare(network, path, real, parity.LONGEST)
    assert max(check.max_abs_error for check in checks) == 0.0
    assert (checks[-1].inputs, checks[-1].batch, checks[-1].steps) == ("validation", 2, 3)
    with pytest.raises(ExportError, match=r"axis 1 \(steps\) of place is absent"):
        graph.check_axes(path)
