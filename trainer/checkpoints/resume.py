"""A checkpoint of a whole run, and a run that goes on from one."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch.optim import Optimizer

from trainer.callbacks.weight_averaging import WeightAveraging
from trainer.checkpoints import places
from trainer.checkpoints.files import FORMAT, FORMAT_KEY, WRITERS, load_checkpoint, save_checkpoint
from trainer.checkpoints.newest import newest_checkpoint, set_aside
from trainer.checkpoints.open_window import open_gradients, restore_gradients
from trainer.checkpoints.sharded.manifest import DamagedFolderError, is_sharded
from trainer.errors import CheckpointError, MisconfigurationException, NoBestCheckpointError, four_parts
from trainer.loops.hooks import callback_hooks
from trainer.seed import capture_rng
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.data.loaders import TrainLoader
    from trainer.trainer import Trainer


def dump_checkpoint(trainer: Trainer, weights_only: bool) -> PlainState:
    """Return everything a resume needs (or only the weights and hyperparameters) as plain data and whole tensors.

    All processes take part: each has its own generators and its own place in the data.
    """
    return trainer.strategy.whole(_collect_checkpoint(trainer, weights_only, whole=True))


def _collect_checkpoint(trainer: Trainer, weights_only: bool, *, whole: bool) -> PlainState:
    """Return the same with tensors as they are, split or whole.

    Not `whole`: the tensors of a process are in its own checkpoint alone.
    """
    module, datamodule = trainer.lightning_module, trainer.datamodule
    checkpoint: PlainState = {
        FORMAT_KEY: FORMAT,
        "epoch": trainer.current_epoch,
        "global_step": trainer.global_step,
        "state_dict": module.state_dict(),
        **module.hyperparameter_state(),
    }
    if datamodule is not None:
        checkpoint |= datamodule.hyperparameter_state("datamodule_")
    if not weights_only:
        checkpoint["callbacks"] = _callback_states(trainer)
        for hook in callback_hooks(trainer, "on_save_checkpoint"):
            hook(checkpoint)
        checkpoint["optimizer_states"] = [
            trainer.strategy.optimizer_state(one, with_values=whole) for one in trainer.optimizers
        ]
        checkpoint["lr_schedulers"] = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
        checkpoint["loops"] = {"train_state": trainer.train_state.state_dict()}
        checkpoint["world_size"] = trainer.world_size
        checkpoint["data_shares"] = trainer.strategy.data_share.world_size
        checkpoint["taken_per_batch"] = None if trainer.train_loader is None else trainer.train_loader.taken_per_batch
        gradients, is_shared = open_gradients(trainer)
        checkpoint["ranks"] = _rank_states(trainer, None if is_shared else gradients)
        if is_shared:
            checkpoint["gradients"] = gradients
        if trainer.precision_options.plugin is not None and (held := trainer.precision_options.plugin.state_dict()):
            checkpoint[type(trainer.precision_options.plugin).__qualname__] = held
        if trainer.scaler is not None:
            checkpoint["scaler"] = trainer.scaler.state_dict()
        if datamodule is not None and (state := datamodule.state_dict()):
            checkpoint[type(datamodule).__qualname__] = state
    else:
        for callback in trainer.callbacks:
            if isinstance(callback, WeightAveraging):
                checkpoint["state_dict"] = callback.weights_only(checkpoint["state_dict"])
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def write_checkpoint(trainer: Trainer, path: str | Path, weights_only: bool, storage_options: object = None) -> None:
    """Write a checkpoint of the current run; rank zero writes, and all processes hear of a failure.

    Where the strategy saves sharded checkpoints, each process writes its part of a folder.
    """
    if trainer.strategy.saves_sharded:
        from trainer.checkpoints.sharded.saving import save_sharded  # late: it takes a while to import

        save_sharded(trainer, _collect_checkpoint(trainer, weights_only, whole=False), path, storage_options)
        return
    checkpoint = dump_checkpoint(trainer, weights_only)
    problem = ""
    if trainer.is_global_zero:
        try:
            if trainer.plugins.checkpoint_io is None:
                save_checkpoint(checkpoint, path)
            elif storage_options is None:
                trainer.plugins.checkpoint_io.save_checkpoint(checkpoint, path)
            else:
                trainer.plugins.checkpoint_io.save_checkpoint(checkpoint, path, storage_options=storage_options)
        except CheckpointError as error:
            if not trainer.strategy.is_distributed:
                raise
            problem = str(error)
    problem = trainer.strategy.broadcast_text(problem)
    if problem:
        raise CheckpointError(problem)


def _callback_states(trainer: Trainer) -> PlainState:
    states: PlainState = {}
    for callback in trainer.callbacks:
        state = callback.state_dict()
        if not state:
            continue
        if callback.state_key in states:
            raise MisconfigurationException(
                four_parts(
                    "Two callbacks would save their state under one name.",
                    got=callback.state_key,
                    expected="different values of `state_key`",
                    remedy="Override `state_key` in one of them.",
                )
            )
        states[callback.state_key] = state
    return states


def _rank_states(trainer: Trainer, gradients: PlainState | None) -> list[PlainState]:
    own: PlainState = {"rng": capture_rng(), "metrics": trainer.metrics.state_dict(trainer.lightning_module)}
    if trainer.strategy.data_share.world_size != trainer.world_size:
        own["data_rank"] = trainer.strategy.data_share.rank
    if gradients:
        own["gradients"] = gradients
    if trainer.train_loader is not None:
        own |= trainer.train_loader.state_dict()
    if not trainer.strategy.is_distributed:
        return [own]
    buffer = io.BytesIO()
    torch.save(own, buffer)
    payloads = trainer.strategy.gather_bytes(buffer.getvalue())
    return [torch.load(io.BytesIO(payload), weights_only=True) for payload in payloads]


def find_checkpoint(trainer: Trainer, ckpt_path: str | Path | None) -> str | None:
    """Return the file meant by `ckpt_path`: a path, "best", or "last" (None where there is none yet).

    Raises:
        NoBestCheckpointError: "best" is asked for and there is none.
        MisconfigurationException: a keyword of Lightning that is refused.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "best":
        best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback is not None else ""
        if not best:
            raise NoBestCheckpointError(
                "`ckpt_path='best'` needs a fit of this trainer that saved a checkpoint. Got none; expected a "
                "ModelCheckpoint that has saved. Call `fit` first, pass a path, or pass the model to take it as it is."
            )
        return best
    if ckpt_path == "last":
        found = trainer.strategy.broadcast_text(newest_checkpoint(trainer) if trainer.is_global_zero else "")
        if not found:
            trainer.print("ckpt_path='last': there is no checkpoint yet, starting fresh")
        return found or None
    if ckpt_path in ("hpc", "registry"):
        raise MisconfigurationException(
            four_parts("`ckpt_path` names a place this trainer does not have.", got=str(ckpt_path),
                       expected="a path, 'best' or 'last'", remedy="'last' resumes if there is something to resume.")
        )  # fmt: skip
    return os.fspath(ckpt_path)


def begin_resume(trainer: Trainer, ckpt_path: str | Path | None) -> Resume | None:
    """Read the checkpoint meant by `ckpt_path`, None where there is none to go on from.

    With "last", a damaged folder is set aside and the one before it is taken.
    """
    kept_aside: list[str] = []
    while (path := find_checkpoint(trainer, ckpt_path)) is not None:
        try:
            return Resume(trainer, path)
        except DamagedFolderError as error:
            if ckpt_path != "last":
                raise
            from trainer.checkpoints.sharded.exchange import exchange_of  # late: as in Resume

            renames = partial(set_aside, path) if trainer.is_global_zero else str
            aside = exchange_of(trainer.strategy).together(renames)[0]
            kept_aside.append(aside)
            trainer.warn_once(f"{error} It is kept as {aside}, and ckpt_path='last' takes the one before it.")
    if kept_aside:
        raise CheckpointError(
            f"Every checkpoint that ckpt_path='last' found is damaged: {', '.join(kept_aside)}. Restore one of them "
            "from a copy, or remove them to start afresh."
        )
    return None


class Resume:
    """A checkpoint on its way into a run; each part is restored when the run is ready for it.

    Attributes:
        is_sharded: it is a folder, from which each process reads its part.
        needs: names of weights that nothing but the checkpoint can give values.
    """

    def __init__(self, trainer: Trainer, path: str) -> None:
        self.trainer = trainer
        self.path = path
        self.needs: set[str] = set()
        own = trainer.plugins.checkpoint_io
        # A plugin of the user's may keep its own kind of folder.
        is_ours = trainer.is_global_zero and is_sharded(path) and (own is None or places.exists(path))
        self.is_sharded = bool(trainer.strategy.broadcast_text("folder" if is_ours else ""))
        if self.is_sharded:
            from trainer.checkpoints.sharded.exchange import exchange_of  # late: they take a while to import
            from trainer.checkpoints.sharded.reading import Folder

            for wait in list(WRITERS):
                wait()
            self.checkpoint = Folder(Path(places.normal(path)), exchange_of(trainer.strategy)).checkpoint()
        else:
            self.checkpoint = (
                load_checkpoint(path, lazily=trainer.strategy.defers) if own is None else own.load_checkpoint(path)
            )

    def restore_callbacks(self, *, fits: bool) -> None:
        """Give module, callbacks and data module their states; the model is built.

        Only a fit (`fits`) restores what monitors count: an evaluation must not change which checkpoint is the best.
        """
        trainer, checkpoint = self.trainer, self.checkpoint
        if fits:
            self._refuse_foreign()
        trainer.lightning_module.on_load_checkpoint(checkpoint)
        for hook in callback_hooks(trainer, "on_load_checkpoint"):
            hook(checkpoint)
        states = checkpoint.get("callbacks", {})
        for callback in trainer.callbacks:
            if callback.state_key in states and (fits or not callback.is_monitor):
                callback.load_state_dict(states[callback.state_key])
        known = {callback.state_key for callback in trainer.callbacks}
        # What a missing checkpoint callback kept does not change the training.
        unknown = sorted(key for key in states if key not in known and not key.startswith("ModelCheckpoint{"))
        if unknown and fits:
            trainer.warn_once(f"The checkpoint holds the state of callbacks that this trainer lacks: {unknown}.")
        datamodule = trainer.datamodule
        if datamodule is not None:
            state = checkpoint.get("datamodule", checkpoint).get(type(datamodule).__qualname__)
            if state is not None:
                datamodule.load_state_dict(state)

    def _refuse_foreign(self) -> None:
        checkpoint = self.checkpoint
        if FORMAT_KEY not in checkpoint:
            writer = "Lightning" if "pytorch-lightning_version" in checkpoint else "another program"
            raise CheckpointError(
                f"The checkpoint {self.path} was written by {writer}, so it does not say where training stood: no "
                "random states, no place in the data. Load its weights and hyperparameters with "
                "`load_from_checkpoint` and start a new fit, or evaluate it with `validate(ckpt_path=...)`."
            )
        if "optimizer_states" not in checkpoint or "loops" not in checkpoint:
            raise CheckpointError(
                f"The checkpoint {self.path} holds weights only, so training cannot go on from it. Load it with "
                "`load_from_checkpoint` and start a new fit, or save with save_weights_only=False."
            )

    def restore_weights(self) -> None:
        """Load the weights into the built model."""
        module = self.trainer.lightning_module
        state = self.checkpoint["state_dict"]
        if self.is_sharded:
            from trainer.checkpoints.sharded.tensors import fill

            state = fill(state, module.state_dict())
        if lost := sorted(self.needs - state.keys()):
            raise CheckpointError(
                f"The checkpoint {self.path} lacks {lost[:3]}, which {type(module).__name__} built on the meta device "
                "and cannot fill itself. Give these layers a `reset_parameters`, or build them off the meta device."
            )
        try:
            self.trainer.strategy.load_module(module, state, module.strict_loading)
        except RuntimeError as error:
            raise CheckpointError(
                f"The weights in {self.path} do not fit {type(module).__name__}: {error}. Build the model with the "
                "arguments it was trained with, or set `strict_loading = False` to load what fits."
            ) from error

    def restore_training(self) -> PlainState:
        """Restore counters, optimizers and schedulers; return where this process's loader stood."""
        trainer, checkpoint = self.trainer, self.checkpoint
        self._restore_each("optimizer_states", trainer.optimizers)
        self._restore_each("lr_schedulers", [config.scheduler for config in trainer.lr_scheduler_configs])
        trainer.train_state.load_state_dict(checkpoint["loops"]["train_state"])
        plugin = trainer.precision_options.plugin
        if plugin is not None:
            plugin.load_state_dict(checkpoint.get(type(plugin).__qualname__, {}))
        if trainer.scaler is not None and "scaler" in checkpoint:
            trainer.scaler.load_state_dict(checkpoint["scaler"])
        position = self._position()
        self._restore_metrics()
        restore_gradients(trainer, checkpoint)
        return position

    def _restore_metrics(self) -> None:
        trainer, ranks = self.trainer, self.checkpoint["ranks"]
        share = trainer.strategy.data_share
        before = self.checkpoint.get("data_shares", len(ranks))
        if trainer.train_state.batches_done and before != share.world_size:
            trainer.warn_once(
                f"The checkpoint is from the middle of an epoch of {before} processes, and now there are "
                f"{share.world_size}: the epoch's metrics leave out what the others logged before. Use {before} "
                "processes where that matters."
            )
        # Of processes that read the same data the last one speaks, where not all do.
        mine = self._rank_with_data_of(share.rank, reversed(range(len(ranks))))
        if mine is None:
            return
        own = mine.get("metrics") or self.checkpoint["loops"]["metrics"]
        lost = trainer.metrics.load_state_dict(own, trainer.lightning_module)
        if lost and trainer.train_state.batches_done:
            trainer.warn_once(
                f"The metric objects logged as {lost} are not attributes of the module, so what they had accumulated "
                "in this epoch is not in the checkpoint. Assign them to the module (self.accuracy = ...)."
            )

    def _restore_each(self, key: str, parts: list[Any]) -> None:
        states = self.checkpoint[key]
        if len(states) != len(parts):
            raise CheckpointError(
                f"The checkpoint {self.path} has {len(states)} {key.replace('_', ' ')}, the model configures "
                f"{len(parts)}. Configure the same ones as in the run that is resumed."
            )
        for part, state in zip(parts, states, strict=True):
            if isinstance(part, Optimizer):
                if self.is_sharded:
                    from trainer.checkpoints.sharded.tensors import fill_optimizer

                    state = fill_optimizer(state, part, self.trainer.strategy.share_of_state(part, state))
                self.trainer.strategy.load_optimizer(part, state)
            else:
                part.load_state_dict(state)

    def _position(self) -> PlainState:
        trainer, ranks = self.trainer, self.checkpoint["ranks"]
        checkpoint, share = self.checkpoint, trainer.strategy.data_share
        before = checkpoint["data_shares" if "data_shares" in checkpoint else "world_size"]
        # Processes that hold one copy of the model read the same data, and have equal random states.
        mine = self._rank_with_data_of(share.rank, range(len(ranks)))
        if mine is not None:
            return mine
        trainer.warn_once(f"The checkpoint has random states of {before} processes; the others start from their seeds.")
        return {**ranks[0], "rng": capture_rng()}

    def _rank_with_data_of(self, share: int, others: Iterable[int]) -> PlainState | None:
        """Return what a process kept that read this share of the data: of this rank if it did, else one of others."""
        ranks = self.checkpoint["ranks"]
        for rank in (self.trainer.global_rank, *others):
            if rank < len(ranks) and ranks[rank].get("data_rank", rank) == share:
                return ranks[rank]  # type: ignore[no-any-return]  # written by dump_checkpoint
        return None

    def place_in_epoch(self, loader: TrainLoader) -> None:
        """Count the batches of a half-finished epoch as processes of another number do: no sample twice, none left out.

        Raises:
            CheckpointError: what was done is no whole number of batches now.
        """
        state, checkpoint = self.trainer.train_state, self.checkpoint
        before = checkpoint["data_shares" if "data_shares" in checkpoint else "world_size"]
        now = self.trainer.strategy.data_share.world_size
        if not state.batches_done or state.is_epoch_complete:
            return
        in_all = None if math.isinf(loader.num_batches) else int(loader.num_batches)
        taken, takes = checkpoint.get("taken_per_batch"), loader.taken_per_batch
        if before == now and (taken is None or takes is None):
            return
        if taken is None or takes is None:
            if in_all is not None and state.epoch_batches == in_all:
                return  # a loader that splits each batch itself
            taken, takes = before, now  # one whose batches stay as they are: there are more at a time, or fewer
            if self._has_own_place():
                self._refuse_place(before, now)
        if taken == takes:
            return
        if state.batches_done * taken % takes or state.window_batches * taken % takes:
            self._refuse_place(before, now)
        state.batches_done = state.batches_done * taken // takes
        state.window_batches = state.window_batches * taken // takes
        if state.epoch_batches >= 0:
            end = state.epoch_batches * taken
            # The last batch of an epoch may be a smaller one, or left out.
            is_same = in_all is not None and abs(end - in_all * takes) < max(taken, takes)
            state.epoch_batches = in_all if is_same and in_all is not None else -(-end // takes)

    def _has_own_place(self) -> bool:
        first = self.checkpoint["ranks"][0]
        return first.get("loader") is not None or "pass" in first

    def _refuse_place(self, before: int, now: int) -> NoReturn:
        done = self.trainer.train_state.batches_done
        raise CheckpointError(
            f"The checkpoint was written after {done} batches on each of {before} processes, which is no whole number "
            f"of batches on {now}. Keep the global batch as it was (`share_of_batch`), use {before} processes, or take "
            "a checkpoint from the end of an epoch."
        )
