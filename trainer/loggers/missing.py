"""Loggers whose package is not there, and those that this trainer does not have."""

from __future__ import annotations

from importlib.util import find_spec

_PACKAGES = {
    "tensorboard": ("tensorboard", "tensorboard"),
    "mlflow": ("mlflow-skinny", "mlflow"),
    "wandb": ("wandb", "wandb"),
}

ABSENT = {
    "NeptuneLogger": "Neptune was shut down, and Lightning removed its logger in 2.6.4. Use MLFlowLogger or "
    "WandbLogger.",
    "CometLogger": "Comet is not supported. Use TensorBoardLogger, MLFlowLogger or WandbLogger, or subclass Logger.",
    "LitLogger": "Nothing is uploaded to Lightning's platform. Use TensorBoardLogger, MLFlowLogger or WandbLogger.",
}


def require(module: str, logger: str) -> None:
    """Refuse a logger whose package is not installed.

    Raises:
        ModuleNotFoundError: `module` cannot be imported; the message says what to install.
    """
    package, extra = _PACKAGES[module]
    if find_spec(module) is None:
        raise ModuleNotFoundError(
            f"{logger} needs the package {module}, which is not installed. Install it: pip install {package}, or this "
            f"project with its extra `{extra}`.",
            name=module,
        )
