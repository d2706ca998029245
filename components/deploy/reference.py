"""The reference of monitoring: requests that were held out, answered by the release itself, as a service does."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from components.app import Application, answer_requests
from components.deploy.golden import model_of
from components.monitoring.reference import Reference, reference_of
from components.monitoring.signals import MOST_SIGNALS, signals_of

BATCH = 32
SPLIT = "test"
"""Of whose students the requests are: the ones that an evaluation holds out."""


def reference_signals(
    application: Application, bundle: Path, *, logs: Path, evaluation: Path, count: int, seed: int
) -> Reference:
    """Return the reference of a release that is being made.

    Args:
        application: names what makes requests from logs.
        bundle: folder with `codec.json` and `model.onnx`.
        logs: what ingest published.
        evaluation: what evaluate published.
        count: most requests.
        seed: of their draw.
    """
    codec = application.codec().from_json(json.loads((bundle / "codec.json").read_text(encoding="utf-8")))
    run = model_of(bundle / "model.onnx")
    asked = application.part(application.requests)(logs, evaluation, codec, count, seed)
    names = {student: at for at, student in enumerate(sorted({student for student, _ in asked}))}
    values: dict[str, list[float]] = {}
    students: dict[str, list[int]] = {}
    for at in range(0, len(asked), BATCH):
        few = asked[at : at + BATCH]
        answers = answer_requests(codec, run, [request for _, request in few])
        for (student, request), answer in zip(few, answers, strict=True):
            for name, value in signals_of(codec, request, asdict(answer)).items():
                values.setdefault(name, []).append(value)
                students.setdefault(name, []).append(names[student])
    found = {
        name: one
        for name in sorted(values)
        if (one := reference_of(np.array(values[name]), np.array(students[name], np.int64))) is not None
    }
    most = sorted(found, key=lambda name: (-found[name].values, name))[:MOST_SIGNALS]
    return Reference(
        split=SPLIT,
        requests=len(asked),
        students=len(names),
        signals={name: found[name] for name in sorted(most)},
    )
