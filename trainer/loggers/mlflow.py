"""Metrics, hyperparameters and checkpoints in an MLflow tracking store."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainer.loggers.checkpoint_files import description, new_files
from trainer.loggers.logger import Logger, is_rank_zero, rank_zero_experiment
from trainer.loggers.missing import require
from trainer.loggers.params import as_dict, as_number, flattened, prefixed, write_hparams
from trainer.loggers.row_queue import RowQueue

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from trainer.callbacks.model_checkpoint import ModelCheckpoint

log = logging.getLogger(__name__)

LOCAL_FILE_URI_PREFIX = "file:"
_SQLITE_URI_PREFIX = "sqlite:///"
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_/. -]+")
_MOST_METRICS = 1000  # in one call, by MLflow's rules
_MOST_PARAMS = 100
_LONGEST_PARAM = 6000  # characters; older servers keep fewer
_STATUS = {"success": "FINISHED", "finished": "FINISHED", "failed": "FAILED"}

_Row = tuple[dict[str, float], int, int]  # values, step, time in ms


class MLFlowLogger(Logger):
    """Keeps a run in MLflow: on a server, or by default in a SQLite file of its own.

    Metrics are sent by a thread, all rows that wait in one call; a server that does not answer for a while ends no
    run, and what could not be sent is tried again until the end.

    Args:
        experiment_name: created where it is not there yet.
        run_name: shown name of the run.
        tracking_uri: the server or store; by default `MLFLOW_TRACKING_URI`, else `mlflow.db` in `save_dir`.
        tags: of the run.
        save_dir: local folder, for runs without `tracking_uri`.
        log_model: keep checkpoints as artifacts: at the end (True), whenever one is written ("all"), or never.
        prefix: put before every metric's name, with a dash.
        artifact_location: where the artifacts of a new experiment go.
        run_id: go on with this run.
        synchronous: wait for the server in every call of the sending thread; MLflow's own default otherwise.

    Raises:
        ModuleNotFoundError: MLflow is not installed.
    """

    def __init__(
        self,
        experiment_name: str = "lightning_logs",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, Any] | None = None,
        save_dir: str | Path | None = "./mlruns",
        log_model: Literal[True, False, "all"] = False,
        prefix: str = "",
        artifact_location: str | None = None,
        run_id: str | None = None,
        synchronous: bool | None = None,
    ) -> None:
        require("mlflow", type(self).__name__)
        tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._save_dir: str | None = None
        if not tracking_uri:
            self._save_dir = os.fspath(save_dir or "./mlruns")
            tracking_uri = f"{_SQLITE_URI_PREFIX}{Path(self._save_dir).absolute() / 'mlflow.db'}"
        elif tracking_uri.startswith(LOCAL_FILE_URI_PREFIX):
            self._save_dir = tracking_uri[len(LOCAL_FILE_URI_PREFIX) :]
        self._experiment_name = experiment_name
        self._experiment_id: str | None = None
        self._tracking_uri = tracking_uri
        self._run_name = run_name
        self._run_id = run_id
        self.tags = tags
        self._log_model = log_model
        self._prefix = prefix
        self._artifact_location = artifact_location
        self._log_batch_kwargs: dict[str, Any] = {} if synchronous is None else {"synchronous": synchronous}
        self._kept: dict[str, float] = {}
        self._checkpoint_callback: ModelCheckpoint | None = None
        self._client: MlflowClient | None = None
        self._queue: RowQueue[_Row] = RowQueue(self._send, type(self).__name__)
        self._renamed: set[str] = set()

    @property
    @rank_zero_experiment
    def experiment(self) -> MlflowClient:
        """Return MLflow's client, when everything logged so far was sent; the run is begun if it was not."""
        self._queue.flush()
        return self._begin()

    def _begin(self) -> MlflowClient:
        if self._client is not None:
            return self._client
        from mlflow.tracking import MlflowClient
        from mlflow.tracking.context.registry import resolve_tags
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        if self._save_dir is not None:
            Path(self._save_dir).mkdir(parents=True, exist_ok=True)
        client = MlflowClient(self._tracking_uri)
        if self._run_id is not None:
            self._experiment_id = client.get_run(self._run_id).info.experiment_id
        else:
            self._experiment_id = self._find_experiment(client)
            tags = dict(self.tags or {})
            if self._run_name is not None:
                tags[MLFLOW_RUN_NAME] = self._run_name
            self._run_id = client.create_run(self._experiment_id, tags=resolve_tags(tags)).info.run_id
        self._client = client
        return client

    def _find_experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(self._experiment_name)
        if found is not None and found.lifecycle_stage != "deleted":
            return str(found.experiment_id)
        location = self._artifact_location
        if location is None and self._save_dir is not None:
            location = (Path(self._save_dir).absolute() / "artifacts").as_uri()
        return str(client.create_experiment(self._experiment_name, artifact_location=location))

    @property
    def run_id(self) -> str | None:
        """Return MLflow's name of the run, which is begun if it was not."""
        if is_rank_zero():
            self._begin()
        return self._run_id

    @property
    def experiment_id(self) -> str | None:
        """Return MLflow's name of the experiment."""
        if is_rank_zero():
            self._begin()
        return self._experiment_id

    @property
    def name(self) -> str | None:
        """Return MLflow's name of the experiment."""
        return self.experiment_id

    @property
    def version(self) -> str | None:
        """Return MLflow's name of the run."""
        return self.run_id

    @property
    def save_dir(self) -> str | None:
        """Return the local folder, None where a server keeps the runs."""
        return self._save_dir

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace) -> None:
        """Send hyperparameters, nested ones flattened with "/"."""
        if not is_rank_zero():
            return
        from mlflow.entities import Param

        client = self._begin()
        sent = [Param(key=key, value=str(value)[:_LONGEST_PARAM]) for key, value in flattened(as_dict(params)).items()]
        for start in range(0, len(sent), _MOST_PARAMS):
            client.log_batch(self._run_id, params=sent[start : start + _MOST_PARAMS], **self._log_batch_kwargs)

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take values of one step; text is left out, and so are characters that MLflow forbids in names."""
        if not is_rank_zero():
            return
        row: dict[str, float] = {}
        for name, value in prefixed(metrics, self._prefix, self.LOGGER_JOIN_CHAR).items():
            if isinstance(value, str):
                log.warning("MLflow takes no text as a metric: %s is left out.", name)
                continue
            row[self._allowed(name)] = float(as_number(value))
        self._begin()
        self._queue.put((row, step or 0, int(time.time() * 1000)))

    def _allowed(self, name: str) -> str:
        allowed = _FORBIDDEN.sub("", name)
        if allowed != name and name not in self._renamed:
            self._renamed.add(name)
            warnings.warn(
                f"MLflow allows letters, digits, '_', '/', '.', '-' and ' ' in a metric's name: {name} is kept as "
                f"{allowed}.",
                RuntimeWarning,
                stacklevel=3,
            )
        return allowed

    def _send(self, rows: Sequence[_Row]) -> None:
        from mlflow.entities import Metric

        client = self._begin()
        values = [
            Metric(key=key, value=value, timestamp=at_ms, step=step)
            for row, step, at_ms in rows
            for key, value in row.items()
        ]
        for start in range(0, len(values), _MOST_METRICS):
            client.log_batch(self._run_id, metrics=values[start : start + _MOST_METRICS], **self._log_batch_kwargs)

    def save(self) -> None:
        """Wait until what was taken so far is sent, or has failed once more."""
        self._queue.flush()

    def finalize(self, status: str = "success") -> None:
        """Send everything, keep the checkpoints asked for, and end the run.

        Raises:
            LoggingError: something could not be sent.
        """
        client = self._client
        if client is None:
            return
        try:
            self._queue.close()
            if self._checkpoint_callback is not None:
                self._keep_checkpoints(self._checkpoint_callback)
        finally:
            client.set_terminated(self._run_id, _STATUS.get(status, status))

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Keep what was written, now or at the end."""
        if self._log_model == "all" or (self._log_model is True and checkpoint_callback.save_top_k == -1):
            self._keep_checkpoints(checkpoint_callback)
        elif self._log_model is True:
            self._checkpoint_callback = checkpoint_callback

    def _keep_checkpoints(self, callback: ModelCheckpoint) -> None:
        client = self._begin()
        for file in new_files(callback, self._kept):
            place = Path(file.path).stem
            if Path(file.path).is_dir():
                client.log_artifacts(self._run_id, file.path, f"{place}/{Path(file.path).name}")
            else:
                client.log_artifact(self._run_id, file.path, place)
            with tempfile.TemporaryDirectory() as folder:
                write_hparams(Path(folder) / "metadata.yaml", description(callback, file))
                (Path(folder) / "aliases.txt").write_text(str(file.aliases))
                client.log_artifacts(self._run_id, folder, place)
            self._kept[file.path] = file.written

    def __getstate__(self) -> dict[str, Any]:
        # A client may hold connections; a copy goes on with the same run.
        return {**self.__dict__, "_client": None}
