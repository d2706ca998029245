"""Predicts every step of one split with the trained model and puts the answers in the order of the flat arrays."""

from collections.abc import Iterable, Mapping, Sequence
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
    return predicted_split(application, data_folder, checkpoint_folder, split)[0]


def predicted_split(
    application: Application, data_folder: Path, checkpoint_folder: Path, split: str, also: str = ""
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Return what `predict_split` does, and likewise the output named `also`, None where the model has no such one."""
    outputs = predicted_batches(application, data_folder, checkpoint_folder, split)
    steps = len(np.load(data_folder / split / "responses.npy", mmap_mode="r"))
    has_more = bool(outputs) and also in outputs[0]
    return gathered(outputs, steps), gathered(outputs, steps, also) if has_more else None


def predicted_batches(
    application: Application, data_folder: Path, checkpoint_folder: Path, split: str
) -> Sequence[Mapping[str, Any]]:
    """Return what `predict_step` of the trained model returns for each batch of the split."""
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
    batches: Sequence[Mapping[str, Any]] = trainer.predict(model, datamodule=data) or []
    return batches


def gathered(outputs: Iterable[Mapping[str, Any]], steps: int, name: str = "probability") -> npt.NDArray[np.float32]:
    """Return (steps,) probabilities from batches of `index` tensors and those called `name`.

    Raises:
        SchemaError: as `predict_split` says, all counted in one message.
    """
    batches = list(outputs)
    index = joined(batches, "index").astype(np.int64)
    probability = joined(batches, name).astype(np.float32)
    if len(index) != len(probability):
        raise SchemaError(
            f"predict_step returned {len(index)} indices and {len(probability)} probabilities; expected one "
            "probability for each index. Correct the model's predict_step."
        )
    bad = ~((probability >= 0.0) & (probability <= 1.0))
    problems = misplaced(index, steps) | {"have no probability in [0, 1]": int(bad.sum())}
    if any(problems.values()):
        found = ", ".join(f"{count} {what}" for what, count in problems.items() if count)
        raise SchemaError(
            f"Of {steps} steps, {found}; expected each step once. Let predict_step leave out padding and "
            "for_prediction give every window once."
        )
    out = np.empty(steps, np.float32)
    out[index] = probability
    return out


def joined(batches: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[Any]:  # Any: each output has its own dtype
    """Return one output of all batches as a flat array, in the order of the batches."""
    return np.concatenate([_flat(b[name]) for b in batches] or [np.zeros(0)])


def misplaced(index: npt.NDArray[np.int64], rows: int) -> dict[str, int]:
    """Return problem -> count: indices outside of `rows`, and rows that were not predicted exactly once."""
    inside = (index >= 0) & (index < rows)
    times = np.bincount(index[inside], minlength=rows)
    return {
        "do not exist": int((~inside).sum()),
        "were predicted more than once": int((times > 1).sum()),
        "were not predicted": int((times == 0).sum()),
    }


def _flat(tensor: Any) -> npt.NDArray[Any]:  # Any: a torch tensor, typed so without importing torch
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()  # numpy knows no bfloat16
    flat: npt.NDArray[Any] = tensor.reshape(-1).numpy()
    return flat
