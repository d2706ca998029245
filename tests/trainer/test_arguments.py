"""Every argument of Lightning, and what is refused."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import trainer as L
from trainer.arguments import ARGUMENTS
from trainer.errors import MisconfigurationException

# The arguments of Lightning 2.6's Trainer, from its documentation.
LIGHTNING = [
    "accelerator",
    "strategy",
    "devices",
    "num_nodes",
    "precision",
    "logger",
    "callbacks",
    "fast_dev_run",
    "max_epochs",
    "min_epochs",
    "max_steps",
    "min_steps",
    "max_time",
    "limit_train_batches",
    "limit_val_batches",
    "limit_test_batches",
    "limit_predict_batches",
    "overfit_batches",
    "val_check_interval",
    "check_val_every_n_epoch",
    "num_sanity_val_steps",
    "log_every_n_steps",
    "enable_checkpointing",
    "enable_progress_bar",
    "enable_model_summary",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "deterministic",
    "benchmark",
    "inference_mode",
    "use_distributed_sampler",
    "profiler",
    "detect_anomaly",
    "barebones",
    "plugins",
    "sync_batchnorm",
    "reload_dataloaders_every_n_epochs",
    "default_root_dir",
    "enable_autolog_hparams",
    "model_registry",
    "suggest_integrations",
]


def test_every_argument_of_lightning_has_a_fate() -> None:
    assert sorted(argument.name for argument in ARGUMENTS) == sorted(LIGHTNING)


def test_what_is_kept_or_changed_is_taken_by_name_and_the_rest_refused() -> None:
    taken = set(inspect.signature(L.Trainer).parameters) - {"others"}
    assert taken == {argument.name for argument in ARGUMENTS if argument.fate != "refused"}
    assert all(argument.sentence for argument in ARGUMENTS if argument.fate != "kept")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plugins": ["fast"]}, "`plugins` cannot be used.*Got 'fast'"),
        (
            {"profiler": "xla"},
            r"`profiler` names none.*XLA is not supported. Got 'xla'.*'advanced', 'pytorch', 'simple'",
        ),
        ({"accelerator": "tpu"}, "Got 'tpu'.*torch_xla"),
        ({"accelerator": "cqu"}, "Got 'cqu'.*Correct the name"),
        ({"strategy": "fsdp_native"}, "Got 'fsdp_native'.*not in this version"),
        ({"strategy": "deepspeed_stage_3"}, "DeepSpeed is not driven"),
        ({"strategy": "horovod"}, "no longer developed"),
        ({"strategy": "dp"}, "Threads over devices"),
        ({"strategy": "xla_fsdp"}, "torch_xla"),
        ({"strategy": "dpd"}, "Correct the name"),
        ({"strategy": 3}, "Got 3"),
        ({"precision": "16-mixed"}, "Got '16-mixed'.*bf16-mixed"),
        ({"precision": "fp8"}, "Got 'fp8'; expected one of"),
        ({"devices": 0}, "Got 0; expected at least one process"),
        ({"devices": "two"}, "Got 'two'; expected a count"),
        ({"devices": [0, 0]}, "different indices"),
        ({"val_check_interval": "15 minutes"}, "length of time cannot be read.*Got '15 minutes'"),
        ({"val_check_interval": {"seconds": 0}}, "`val_check_interval`.*length of time above zero"),
        ({"val_check_interval": [3]}, "`val_check_interval`.*a number of batches or a length of time"),
        ({"val_check_interval": 1.5}, r"`val_check_interval`.*Got 1.5"),
        ({"val_check_interval": 0}, "`val_check_interval`"),
        ({"check_val_every_n_epoch": None, "val_check_interval": 0.5}, "`val_check_interval`.*number of batches when"),
        ({"check_val_every_n_epoch": 0}, "limit_val_batches=0"),
        ({"limit_train_batches": 1.5}, "`limit_train_batches`.*Got 1.5"),
        ({"limit_val_batches": -1}, "`limit_val_batches`.*Got -1"),
        ({"overfit_batches": True}, "`overfit_batches`"),
        ({"max_epochs": -2}, "`max_epochs`"),
        ({"fast_dev_run": -1}, "`fast_dev_run`"),
        ({"accumulate_grad_batches": 0}, "`accumulate_grad_batches`"),
        ({"gradient_clip_val": -1.0}, "`gradient_clip_val`"),
        ({"gradient_clip_algorithm": "l2"}, "`gradient_clip_algorithm`.*'norm', 'value'"),
        ({"log_every_n_steps": -5}, "`log_every_n_steps`"),
        ({"reload_dataloaders_every_n_epochs": -5}, "`reload_dataloaders_every_n_epochs`"),
        ({"max_time": "1 hour"}, "Got '1 hour'.*00:01:00:00"),
        ({"logger": "csv"}, "no logger"),
        ({"callbacks": ["x"]}, "no callback"),
        ({"enable_checkpointing": False, "callbacks": "checkpoint"}, "`enable_checkpointing=False` and a"),
        ({"enable_progress_bar": False, "callbacks": "bar"}, "`enable_progress_bar=False` and a"),
    ],
)
def test_impossible_values_are_refused_when_the_trainer_is_made(options: dict[str, Any], message: str) -> None:
    named = {"checkpoint": L.callbacks.ModelCheckpoint, "bar": L.callbacks.TQDMProgressBar}
    if isinstance(options.get("callbacks"), str):
        options = options | {"callbacks": named[options["callbacks"]]()}
    with pytest.raises(MisconfigurationException, match=message):
        L.Trainer(**({"accelerator": "cpu"} | options))


def test_refused_arguments_may_have_their_default() -> None:
    L.Trainer(accelerator="cpu", profiler=None, sync_batchnorm=False, enable_autolog_hparams=True)


def test_unknown_arguments_get_the_nearest_name() -> None:
    with pytest.raises(TypeError, match=r"unknown argument `max_epoch=3`. Did you mean `max_epochs`\?"):
        L.Trainer(max_epoch=3)
    with pytest.raises(TypeError, match=r"`zzz=1`.$"):
        L.Trainer(zzz=1)
