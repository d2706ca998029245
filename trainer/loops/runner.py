"""One call of fit, validate, test or predict, from setting up to tearing down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

from trainer.callback import Callback
from trainer.callbacks.checkpoint import Checkpoint
from trainer.callbacks.prediction_writer import BasePredictionWriter
from trainer.checkpoints.resume import Resume, begin_resume
from trainer.configuration.requirements import check_model
from trainer.errors import HyperparameterClashError, SIGTERMException, TrainerError
from trainer.launching.launchers import guard_child, report_failure
from trainer.loggers.lifecycle import begin_loggers, describe_model, finish_loggers
from trainer.loops.compiled import compiled_steps
from trainer.loops.evaluation import EvaluationLoop
from trainer.loops.hooks import bind, call, callback_hooks, is_overridden
from trainer.loops.loop import FitLoop
from trainer.loops.state import EVAL_KINDS, RunningStage, Status, StopFlags
from trainer.loops.surroundings import sigterm_is_noted, torch_settings
from trainer.model.deferred import is_deferred, names_without_values
from trainer.model.given_hyperparameters import CLASS_PATH_KEY
from trainer.optimization.manual import LightningOptimizer
from trainer.optimization.optimizers import check_optimizers, check_schedulers, read_optimizers
from trainer.seed import isolated_rng
from trainer.tuner.trial import TunerExit
from trainer.types import EvalKind, PlainState, Stage

if TYPE_CHECKING:
    from trainer.trainer import Trainer


_FIRST_STAGES: dict[Stage, RunningStage] = {
    "fit": RunningStage.TRAINING,
    "validate": RunningStage.VALIDATING,
    "test": RunningStage.TESTING,
    "predict": RunningStage.PREDICTING,
}


def run_stage(trainer: Trainer, stage: Stage, ckpt_path: str | None, *, keeps_outputs: bool = False) -> Any:
    """Run `stage`: set up, the batches, and always tear down; here, or in processes that the strategy starts for it.

    Args:
        trainer: the trainer of the run.
        stage: what to run.
        ckpt_path: the checkpoint to continue from.
        keeps_outputs: return what the steps return; for predictions.

    Returns:
        None for a fit, the results of each loader for validation and test, the outputs of each for predictions.
    """
    if trainer.spawns:
        from trainer.launching.spawned_run import run_in_new_processes  # late: most trainers start none

        return run_in_new_processes(trainer, stage, ckpt_path)
    with stage_of(trainer, stage, ckpt_path) as resume:
        if stage == "fit":
            return fit(trainer, resume)
        loop, outputs = evaluate(trainer, EVAL_KINDS[stage], keeps_outputs=keeps_outputs)
        return outputs if stage == "predict" else loop.results


@contextlib.contextmanager
def stage_of(trainer: Trainer, stage: Stage, ckpt_path: str | None) -> Iterator[Resume | None]:
    """Set up the run of `stage` for the block, which gets the checkpoint to continue from, and always tear down.

    Exceptions reach the callbacks and the data module first and are then raised again. Leaving a stream of
    predictions early (GeneratorExit) is an ordinary end.
    """
    trainer.state.fn, trainer.state.status = stage, Status.RUNNING
    trainer.state.stage, trainer.state.is_last_batch = _FIRST_STAGES[stage], False
    compiling = compiled_steps(trainer.lightning_module, trainer.sources.compiler)
    with sigterm_is_noted(trainer), torch_settings(trainer), compiling:
        try:
            _begin(trainer, stage)
            resume = _set_up(trainer, stage, ckpt_path)
            with contextlib.suppress(GeneratorExit):
                yield resume
            _tear_down(trainer, stage, None)
            trainer.state.status = Status.FINISHED
        except TunerExit:
            _tear_down(trainer, stage, None)
            trainer.state.status = Status.FINISHED
            raise
        except BaseException as error:
            trainer.state.status = Status.INTERRUPTED
            reason = _first_cause(trainer, error)
            report_failure(reason)
            try:
                _tell_about(trainer, reason)
                _tear_down(trainer, stage, reason)
            finally:
                _end_other_processes(trainer)
            if reason is error:
                raise
            raise reason from error
        finally:
            trainer.state.stage = None


def _begin(trainer: Trainer, stage: Stage) -> None:
    trainer.strategy.connect(trainer.devices, trainer.num_nodes)
    guard_child()
    trainer.accelerator.setup_device(trainer.strategy.device)
    trainer.accelerator.setup(trainer)
    trainer.metrics.begin_run(is_rank_zero=trainer.is_global_zero)
    trainer.flags.lower_flag(StopFlags.REQUESTED)
    check_model(trainer.lightning_module, stage)
    trainer.lightning_module._trainer = trainer
    if trainer.datamodule is not None:
        trainer.datamodule.trainer = trainer
    add_module_callbacks(trainer)
    for callback in trainer.callbacks:
        callback._module = trainer.lightning_module
    if trainer.is_global_zero:
        begin_loggers(trainer.loggers)
    root = trainer.logger.log_dir if trainer.logger is not None else None
    trainer._run_dir = trainer.strategy.broadcast_text(root or trainer.default_root_dir)
    trainer.profiler._lightning_module = trainer.lightning_module
    rank = trainer.local_rank if trainer.world_size > 1 else None
    trainer.profiler.setup(stage=str(trainer.state.fn), local_rank=rank, log_dir=trainer.log_dir)


def add_module_callbacks(trainer: Trainer) -> None:
    """Let the model's own callbacks take the place of the trainer's of the same type."""
    configured = trainer.lightning_module.configure_callbacks()
    added = [configured] if isinstance(configured, Callback) else list(configured)
    kinds = {type(callback) for callback in added}
    kept = [callback for callback in trainer.callbacks if type(callback) not in kinds]
    trainer.callbacks = sorted([*kept, *added], key=lambda callback: isinstance(callback, Checkpoint))


def _set_up(trainer: Trainer, stage: Stage, ckpt_path: str | None) -> Resume | None:
    module, datamodule = trainer.lightning_module, trainer.datamodule
    sources = [source for source in (datamodule, module) if source is not None]
    for source in sources:
        is_mine = trainer.local_rank == 0 if source.prepare_data_per_node else trainer.is_global_zero
        if is_mine:
            source.prepare_data()
    trainer.strategy.barrier()
    if datamodule is not None:
        datamodule.setup(stage=stage)
    for hook in callback_hooks(trainer, "setup"):
        hook(stage=stage)
    module.setup(stage=stage)
    resume = begin_resume(trainer, ckpt_path)
    trainer.ckpt_path = None if resume is None else resume.path
    trainer.strategy.configure(module)
    # Where each process reads its shards, or nothing has storage yet, the model is split first.
    is_late = resume is not None and (resume.is_sharded or is_deferred(module))
    trainer.strategy.weights_follow = is_late
    if resume is not None:
        resume.needs = names_without_values(module)
        resume.restore_callbacks(fits=stage == "fit")
        if not is_late:
            resume.restore_weights()
    trainer.precision_options.convert_module(module)
    trainer.strategy.place(module)
    if trainer.plugins.layer_sync is not None and stage == "fit" and trainer.strategy.is_distributed:
        trainer.plugins.layer_sync.apply(module)
    trainer.strategy.shard(module)
    if resume is not None and is_late:
        resume.restore_weights()
    return resume


def _tear_down(trainer: Trainer, stage: Stage, reason: BaseException | None) -> None:
    if trainer.datamodule is not None:
        trainer.datamodule.teardown(stage=stage)
    for hook in bind(trainer, "teardown"):
        hook(stage=stage)
    trainer.profiler.describe()
    trainer.metrics.leave()
    for callback in trainer.callbacks:
        callback._module = None
    try:
        if trainer.is_global_zero:
            finish_loggers(trainer.loggers, reason)
    finally:
        trainer.strategy.teardown()
        trainer.accelerator.teardown()
    if trainer.precision_options.plugin is not None:
        trainer.precision_options.plugin.teardown()
    if trainer.plugins.layer_sync is not None and stage == "fit" and trainer.strategy.is_distributed:
        trainer.plugins.layer_sync.revert(trainer.lightning_module)
    if trainer.plugins.checkpoint_io is not None:
        trainer.plugins.checkpoint_io.teardown()


def _first_cause(trainer: Trainer, error: BaseException) -> BaseException:
    """Return what ended the run: the failure of another process, or SIGTERM, may show here as a broken connection."""
    if isinstance(error, RuntimeError) and trainer.strategy.is_distributed:
        if trainer.received_sigterm:
            return SIGTERMException()
        if not isinstance(error, TrainerError):
            place = f"step {trainer.global_step}"
            late = trainer.strategy.explain(error, place=place, in_a_hurry=lambda: trainer.received_sigterm)
            if late is not None:
                return late
        failure = _failure_elsewhere(trainer)
        if failure is not None:
            return failure
    return error


def _failure_elsewhere(trainer: Trainer) -> Exception | None:
    """Return the error of another process that failed first, where this one can know it."""
    launcher = getattr(trainer.strategy, "launcher", None)
    return None if launcher is None else launcher.failure()


def _end_other_processes(trainer: Trainer) -> None:
    """Kill the processes that this one started; this run failed."""
    launcher = getattr(trainer.strategy, "launcher", None)
    if launcher is not None:
        launcher.end_now()


def _tell_about(trainer: Trainer, error: BaseException) -> None:
    for hook in callback_hooks(trainer, "on_exception"):
        hook(error)
    if trainer.datamodule is not None:
        trainer.datamodule.on_exception(error)


# Bodies


def fit(trainer: Trainer, resume: Resume | None) -> None:
    """Train the model of a run that is set up."""
    module = trainer.lightning_module
    position: PlainState | None = trainer.take_position()
    optimizers, schedulers = read_optimizers(module.configure_optimizers())
    check_optimizers(
        optimizers,
        automatic=module.automatic_optimization,
        clips=bool(trainer.gradient_clip_val),
        windows=trainer.accumulate_grad_batches != 1,
    )
    check_schedulers(optimizers, schedulers)
    for optimizer in optimizers:
        trainer.strategy.shard_optimizer(optimizer)
    trainer.optimizers, trainer.lr_scheduler_configs = optimizers, schedulers
    trainer.scaler = trainer.precision_options.make_scaler(trainer.strategy.device)
    trainer.step_optimizers = [LightningOptimizer(optimizer, trainer) for optimizer in optimizers]
    _log_hyperparameters(trainer)
    # Before the optimizers' states are restored, so that callbacks can bring optimizers and schedulers into the form
    # that these states have.
    call(trainer, "on_fit_start")
    if resume is not None:
        position = resume.restore_training()
    validation = _validation_of(trainer)
    if validation is not None and resume is None and position is None:
        _check_sanity(trainer, validation)
    trainer.state.stage = RunningStage.TRAINING
    loader = trainer.train_loader if trainer.train_loader is not None else trainer.make_train_loader()
    if validation is not None and not validation.num_batches:
        validation.load_data()
    if resume is not None:
        resume.place_in_epoch(loader)
    if position is not None and trainer.train_state.batches_done and not trainer.train_state.is_epoch_complete:
        loader.check_length(trainer.train_state.epoch_batches)
    _warn_of_rare_schedulers(trainer, loader.num_batches)
    runs = validation if validation is not None and validation.has_batches else None
    with torch.autograd.set_detect_anomaly(True) if trainer.optimisation.detect_anomaly else contextlib.nullcontext():
        FitLoop(trainer, loader, runs, position).run()
    trainer.keep_position()
    call(trainer, "on_fit_end")
    if trainer.strategy.saves_sharded and trainer.plugins.checkpoint_io is not None:
        from trainer.checkpoints.sharded.saving import finish_saving  # late: most runs save files

        finish_saving(trainer)


def _log_hyperparameters(trainer: Trainer) -> None:
    """Pass the hyperparameters of data module and module to the loggers; the module's win."""
    if not trainer.enable_autolog_hparams:
        return
    owners = [owner for owner in (trainer.datamodule, trainer.lightning_module) if owner is not None]
    kept = [owner.hparams_initial for owner in owners if owner._log_hyperparams]
    if len(kept) > 1:
        _refuse_clashes(*kept)
    if trainer.is_global_zero:
        merged = {name: value for values in kept for name, value in values.items() if name != CLASS_PATH_KEY}
        describe_model(trainer.loggers, trainer.lightning_module, merged if kept else None)


def _refuse_clashes(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    both = (one.keys() & other.keys()) - {CLASS_PATH_KEY}
    clashing = [name for name in both if not _is_same(one[name], other[name])]
    if clashing:
        raise HyperparameterClashError(
            f"Module and data module have different hyperparameters of the same names. Got {sorted(clashing)}; "
            "expected equal values. Rename one, or call `save_hyperparameters(logger=False)` in one of them."
        )


def _is_same(one: Any, other: Any) -> bool:
    return (
        torch.equal(one, other) if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) else one == other
    )


def _validation_of(trainer: Trainer) -> EvaluationLoop | None:
    """Return the validation of this fit, None where it is turned off or not written."""
    from trainer.module import LightningModule

    trainer.evaluations.pop("validation", None)
    if trainer.length.limit_val_batches == 0:
        return None
    if not is_overridden("validation_step", trainer.lightning_module, LightningModule):
        if trainer.sources.has("val"):
            trainer.warn_once("There is a validation loader but no `validation_step`: nothing is validated.")
        return None
    if not trainer.sources.has("val"):
        return None
    validation = EvaluationLoop(trainer, "validation")
    trainer.evaluations["validation"] = validation
    return validation


def _check_sanity(trainer: Trainer, validation: EvaluationLoop) -> None:
    """Run a few validation batches before training, without a trace in metrics or random generators."""
    batches = trainer.validation.num_sanity_val_steps
    if batches == 0 or trainer.length.fast_dev_run:
        return
    with isolated_rng():
        trainer.state.stage = RunningStage.SANITY_CHECKING
        for hook in callback_hooks(trainer, "on_sanity_check_start"):
            hook()
        validation.load_data()
        if validation.has_batches:
            validation.run(float("inf") if batches == -1 else batches)
        for hook in callback_hooks(trainer, "on_sanity_check_end"):
            hook()
        # Hooks of the check may read its metrics; nothing else may.
        trainer.metrics.begin_run(is_rank_zero=trainer.is_global_zero)


def _warn_of_rare_schedulers(trainer: Trainer, num_batches: float) -> None:
    steps = trainer.steps_in(num_batches)
    for config in trainer.lr_scheduler_configs:
        available = steps if config.interval == "step" else trainer.length.max_epochs
        if 0 <= available < config.frequency:
            trainer.warn_once(
                f"A learning rate scheduler steps every {config.frequency} {config.interval}s, and this fit has "
                f"{available:.0f}: it never steps."
            )


def evaluate(
    trainer: Trainer, kind: EvalKind, *, keeps_outputs: bool = False
) -> tuple[EvaluationLoop, list[list[Any]] | None]:
    """Run one pass of validation, test or prediction; return the loop with its results, and the outputs kept.

    The outputs are None where the stage is turned off.
    """
    writers = [callback for callback in trainer.callbacks if isinstance(callback, BasePredictionWriter)]
    keeps_outputs |= kind == "predict" and any(writer.interval.on_epoch for writer in writers)
    _log_hyperparameters(trainer)
    loop = EvaluationLoop(trainer, kind, keeps_outputs=keeps_outputs)
    trainer.evaluations[kind] = loop
    limit, _ = trainer.eval_limit(kind)
    if limit == 0:
        return loop, None
    loop.load_data()
    if not loop.num_batches:
        trainer.sources.refuse_missing("val" if kind == "validation" else kind)
    outputs = loop.run() if loop.has_batches else []
    trainer.save_loggers()
    return loop, outputs


def stream_predictions(trainer: Trainer, ckpt_path: str | None) -> Iterator[Any]:
    """Yield each batch's prediction when it is made; the run is torn down at the end, or when the stream is closed."""
    with stage_of(trainer, "predict", ckpt_path):
        loop = EvaluationLoop(trainer, "predict")
        trainer.evaluations["predict"] = loop
        if trainer.length.limit_predict_batches == 0:
            return
        loop.load_data()
        if not loop.num_batches:
            trainer.sources.refuse_missing("predict")
        if loop.has_batches:
            yield from loop.stream()
        trainer.save_loggers()
