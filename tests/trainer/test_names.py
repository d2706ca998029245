"""Every public name of Lightning 2.6's classes, and what became of it here."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import trainer as L
from tests.trainer.models import LoggingRegression, Regression, make_trainer, regression_loader
from trainer.optimization.manual import LightningOptimizer

NAMES = {
    "Trainer": """
        accelerator accumulate_grad_batches barebones callback_metrics callbacks check_val_every_n_epoch
        checkpoint_callback checkpoint_callbacks ckpt_path current_epoch datamodule default_root_dir device_ids
        distributed_sampler_kwargs early_stopping_callback early_stopping_callbacks enable_autolog_hparams
        enable_validation estimated_stepping_batches evaluating fast_dev_run fit fit_loop global_rank
        global_step gradient_clip_algorithm gradient_clip_val init_module interrupted is_global_zero
        is_last_batch lightning_module limit_predict_batches limit_test_batches limit_train_batches
        limit_val_batches local_rank log_dir log_every_n_steps logged_metrics logger loggers
        lr_scheduler_configs max_epochs max_steps min_epochs min_steps model node_rank num_devices num_nodes
        num_predict_batches num_sanity_val_batches num_sanity_val_steps num_test_batches num_training_batches
        num_val_batches optimizers overfit_batches precision precision_plugin predict predict_dataloaders
        predict_loop predicting print profiler progress_bar_callback progress_bar_metrics received_sigterm
        reload_dataloaders_every_n_epochs sanity_checking save_checkpoint scaler should_stop state strategy test
        test_dataloaders test_loop testing train_dataloader training val_check_batch val_check_interval
        val_dataloaders validate validate_loop validating world_size
    """,
    "LightningModule": """
        CHECKPOINT_HYPER_PARAMS_KEY CHECKPOINT_HYPER_PARAMS_NAME CHECKPOINT_HYPER_PARAMS_TYPE all_gather
        automatic_optimization backward clip_gradients configure_callbacks configure_gradient_clipping
        configure_model configure_optimizers configure_sharded_model current_epoch device device_mesh dtype
        example_input_array fabric freeze global_rank global_step hparams hparams_initial load_from_checkpoint
        local_rank log log_dict logger loggers lr_scheduler_step lr_schedulers manual_backward on_after_backward
        on_after_batch_transfer on_before_backward on_before_batch_transfer on_before_optimizer_step
        on_before_zero_grad on_fit_end on_fit_start on_gpu on_load_checkpoint on_predict_batch_end
        on_predict_batch_start on_predict_end on_predict_epoch_end on_predict_epoch_start on_predict_model_eval
        on_predict_start on_save_checkpoint on_test_batch_end on_test_batch_start on_test_end on_test_epoch_end
        on_test_epoch_start on_test_model_eval on_test_model_train on_test_start on_train_batch_end
        on_train_batch_start on_train_end on_train_epoch_end on_train_epoch_start on_train_start
        on_validation_batch_end on_validation_batch_start on_validation_end on_validation_epoch_end
        on_validation_epoch_start on_validation_model_eval on_validation_model_train
        on_validation_model_zero_grad on_validation_start optimizer_step optimizer_zero_grad optimizers
        predict_dataloader predict_step prepare_data print remove_ignored_hparams save_hyperparameters setup
        strict_loading teardown test_dataloader test_step to_onnx to_tensorrt to_torchscript toggle_optimizer
        toggled_optimizer train_dataloader trainer training_step transfer_batch_to_device unfreeze
        untoggle_optimizer val_dataloader validation_step
    """,
    "LightningDataModule": """
        CHECKPOINT_HYPER_PARAMS_KEY CHECKPOINT_HYPER_PARAMS_NAME CHECKPOINT_HYPER_PARAMS_TYPE from_datasets
        hparams hparams_initial load_from_checkpoint name on_after_batch_transfer on_before_batch_transfer
        on_exception predict_dataloader prepare_data remove_ignored_hparams save_hyperparameters setup teardown
        test_dataloader train_dataloader transfer_batch_to_device val_dataloader
    """,
    "LightningOptimizer": """
        optimizer step toggle_model
    """,
}

# Names that are not here, with the reason.
ABSENT = {
    "LightningModule.configure_sharded_model": "Deprecated in Lightning; `configure_model` is its successor.",
    "LightningModule.remove_ignored_hparams": "Internal in Lightning: a static helper of save_hyperparameters.",
    "LightningDataModule.remove_ignored_hparams": "As for LightningModule.",
    "LightningModule.to_tensorrt": "Not taken over: torch_tensorrt compiles the module as it is.",
    "LightningModule.to_torchscript": "Not taken over: TorchScript is deprecated by torch.",
}

OURS = {
    "Trainer": L.Trainer,
    "LightningModule": L.LightningModule,
    "LightningDataModule": L.LightningDataModule,
    "LightningOptimizer": LightningOptimizer,
}


def own_names(kind: str) -> set[str]:
    names = set(dir(OURS[kind]))
    if kind == "Trainer":
        names |= set(vars(L.Trainer(accelerator="cpu", logger=False)))
    return names | (set(vars(L.LightningModule())) if kind == "LightningModule" else set())


@pytest.mark.parametrize("kind", list(NAMES))
def test_every_name_is_here_or_its_absence_is_explained(kind: str) -> None:
    listed = set(NAMES[kind].split())
    absent = {name.partition(".")[2] for name in ABSENT if name.startswith(f"{kind}.")}
    assert listed - own_names(kind) == absent


@pytest.mark.parametrize(
    ("package", "name"),
    [("callbacks", "ModelPruning"), ("strategies", "DeepSpeedStrategy"), ("loggers", "CometLogger")],
)
def test_what_is_not_taken_over_says_what_to_use(package: str, name: str) -> None:
    with pytest.raises(ImportError, match=f"has no {name}: "):
        getattr(getattr(L, package), name)


def test_the_version_is_homerooms() -> None:
    assert L.__version__ == importlib.metadata.version("homeroom")


def test_the_list_is_lightnings() -> None:
    theirs = pytest.importorskip("lightning", reason="lightning is not installed beside this package")
    from lightning.pytorch.core.optimizer import LightningOptimizer as TheirOptimizer

    classes = {
        "Trainer": theirs.Trainer,
        "LightningModule": theirs.LightningModule,
        "LightningDataModule": theirs.LightningDataModule,
        "LightningOptimizer": TheirOptimizer,
    }
    for kind, theirs_of_kind in classes.items():
        names = {name for name in dir(theirs_of_kind) if not name.startswith("_")} - set(dir(nn.Module))
        assert names <= set(NAMES[kind].split()), kind


# Arguments of Lightning's methods, from its documentation; ours may have more, after these.
SIGNATURES: dict[Any, str] = {
    L.Trainer.fit: "model train_dataloaders val_dataloaders datamodule ckpt_path weights_only",
    L.Trainer.validate: "model dataloaders ckpt_path verbose datamodule weights_only",
    L.Trainer.test: "model dataloaders ckpt_path verbose datamodule weights_only",
    L.Trainer.predict: "model dataloaders datamodule return_predictions ckpt_path weights_only",
    L.Trainer.save_checkpoint: "filepath weights_only storage_options",
    L.Trainer.init_module: "empty_init",
    L.LightningModule.log: "name value prog_bar logger on_step on_epoch reduce_fx enable_graph sync_dist "
    "sync_dist_group add_dataloader_idx batch_size metric_attribute rank_zero_only",
    L.LightningModule.log_dict: "dictionary prog_bar logger on_step on_epoch reduce_fx enable_graph sync_dist "
    "sync_dist_group add_dataloader_idx batch_size rank_zero_only",
    L.LightningModule.load_from_checkpoint: "checkpoint_path map_location hparams_file strict weights_only kwargs",
    L.LightningModule.save_hyperparameters: "args ignore frame logger",
    L.LightningModule.optimizer_step: "epoch batch_idx optimizer optimizer_closure",
    L.LightningModule.configure_gradient_clipping: "optimizer gradient_clip_val gradient_clip_algorithm",
    L.LightningModule.all_gather: "data group sync_grads",
    L.LightningModule.optimizers: "use_pl_optimizer",
    L.LightningDataModule.from_datasets: "train_dataset val_dataset test_dataset predict_dataset batch_size "
    "num_workers datamodule_kwargs",
}


@pytest.mark.parametrize("method", list(SIGNATURES), ids=lambda method: method.__qualname__)
def test_arguments_have_lightnings_names_and_order(method: Any) -> None:
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    expected = SIGNATURES[method].split()
    assert names[: len(expected)] == expected


def test_variables_stand_for_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"MAX_EPOCHS": "3", "GRADIENT_CLIP_ALGORITHM": "value", "LIMIT_VAL_BATCHES": "0.5",
                        "ENABLE_PROGRESS_BAR": "False", "MIN_EPOCHS": "", "NOTHING_OF_OURS": "1"}.items():  # fmt: skip
        monkeypatch.setitem(os.environ, f"PL_TRAINER_{name}", value)
    trainer = L.Trainer(accelerator="cpu", limit_val_batches=2)
    assert (trainer.max_epochs, trainer.gradient_clip_algorithm, trainer.min_epochs) == (3, "value", None)
    assert trainer.limit_val_batches == 2  # what is written in the code wins
    assert trainer.progress_bar_callback is None


def test_loops_tell_where_they_are(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    class Model(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.note("step")
            return super().training_step(batch, batch_idx)

        def on_train_batch_end(self, *arguments: Any) -> None:
            self.note("end")

        def note(self, place: str) -> None:
            loop = self.trainer.fit_loop.epoch_loop
            progress = loop.batch_progress
            seen.append((place, loop.batch_idx, loop.total_batch_idx, progress.current.ready,
                         progress.current.completed, progress.is_last_batch))  # fmt: skip

    trainer = make_trainer(tmp_path, max_epochs=2, limit_train_batches=2)
    trainer.fit(Model(), regression_loader())
    assert seen == [
        ("step", 0, 0, 1, 0, False), ("end", 0, 0, 1, 1, False), ("step", 1, 1, 2, 1, True), ("end", 1, 1, 2, 2, True),
        ("step", 0, 2, 1, 0, False), ("end", 0, 2, 1, 1, False), ("step", 1, 3, 2, 1, True), ("end", 1, 3, 2, 2, True),
    ]  # fmt: skip
    assert trainer.fit_loop.epoch_progress.current.completed == 2
    assert trainer.fit_loop.is_done
    trainer.fit_loop.max_epochs = 3
    trainer.fit(Model(), regression_loader())
    assert trainer.global_step == 6


def test_what_a_trainer_tells_about_validation(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, val_check_interval=0.5)
    with pytest.raises(RuntimeError, match="has run no validation yet"):
        _ = trainer.validate_loop
    trainer.fit(LoggingRegression(), regression_loader(), regression_loader())
    assert trainer.val_check_batch == 3
    assert trainer.enable_validation
    assert trainer.validate_loop.num_batches == [6]
    assert trainer.distributed_sampler_kwargs is None
    assert make_trainer(tmp_path, barebones=True).barebones
    trainer.fit(Regression(), regression_loader())
    assert not trainer.enable_validation


def test_modules_are_built_where_and_how_they_will_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    with make_trainer(tmp_path, precision="64-true").init_module():
        assert nn.Linear(2, 2).weight.dtype is torch.float64
    assert torch.get_default_dtype() is torch.float32
    monkeypatch.setattr(nn.Linear, "reset_parameters", lambda self: nn.init.constant_(self.weight, 7.0))
    with make_trainer(tmp_path).init_module(empty_init=True):
        assert not torch.equal(nn.Linear(2, 2).weight.nan_to_num(), torch.full((2, 2), 7.0))
    with make_trainer(tmp_path).init_module():
        assert torch.equal(nn.Linear(2, 2).weight, torch.full((2, 2), 7.0))


def test_hyperparameters_may_stay_out_of_the_loggers(tmp_path: Path) -> None:
    logger = L.loggers.CSVLogger(tmp_path)
    make_trainer(tmp_path, max_epochs=1, logger=logger, enable_autolog_hparams=False).fit(
        Regression(), regression_loader()
    )
    assert not list(tmp_path.rglob("hparams*"))


def test_a_data_module_tells_its_sizes() -> None:
    from tests.trainer.models import regression_data

    class Sized(L.LightningDataModule):
        def __init__(self, batch_size: int = 1, scale: float = 1.0) -> None:
            super().__init__()
            self.batch_size, self.scale = batch_size, scale

    data = Sized.from_datasets(
        {"a": regression_data(12), "b": regression_data(3)}, regression_data(8), batch_size=4, scale=2.0
    )
    assert isinstance(data, Sized)
    assert (data.batch_size, data.scale) == (4, 2.0)
    assert str(data) == "Sized\n  train: 12 samples, 3 samples\n  validation: 8 samples\n  test: none\n  predict: none"
    assert sorted(data.train_dataloader()) == ["a", "b"]
