"""Golden requests: synthetic, with the answers that each bundled model gave when the release was made."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.app import Application, answer_requests
from components.inference import open_session


def outputs_of(model: Path) -> tuple[str, ...]:
    """Return the names of a model's outputs, in their order."""
    return tuple(output.name for output in open_session(model).get_outputs())


def model_of(path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:  # Any: each array has its own dtype
    """Return a model as a function from inputs by name to outputs by name."""
    session = open_session(path)
    taken = [i.name for i in session.get_inputs()]
    names = [o.name for o in session.get_outputs()]

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        return dict(zip(names, session.run(names, {n: inputs[n] for n in taken}), strict=True))

    return run


def golden_answers(
    application: Application, bundle: Path, *, count: int, seed: int, model: str = "model.onnx"
) -> dict[str, Any]:
    """Return `{"requests": [...], "answers": [...]}` as plain JSON values.

    Args:
        application: makes the requests from the vocabulary alone; no student's data are in them.
        bundle: folder with `codec.json` and the model.
        count: of requests.
        seed: of the requests; the same seed gives every model the same requests.
        model: name of the file in `bundle` that answers.
    """
    codec = application.codec().from_json(json.loads((bundle / "codec.json").read_text(encoding="utf-8")))
    run = model_of(bundle / model)
    requests = list(codec.golden_requests(count, seed))
    answers = [answer for request in requests for answer in answer_requests(codec, run, [request])]
    return {"requests": [asdict(r) for r in requests], "answers": [asdict(a) for a in answers]}
