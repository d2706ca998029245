"""Predicts every step of one split with the trained model and puts the answers in the order of the flat arrays."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.app import Application
from components.errors import SchemaError

CHECKPOINT = "model.ckpt"


def predict_split(
    application: Application, data_folder: Path, checkpoint_folder: Path, split: str
) -> npt.NDArray[np.float32]:
    """Return (N,) the probability of a right answer at each step of the split, aligned with `responses.npy`.

    The application's model class is loaded with `load_from_checkpoint`; its data class gives the steps with
    `for_prediction(folder, split)`. `predict_step` returns `index` (flat step indices) and `probability`, any shape.

    Raises:
        SchemaError: a step was predicted twice, not at all, or does not exist; or a probability is no number in [0, 1].
    """
    from trainer import Trainer  # late: loads torch

    model = application.part(application.model).load_from_checkpoint(checkpoint_folder / CHECKPOINT)
    data = application.part(application.data).for_prediction(data_folder, split)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    outputs = trainer.predict(model, datamodule=data) or []
    steps = len(np.load(data_folder / split / "responses.npy", mmap_mode="r"))
    return gathered(outputs, steps)


def gathered(outputs: Iterable[Mapping[str, Any]], steps: int) -> npt.NDArray[np.float32]:
    """Return (steps,) probabilities from batches of `index` and `probability` tensors.

    Raises:
        SchemaError: as `predict_split` says, all counted in one message.
    """
    batches = list(outputs)
    none = np.zeros(0)
    index = np.concatenate([_flat(b["index"]) for b in batches] or [none]).astype(np.int64)
    probability = np.concatenate([_flat(b["probability"]) for b in batches] or [none]).astype(np.float32)
    if len(index) != len(probability):
        raise SchemaError(
            f"predict_step returned {len(index)} indices and {len(probability)} probabilities; expected one "
            "probability for each index. Correct the model's predict_step."
        )
    inside = (index >= 0) & (index < steps)
    times = np.bincount(index[inside], minlength=steps)
    bad = ~((probability >= 0.0) & (probability <= 1.0))
    problems = {
        "do not exist": int((~inside).sum()),
        "were predicted more than once": int((times > 1).sum()),
        "were not predicted": int((times == 0).sum()),
        "have no probability in [0, 1]": int(bad.sum()),
    }
    if any(problems.values()):
        found = ", ".join(f"{count} {what}" for what, count in problems.items() if count)
        raise SchemaError(
            f"Of {steps} steps, {found}; expected each step once. Let predict_step leave out padding and "
            "for_prediction give every window once."
        )
    out = np.empty(steps, np.float32)
    out[index] = probability
    return out


def _flat(tensor: Any) -> npt.NDArray[Any]:  # Any: a torch tensor, typed so without importing torch
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy knows no bfloat16
    flat: npt.NDArray[Any] = tensor.reshape(-1).numpy()
    return flat
