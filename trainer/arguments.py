"""Every argument of Lightning's Trainer: kept, changed or refused, with the sentence shown."""

from __future__ import annotations

import ast
import difflib
import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, ParamSpec

from trainer.errors import MisconfigurationException, four_parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument.

    Attributes:
        name: as in Lightning 2.6.
        fate: what became of it here.
        default: the value that is always accepted, for refused ones.
        sentence: what is different, or why it is refused and what to do instead; "" where it is just kept.
    """

    name: str
    fate: Literal["kept", "changed", "refused"]
    default: object = None
    sentence: str = ""


def _kept(*names: str) -> tuple[Argument, ...]:
    return tuple(Argument(name=name, fate="kept") for name in names)


def _changed(name: str, sentence: str) -> Argument:
    return Argument(name=name, fate="changed", sentence=sentence)


def _refused(name: str, default: object, sentence: str) -> Argument:
    return Argument(name=name, fate="refused", default=default, sentence=sentence)


ARGUMENTS: tuple[Argument, ...] = (
    *_kept(
        "devices", "num_nodes", "callbacks", "fast_dev_run", "max_epochs", "min_epochs", "max_steps", "min_steps",
        "max_time", "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches",
        "val_check_interval", "check_val_every_n_epoch", "enable_checkpointing", "enable_model_summary",
        "gradient_clip_val", "gradient_clip_algorithm", "deterministic", "benchmark", "inference_mode",
        "detect_anomaly", "default_root_dir", "profiler", "enable_autolog_hparams", "reload_dataloaders_every_n_epochs",
    ),
    _changed("accelerator", "cpu, cuda, mps, gpu, auto and own Accelerators; TPU and HPU are refused by name."),
    _changed("strategy", "auto, ddp in all its forms, fsdp, model_parallel, pipeline and Strategy instances."),
    _changed("precision", "Transformer Engine is refused; float16 is refused on a CPU."),
    _changed("logger", "True means CSVLogger, whatever is installed: what a run writes does not hang on a package."),
    _changed("overfit_batches", "Training and validation each keep to their first batches, in order."),
    _changed("num_sanity_val_steps", "The sanity check leaves no trace in the random generators."),
    _changed("log_every_n_steps", "The last step of an epoch is logged too."),
    _changed("enable_progress_bar", "Where the output is no terminal: one line per epoch."),
    _changed("accumulate_grad_batches", "The last, shorter window of an epoch is scaled by what it holds."),
    _changed("use_distributed_sampler", "Index streams are split, samplers stay; evaluation repeats nothing."),
    _changed("barebones", "Turns off what costs time, as in Lightning; nothing else gets faster by it."),
    _changed("plugins", "Precision, CheckpointIO and LayerSync; processes of a cluster are found by their variables."),
    _changed("sync_batchnorm", "On GPUs; refused for several processes on CPUs; layers are put back after the fit."),
    _refused("model_registry", None, "Nothing is uploaded to Lightning's platform. Leave it out."),
    _refused("suggest_integrations", None, "Nothing is suggested. Leave it out."),
)  # fmt: skip


_SHARDED = "This is not in this version; pass strategy='fsdp' or 'ddp'."
_TPU = "TPUs need torch_xla, which this trainer does not drive; pass strategy='auto' on a GPU or CPU."
_HPU = "HPUs need a vendor's build of torch, which this trainer does not drive; pass strategy='auto'."
_DEEPSPEED = "DeepSpeed is not driven by this trainer; pass strategy='ddp'."
_BROUGHT_BACK = "Callbacks, counters and metrics come back from rank zero, not the weights and best path alone."
_STARTS = {"": "", "_spawn": _BROUGHT_BACK, "_fork": _BROUGHT_BACK, "_notebook": _BROUGHT_BACK}
_GONE = "Lightning itself no longer has it; pass strategy='ddp'."

STRATEGIES: tuple[Argument, ...] = (
    *_kept("auto", "single_device"),
    *(_changed(name, "Through FSDP2; checkpoints hold whole tensors.") for name in ("fsdp", "fsdp_cpu_offload")),
    *(Argument(name=f"ddp{start}{end}", fate="kept" if not start else "changed", sentence=_STARTS[start])
      for start in ("", "_spawn", "_fork", "_notebook")
      for end in ("", "_find_unused_parameters_false", "_find_unused_parameters_true")),
    _changed("model_parallel", "Takes a plan too; what neither it nor `configure_model` splits is copied."),
    _refused("fsdp_native", "auto", _SHARDED),
    *(_refused(f"deepspeed{end}", "auto", _DEEPSPEED)
      for end in ("", "_stage_1", "_stage_1_offload", "_stage_2", "_stage_2_offload", "_stage_3", "_stage_3_offload",
                  "_stage_3_offload_nvme")),
    *(_refused(name, "auto", _TPU)
      for name in ("xla", "xla_debug", "xla_fsdp", "single_xla", "tpu_spawn", "tpu_spawn_debug", "single_tpu")),
    *(_refused(name, "auto", _HPU) for name in ("hpu_parallel", "hpu_single")),
    _refused("dp", "auto", "Threads over devices were never faster than processes; pass strategy='ddp'."),
    _refused("horovod", "auto", "Horovod is no longer developed; pass strategy='ddp'."),
    *(_refused(name, "auto", _GONE) for name in ("ddp2", "ddp_sharded", "ddp_fully_sharded", "bagua", "colossalai")),
)  # fmt: skip
"""Every strategy name that Lightning has or had."""


def refused_strategy(name: str) -> str | None:
    """Return why the strategy called `name` is refused, None where nobody knows the name."""
    return next((strategy.sentence or None for strategy in STRATEGIES if strategy.name == name), None)


ENVIRONMENT_PREFIX = "PL_TRAINER_"

_P = ParamSpec("_P")


def defaults_from_environment(init: Callable[_P, None]) -> Callable[_P, None]:
    """Let variables such as `PL_TRAINER_MAX_EPOCHS=3` stand for arguments that were not given.

    Values are read as Python literals where they are any, else as text; empty ones count as not given.
    """
    names = frozenset(init.__kwdefaults__ or {}) | {argument.name for argument in ARGUMENTS}

    @functools.wraps(init)
    def with_defaults(*args: _P.args, **kwargs: _P.kwargs) -> None:
        for variable, text in os.environ.items():
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if variable.startswith(ENVIRONMENT_PREFIX) and text and name in names:
                kwargs.setdefault(name, _read_literal(text))
        init(*args, **kwargs)

    return with_defaults


def _read_literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_other_arguments(others: Mapping[str, object], known: frozenset[str]) -> None:
    """Judge the keywords that Trainer does not name itself.

    Raises:
        MisconfigurationException: an argument of Lightning that is refused here was given a value.
        TypeError: nobody knows the keyword; the nearest known name is in the message.
    """
    table = {argument.name: argument for argument in ARGUMENTS}
    for name, value in others.items():
        argument = table.get(name)
        if argument is None:
            nearest = difflib.get_close_matches(name, sorted(known | set(table)), n=1)
            hint = f" Did you mean `{nearest[0]}`?" if nearest else ""
            raise TypeError(f"Trainer got an unknown argument `{name}={value!r}`.{hint}")
        if value != argument.default:
            raise MisconfigurationException(
                four_parts(
                    f"`{name}` is an argument of Lightning that this trainer refuses.",
                    got=value,
                    expected=f"{argument.default!r}, or nothing",
                    remedy=argument.sentence,
                )
            )
