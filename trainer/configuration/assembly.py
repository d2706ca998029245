"""The callbacks and loggers of a trainer: those given, and those that are there by default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainer.callback import Callback
from trainer.callbacks.checkpoint import Checkpoint
from trainer.callbacks.model_checkpoint import ModelCheckpoint
from trainer.callbacks.model_summary import ModelSummary
from trainer.callbacks.progress import ProgressBar, TQDMProgressBar
from trainer.callbacks.timer import Timer
from trainer.configuration.options import LengthOptions, ReportingOptions
from trainer.errors import MisconfigurationException, SharedStateError, four_parts
from trainer.loggers import CSVLogger, Logger
from trainer.loggers.logger import DummyLogger
from trainer.loops.hooks import is_overridden


def assemble_loggers(
    given: bool | Logger | Sequence[Logger] | None, reporting: ReportingOptions, *, enabled: bool, dummy: bool
) -> list[Logger]:
    """Return the loggers of a run; `True`, and None where logging is `enabled`, mean a CSVLogger.

    With `dummy`, one that keeps nothing stands in their place.

    Raises:
        MisconfigurationException: something given is no logger.
    """
    if given is False or not enabled:
        return []
    if dummy:
        return [DummyLogger()] if given is None or given is True or not isinstance(given, Sequence) or given else []
    if given is None or given is True:
        return [CSVLogger(reporting.default_root_dir)]
    loggers = list(given) if isinstance(given, Sequence) else [given]
    for logger in loggers:
        if not isinstance(logger, Logger):
            raise MisconfigurationException(
                four_parts("`logger` holds something that is no logger.", got=logger,
                           expected="trainer.loggers.Logger, a list of them, True or False", remedy="Correct it.")
            )  # fmt: skip
    return loggers


def list_callbacks(given: Callback | Iterable[Callback] | None) -> list[Callback]:
    """Return the callbacks given, as a list of their own.

    Raises:
        MisconfigurationException: something given is no callback.
    """
    callbacks = [] if given is None else [given] if isinstance(given, Callback) else list(given)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise MisconfigurationException(
                four_parts("`callbacks` holds something that is no callback.", got=callback,
                           expected="instances of trainer.Callback", remedy="Correct it.")
            )  # fmt: skip
    return callbacks


def assemble_callbacks(given: Sequence[Callback], reporting: ReportingOptions, length: LengthOptions) -> list[Callback]:
    """Return the callbacks of a run in their order, checkpoint callbacks last.

    Raises:
        MisconfigurationException: a callback contradicts an argument or another callback.
    """
    callbacks = list(given)
    checkpoints = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    bars = [callback for callback in callbacks if isinstance(callback, ProgressBar)]
    _refuse_contradictions(checkpoints, bars, reporting)
    if reporting.enable_progress_bar and not bars:
        callbacks.append(TQDMProgressBar())
    if reporting.enable_model_summary and not any(isinstance(callback, ModelSummary) for callback in callbacks):
        callbacks.append(ModelSummary())
    if length.max_time is not None and not any(isinstance(callback, Timer) for callback in callbacks):
        callbacks.append(Timer(length.max_time))
    if reporting.enable_checkpointing and not checkpoints and not length.fast_dev_run:
        callbacks.append(ModelCheckpoint())
    refuse_shared_states(callbacks)
    return sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))


def refuse_shared_states(callbacks: Iterable[Callback]) -> None:
    """Refuse callbacks whose states would have one name in a checkpoint.

    Raises:
        SharedStateError: two callbacks that keep a state have the same `state_key`.
    """
    keys: set[str] = set()
    for callback in callbacks:
        if not any(hasattr(callback, name) and is_overridden(name, callback, Callback) for name in _STATE_HOOKS):
            continue
        if callback.state_key in keys:
            raise SharedStateError(
                four_parts("Two callbacks would save their state under one name.", got=callback.state_key,
                           expected="different values of `state_key`", remedy="Override `state_key` in one of them.")
            )  # fmt: skip
        keys.add(callback.state_key)


_STATE_HOOKS = ("state_dict", "load_state_dict", "on_save_checkpoint", "on_load_checkpoint")


def _refuse_contradictions(
    checkpoints: Sequence[Callback], bars: Sequence[Callback], reporting: ReportingOptions
) -> None:
    problems = []
    if checkpoints and not reporting.enable_checkpointing:
        problems.append("`enable_checkpointing=False` and a ModelCheckpoint; leave one out")
    if bars and not reporting.enable_progress_bar:
        problems.append("`enable_progress_bar=False` and a progress bar; leave one out")
    if len(bars) > 1:
        problems.append(f"{len(bars)} progress bars; give one")
    if problems:
        raise MisconfigurationException("These arguments contradict each other: " + "; ".join(problems) + ".")
