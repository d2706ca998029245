"""Every argument of Lightning's Trainer: kept, changed or refused, with the sentence shown."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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
        "check_val_every_n_epoch", "enable_checkpointing", "enable_model_summary", "gradient_clip_val",
        "gradient_clip_algorithm", "deterministic", "benchmark", "inference_mode", "detect_anomaly",
        "default_root_dir", "profiler", "reload_dataloaders_every_n_epochs",
    ),
    _changed("accelerator", "cpu, cuda, gpu and auto; other accelerators are refused by name."),
    _changed("strategy", "auto, ddp and Strategy instances; sharded strategies are refused by name."),
    _changed("precision", "Transformer Engine is refused; float16 is refused on a CPU."),
    _changed("logger", "True means CSVLogger, whatever is installed: what a run writes does not hang on a package."),
    _changed("overfit_batches", "Training and validation each keep to their first batches, in order."),
    _changed("val_check_interval", "A share of an epoch or a number of batches; times are refused."),
    _changed("num_sanity_val_steps", "The sanity check leaves no trace in the random generators."),
    _changed("log_every_n_steps", "The last step of an epoch is logged too."),
    _changed("enable_progress_bar", "Where the output is no terminal: one line per epoch."),
    _changed("accumulate_grad_batches", "The last, shorter window of an epoch is scaled by what it holds."),
    _changed("use_distributed_sampler", "Index streams are split, samplers stay; evaluation repeats nothing."),
    _changed("barebones", "Turns off what costs time, as in Lightning; nothing else gets faster by it."),
    _refused("plugins", None, "Plugins are not in this version. Pass `strategy` and `precision` themselves."),
    _refused("sync_batchnorm", False, "Convert the model yourself in `configure_model`, on GPUs, with "
             "torch.nn.SyncBatchNorm.convert_sync_batchnorm."),
    _refused("enable_autolog_hparams", True, "Pass logger=False to `save_hyperparameters` instead."),
    _refused("model_registry", None, "Nothing is uploaded to Lightning's platform. Leave it out."),
    _refused("suggest_integrations", None, "Nothing is suggested. Leave it out."),
)  # fmt: skip


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
