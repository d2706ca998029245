"""Metrics, hyperparameters, media and checkpoints for Weights & Biases."""

from __future__ import annotations

import json
import os
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from trainer.errors import MisconfigurationException
from trainer.loggers.checkpoint_files import description, new_files
from trainer.loggers.logger import Logger, is_rank_zero, rank_zero_experiment
from trainer.loggers.missing import require
from trainer.loggers.params import as_dict, as_number, prefixed
from trainer.loggers.row_queue import RowQueue

if TYPE_CHECKING:
    from trainer.callbacks.model_checkpoint import ModelCheckpoint


class WandbLogger(Logger):
    """Keeps a run in Weights & Biases, or with `offline=True` in local files that `wandb sync` sends later.

    Metrics are passed on by a thread, never by the training step.

    Args:
        name: shown name of the run.
        save_dir: folder that holds the local files, in a folder "wandb".
        version: identity of the run; the same one goes on with a run.
        offline: send nothing.
        dir: the same as `save_dir`, which wins.
        id: the same as `version`, which wins.
        anonymous: log without an account, where the installed package still can.
        project: by default `WANDB_PROJECT`, else "lightning_logs".
        log_model: keep checkpoints as artifacts: at the end (True), whenever one is written ("all"), or never.
        experiment: an existing run of `wandb.init` to log to.
        prefix: put before every metric's name, with a dash.
        checkpoint_name: name of the artifact, by default "model-" and the run's identity.
        add_file_policy: "mutable" copies a checkpoint before it is sent, "immutable" does not.
        kwargs: for `wandb.init`.

    Raises:
        ModuleNotFoundError: wandb is not installed.
        MisconfigurationException: checkpoints are to be kept, and nothing is to be sent.
    """

    def __init__(
        self,
        name: str | None = None,
        save_dir: str | Path = ".",
        version: str | None = None,
        offline: bool = False,
        dir: str | Path | None = None,
        id: str | None = None,
        anonymous: bool | None = None,
        project: str | None = None,
        log_model: Literal["all"] | bool = False,
        experiment: Any = None,  # wandb ships types of its own versions only
        prefix: str = "",
        checkpoint_name: str | None = None,
        add_file_policy: Literal["mutable", "immutable"] = "mutable",
        **kwargs: Any,
    ) -> None:
        require("wandb", type(self).__name__)
        if offline and log_model:
            raise MisconfigurationException(
                f"Checkpoints cannot be sent while offline. Got log_model={log_model!r} and offline=True; expected one "
                "of them. Pass log_model=False, or offline=False."
            )
        folder = save_dir if save_dir is not None else dir
        self._wandb_init: dict[str, Any] = {
            "name": name,
            "project": project or os.environ.get("WANDB_PROJECT", "lightning_logs"),
            "dir": None if folder is None else os.fspath(folder),
            "id": version or id,
            "resume": "allow",
            **({"anonymous": "allow"} if anonymous else {}),
            **({"mode": "offline"} if offline else {}),
            **kwargs,
        }
        self._offline = offline
        self._log_model = log_model
        self._prefix = prefix
        self._experiment = experiment
        self._checkpoint_name = checkpoint_name
        self.add_file_policy = add_file_policy
        self._kept: dict[str, float] = {}
        self._checkpoint_callbacks: dict[int, ModelCheckpoint] = {}
        self._queue: RowQueue[dict[str, Any]] = RowQueue(self._pass_on, type(self).__name__)

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Return wandb's run, when everything logged so far was passed on; it is begun if it was not."""
        self._queue.flush()
        return self._begin()

    def _begin(self) -> Any:
        if self._experiment is not None:
            return self._experiment
        import wandb

        if wandb.run is not None:
            warnings.warn(
                "A run of wandb is in progress, and WandbLogger goes on with it. Call `wandb.finish()` first for a "
                "run of its own.",
                stacklevel=3,
            )
            self._experiment = wandb.run
            return self._experiment
        if self._wandb_init["dir"] is not None:
            Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        self._experiment = wandb.init(**self._wandb_init)
        if callable(getattr(self._experiment, "define_metric", None)):
            if self._wandb_init.get("sync_tensorboard"):
                self._experiment.define_metric("*", step_metric="global_step")
            else:
                self._experiment.define_metric("trainer/global_step")
                self._experiment.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        return self._experiment

    @property
    def save_dir(self) -> str | None:
        """Return the folder that holds the local files."""
        return self._wandb_init["dir"]  # type: ignore[no-any-return]  # text or None

    @property
    def name(self) -> str | None:
        """Return the name of the project; the run's is `experiment.name`."""
        return self._wandb_init["project"]  # type: ignore[no-any-return]  # text

    @property
    def version(self) -> str | None:
        """Return the identity of the run, None where it has not begun and none was given."""
        return self._wandb_init["id"] if self._experiment is None else str(self._experiment.id)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take values of one step; `trainer/global_step` is their x axis."""
        if not is_rank_zero():
            return
        row = {key: as_number(value) for key, value in prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items()}
        if step is not None and not self._wandb_init.get("sync_tensorboard"):
            row["trainer/global_step"] = step
        self._begin()
        self._queue.put(row)

    def _pass_on(self, rows: Sequence[dict[str, Any]]) -> None:
        run = self._begin()
        for row in rows:
            run.log(row)

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Put hyperparameters into the run's configuration; what is no JSON is kept as text, functions by name."""
        if is_rank_zero():
            values = {key: _as_json(value) for key, value in as_dict(params).items()}
            self._begin().config.update(values, allow_val_change=True)

    def watch(
        self, model: nn.Module, log: str | None = "gradients", log_freq: int = 100, log_graph: bool = True
    ) -> None:
        """Let wandb follow the model's gradients or weights, and its graph."""
        self.experiment.watch(model, log=log, log_freq=log_freq, log_graph=log_graph)

    # Media

    def log_table(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[Any]] | None = None,
        dataframe: Any = None,  # of pandas
        step: int | None = None,
    ) -> None:
        """Log a table, given as `columns` and `data` or as `dataframe`."""
        import wandb

        self.log_metrics({key: wandb.Table(columns=columns, data=data, dataframe=dataframe)}, step)

    def log_text(
        self,
        key: str,
        columns: list[str] | None = None,
        data: list[list[str]] | None = None,
        dataframe: Any = None,  # of pandas
        step: int | None = None,
    ) -> None:
        """Log text as a table."""
        self.log_table(key, columns, data, dataframe, step)

    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log images (tensors, arrays or files); further arguments are lists with one entry for each.

        Raises:
            TypeError: `images` is no list.
            ValueError: an argument has another number of entries.
        """
        import wandb

        self.log_metrics({key: _media(wandb.Image, "images", images, kwargs)}, step)

    def log_audio(self, key: str, audios: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log sounds (arrays or files); arguments and errors as for `log_image`."""
        import wandb

        self.log_metrics({key: _media(wandb.Audio, "audios", audios, kwargs)}, step)

    def log_video(self, key: str, videos: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log films (arrays or files); arguments and errors as for `log_image`."""
        import wandb

        self.log_metrics({key: _media(wandb.Video, "videos", videos, kwargs)}, step)

    # Artifacts

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Keep what was written, now or at the end."""
        if self._log_model == "all" or (self._log_model is True and checkpoint_callback.save_top_k == -1):
            self._keep_checkpoints(checkpoint_callback)
        elif self._log_model is True:
            self._checkpoint_callbacks[id(checkpoint_callback)] = checkpoint_callback

    def _keep_checkpoints(self, callback: ModelCheckpoint) -> None:
        import wandb

        run = self._begin()
        self._checkpoint_name = self._checkpoint_name or f"model-{run.id}"
        for file in new_files(callback, self._kept):
            artifact = wandb.Artifact(name=self._checkpoint_name, type="model", metadata=description(callback, file))
            add = artifact.add_dir if Path(file.path).is_dir() else artifact.add_file
            add(file.path, name="model.ckpt", policy=self.add_file_policy)
            run.log_artifact(artifact, aliases=file.aliases)
            self._kept[file.path] = file.written

    @staticmethod
    def download_artifact(
        artifact: str,
        save_dir: str | Path | None = None,
        artifact_type: str | None = None,
        use_artifact: bool | None = True,
    ) -> str:
        """Return the folder that an artifact was downloaded to; the current run is noted as its user."""
        import wandb

        if wandb.run is not None and use_artifact:
            found: Any = wandb.run.use_artifact(artifact)
        else:
            found = wandb.Api().artifact(artifact, type=artifact_type)
        return str(found.download(root=None if save_dir is None else os.fspath(save_dir)))

    def use_artifact(self, artifact: str, artifact_type: str | None = None) -> Any:
        """Note that this run uses an artifact, and return it."""
        return self.experiment.use_artifact(artifact, type=artifact_type)

    # The end

    def save(self) -> None:
        """Wait until wandb has everything that was taken so far."""
        self._queue.flush()

    def finalize(self, status: str) -> None:
        """Pass everything on, and keep the checkpoints of a run that went well; the run stays open, as in Lightning.

        Raises:
            LoggingError: something could not be passed on.
        """
        if self._experiment is None:
            return
        self._queue.close()
        if status == "success":
            for callback in self._checkpoint_callbacks.values():
                self._keep_checkpoints(callback)

    def __getstate__(self) -> dict[str, Any]:
        # A run cannot be copied; a copy goes on with it, by its identity.
        state = {**self.__dict__, "_experiment": None}
        state["_wandb_init"] = {**self._wandb_init, "id": self.version}
        return state


def _media(kind: Callable[..., Any], name: str, items: list[Any], options: dict[str, Any]) -> list[Any]:
    if not isinstance(items, list):
        raise TypeError(f"`{name}` is no list. Got {type(items).__name__}; expected a list. Wrap it: [{name}].")
    for option, values in options.items():
        if len(values) != len(items):
            raise ValueError(
                f"`{option}` does not fit `{name}`. Got {len(values)} entries; expected {len(items)}. Give one each."
            )
    return [
        kind(item, **{option: values[index] for option, values in options.items()}) for index, item in enumerate(items)
    ]


def _as_json(value: Any) -> Any:
    if callable(value):
        return getattr(value, "__name__", str(value))
    try:
        json.dumps(value)
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return value
