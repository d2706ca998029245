"""File names of checkpoints, from templates and metrics."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from trainer.checkpoints.places import exists
from trainer.errors import MetricNotFoundError

_FIELD = re.compile(r"\{([^{}:]+)(:[^{}]*)?\}")


def format_checkpoint_name(template: str, values: Mapping[str, Any], equals: str | None) -> str:
    """Return `template` with its fields filled in, as "{epoch}-{val_loss:.2f}" -> "epoch=3-val_loss=0.25".

    Args:
        template: text with fields in braces, each perhaps with a format after a colon.
        values: numbers and tensors of one element, by name.
        equals: what stands between a value and its name before it; None leaves the name out.

    Raises:
        MetricNotFoundError: a field has no value.
    """

    def fill(field: re.Match[str]) -> str:
        name, form = field[1], (field[2] or ":")[1:]
        if name not in values:
            raise MetricNotFoundError(
                f"The checkpoint name {template!r} asks for `{name}`, which was not logged. "
                f"Known values: {sorted(values)}. Log it, or correct the template."
            )
        value = values[name].item() if isinstance(values[name], Tensor) else values[name]
        text = format(value, form)
        return text if equals is None else f"{name}{equals}{text}"

    return _FIELD.sub(fill, template)


def unused_path(path: str, extension: str, first_version: int, own: str = "", taken: Collection[str] = ()) -> str:
    """Return `path`, with "-v1", "-v2" ... before the extension where files of these names exist and are not `own`.

    Names in `taken` count as there: what is written beside the steps may not be there yet.
    """
    version = first_version
    candidate = path
    while candidate != own and (candidate in taken or exists(candidate)):
        candidate = f"{path.removesuffix(extension)}-v{version}{extension}"
        version += 1
    return candidate
