"""Finding and setting a value by name on the model, its hyperparameters or the data module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trainer.errors import MisconfigurationException, four_parts

if TYPE_CHECKING:
    from trainer.trainer import Trainer


def _holders(trainer: Trainer, name: str) -> Iterator[tuple[Any, bool]]:
    """Yield who has the name: the object, and whether it is a dict."""
    for owner in (trainer.lightning_module, trainer.datamodule):
        if owner is None:
            continue
        if hasattr(owner, name):
            yield owner, False
        hparams = getattr(owner, "hparams", None)
        if hparams is not None:
            if isinstance(hparams, dict):
                if name in hparams:
                    yield hparams, True
            elif hasattr(hparams, name):
                yield hparams, False


def has_value(trainer: Trainer, name: str) -> bool:
    """Return whether the model, its hyperparameters or the data module have `name`."""
    return next(_holders(trainer, name), None) is not None


def get_value(trainer: Trainer, name: str) -> Any:
    """Return the value of the last that has `name`: data module before model, hyperparameters before attributes."""
    found = list(_holders(trainer, name))
    if not found:
        raise MisconfigurationException(
            four_parts(f"Nobody has `{name}`.", got=name, expected="an attribute or hyperparameter of model or data "
                       "module", remedy="Correct the name, or set it in `__init__`.")
        )  # fmt: skip
    holder, is_dict = found[-1]
    return holder[name] if is_dict else getattr(holder, name)


def set_value(trainer: Trainer, name: str, value: Any) -> None:
    """Set `name` wherever it is."""
    for holder, is_dict in list(_holders(trainer, name)):
        if is_dict:
            holder[name] = value
        else:
            setattr(holder, name, value)
