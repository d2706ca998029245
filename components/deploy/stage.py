"""The stage `deploy`: everything that a service needs, in one folder under one signed manifest."""

import json
import shutil

from components.artifacts import Artifact, Evaluation, FairnessReport, LeakageReport, OnnxModel, Release
from components.bundle import write_bundle_manifest
from components.deploy.config import DeployConfig
from components.monitoring.names import REFERENCE
from components.stage import PENDING, Work, stage


@stage(
    "deploy",
    libraries=("onnxruntime", "numpy", "jinja2"),
    uses_application=True,
    uses_signing_key=True,
    also=(
        "components.deploy.reference",
        "components.deploy.golden",
        "components.deploy.card",
        "components.sequences.card",
        "components.writing.card",
    ),
)
def deploy(
    work: Work,
    model: OnnxModel,
    data: Artifact,
    evaluation: Evaluation,
    fairness: FairnessReport,
    config: DeployConfig,
    leaks: LeakageReport | None = None,
    logs: Artifact | None = None,
) -> Release:
    """Bundle the model, the codec itself, golden requests with answers, card, metrics and lineage, and sign them.

    Without `leaks` the release says nothing of leakage to whoever judges it by itself; without `logs`, which ingest
    made, drift of what the release is asked cannot be told.
    """
    from components.deploy.card import model_card  # late: they load onnxruntime and jinja2
    from components.deploy.golden import golden_answers, outputs_of
    from components.deploy.reference import reference_signals
    from components.pages.card import card_page

    out = work.output()
    application = work.application
    exported = work.folder(model)
    shutil.copyfile(exported / "model.onnx", out / "model.onnx")
    has_int8 = model.int8_max_abs_error is not None
    if has_int8:
        shutil.copyfile(exported / "model.int8.onnx", out / "model.int8.onnx")
    for name, path in application.codec_files().items():
        (out / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, out / name)
    shutil.copyfile(work.folder(data) / "codec.json", out / "codec.json")
    shutil.copyfile(work.folder(evaluation) / "metrics.json", out / "metrics.json")
    shutil.copyfile(work.folder(fairness) / "groups.json", out / "fairness.json")
    if leaks is not None:
        shutil.copyfile(work.folder(leaks) / "leakage.json", out / "leakage.json")
    count, seed = config.golden_requests, config.golden_seed
    written: dict[str, object] = {"golden.json": golden_answers(application, out, count=count, seed=seed)}
    if has_int8:  # its own answers: it may differ from the float model by far more than the golden tolerance
        written["golden.int8.json"] = golden_answers(application, out, count=count, seed=seed, model="model.int8.onnx")
    written["lineage.json"] = {a.kind: a.sha256 for a in (data, model, evaluation, fairness, leaks) if a}
    if logs is not None and application.requests and config.reference_requests:
        written[REFERENCE] = reference_signals(
            application,
            out,
            logs=work.folder(logs),
            evaluation=work.folder(evaluation),
            count=config.reference_requests,
            seed=config.reference_seed,
        ).to_json()
    for name, value in written.items():
        (out / name).write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    scores = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    groups = json.loads((out / "fairness.json").read_text(encoding="utf-8"))
    card = model_card(application, data, model, evaluation, fairness, scores, groups)
    (out / "card.md").write_text(card, encoding="utf-8")
    name = application.name.replace("_", " ").capitalize()
    (out / "card.html").write_text(card_page(card, f"{name}, model {model.sha256[:12]}"), encoding="utf-8")
    version = write_bundle_manifest(
        out,
        application=application.name,
        outputs=outputs_of(out / "model.onnx"),
        golden_tolerance=config.golden_tolerance,
        key=work.signing_key,
    )
    return work.publish(
        Release(
            ref=PENDING,
            lineage=work.lineage,
            application=application.name,
            version=version,
            verdict=fairness.verdict,
        ),
        out,
    )
