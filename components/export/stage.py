"""The stage `export`: a checkpoint -> an ONNX model whose answers equal torch's."""

import json
from importlib.metadata import version

from components.artifacts import Artifact, Checkpoint, OnnxModel
from components.export.config import ExportConfig
from components.stage import PENDING, Work, stage


@stage(
    "export",
    libraries=("torch", "onnx", "onnxscript", "onnxruntime"),
    uses_application=True,
    also=("components.export.graph", "components.export.parity"),
)
def export(work: Work, data: Artifact, model: Checkpoint, config: ExportConfig) -> OnnxModel:
    """Export the model and compare it with torch on unseen shapes and on real validation batches.

    Raises:
        ExportError: a declared axis is not symbolic, or answers differ by more than the configuration allows.
    """
    from components.export import graph, parity  # late: they load torch and onnx

    out = work.output()
    application = work.application
    network = graph.load_network(application, work.folder(model))
    metadata = {
        "application": application.name,
        "homeroom": version("homeroom"),
        "version": f"{application.name}-{model.sha256[:12]}",
        "inputs": graph.inputs_schema(network),
        "checkpoint": model.sha256,
        "dataset": data.sha256,
        "codec": graph.digest_of_codec(work.folder(data)),
    }
    graph.write_onnx(network, out / "model.onnx", opset=config.opset, metadata=metadata)
    graph.check_axes(out / "model.onnx", network)
    longest = min(int(getattr(data, "max_len_steps", parity.LONGEST)), graph.most_steps(network))
    batches = parity.real_batches(application, network, work.folder(data), config.real_batches)
    checks = parity.compare(network, out / "model.onnx", batches, longest)
    parity.require(checks, config.tolerance, "the exported model", "Lower nothing: find the operation that differs.")
    int8_checks = []
    if config.int8:
        graph.write_int8(out / "model.onnx", out / "model.int8.onnx")
        int8_checks = parity.compare(network, out / "model.int8.onnx", batches, longest)
        parity.require(
            int8_checks,
            config.int8_tolerance,
            "the 8-bit model",
            "Set export.int8=false or allow more with int8_tolerance.",
        )
    report = {
        "tolerance": config.tolerance,
        "checks": [c.to_json() for c in checks],
        "int8_tolerance": config.int8_tolerance if config.int8 else None,
        "int8_checks": [c.to_json() for c in int8_checks],
    }
    (out / "parity.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    return work.publish(
        OnnxModel(
            ref=PENDING,
            lineage=work.lineage,
            application=application.name,
            opset=config.opset,
            max_abs_error=max(c.max_abs_error for c in checks),
            int8_max_abs_error=max((c.max_abs_error for c in int8_checks), default=None),
        ),
        out,
    )
