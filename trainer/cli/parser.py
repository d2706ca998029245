"""The argument parser of a command line: jsonargparse's, with the arguments of trainers, models and optimizers."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jsonargparse
import torch
from jsonargparse import ArgumentParser, register_unresolvable_import_paths
from jsonargparse.typing import register_type
from torch.optim import Optimizer

from trainer.arguments import ARGUMENTS
from trainer.callback import Callback
from trainer.cli.jsonargparse_names import class_from_function
from trainer.cli.known_classes import import_known_classes
from trainer.cli.lightning_paths import PARSER_MODE, argument_as_ours, register_parser_mode
from trainer.cli.optimizers import LRSchedulerTypeTuple
from trainer.datamodule import LightningDataModule
from trainer.errors import MisconfigurationException, four_parts
from trainer.module import LightningModule
from trainer.trainer import Trainer

if TYPE_CHECKING:
    from trainer.cli.optimizers import LRSchedulerType

    LightningClass = type[Trainer] | type[LightningModule] | type[LightningDataModule] | type[Callback]

AUTOMATIC = "AUTOMATIC"  # of `link_to`: the model's `configure_optimizers` is written for it

register_unresolvable_import_paths(torch)  # torch.nn.functional and others do not say where they are
if find_spec("fsspec") is not None:
    jsonargparse.set_parsing_settings(config_read_mode_fsspec_enabled=True)
register_parser_mode()
register_type(torch.device, str, torch.device, deserializer_exceptions=(RuntimeError, TypeError))


class LightningArgumentParser(ArgumentParser):
    """A parser that knows how to add trainers, models, data modules, callbacks, optimizers and schedulers.

    Args:
        args: of `jsonargparse.ArgumentParser`.
        description: what `--help` shows first.
        env_prefix: what the names of environment variables begin with.
        default_env: read the environment variables.
        kwargs: of `jsonargparse.ArgumentParser`.

    Attributes:
        callback_keys: where the callbacks are that were added one by one.
    """

    def __init__(
        self,
        *args: Any,
        description: str = "Lightning Trainer command line tool",
        env_prefix: str = "PL",
        default_env: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("parser_mode", PARSER_MODE)
        super().__init__(*args, description=description, env_prefix=env_prefix, default_env=default_env, **kwargs)
        import_known_classes()
        self.callback_keys: list[str] = []
        self._optimizers: dict[str, tuple[type | tuple[type, ...], str]] = {}
        self._lr_schedulers: dict[str, tuple[type | tuple[type, ...], str]] = {}

    def parse_args(  # type: ignore[override]  # argparse's forms for a namespace of one's own are not jsonargparse's
        self, args: Sequence[str] | None = None, *others: Any, **options: Any
    ) -> Any:
        """Read a command line; as jsonargparse's, but class paths may be Lightning's."""
        given = sys.argv[1:] if args is None else list(args)
        ours = [argument_as_ours(argument) for argument in given]
        return super().parse_args(args if ours == given else ours, *others, **options)

    def add_lightning_class_args(
        self,
        lightning_class: LightningClass | Callable[..., Any],
        nested_key: str,
        subclass_mode: bool = False,
        required: bool = True,
    ) -> list[str]:
        """Add the arguments of a class, or of a function that returns an instance, below `nested_key`.

        Args:
            lightning_class: a Trainer, LightningModule, LightningDataModule or Callback, or what returns one.
            nested_key: the name they have in a configuration.
            subclass_mode: let the configuration choose a subclass.
            required: refuse a configuration without them.

        Returns:
            The names of the added arguments.

        Raises:
            MisconfigurationException: it is none of these classes.
        """
        chosen: Any = lightning_class
        if callable(chosen) and not isinstance(chosen, type):
            chosen = class_from_function(chosen)
        kinds = (Trainer, LightningModule, LightningDataModule, Callback)
        if not (isinstance(chosen, type) and issubclass(chosen, kinds)):
            raise MisconfigurationException(
                four_parts(
                    f"The arguments below `{nested_key}` cannot be read from something else than a class of ours.",
                    got=lightning_class,
                    expected="a Trainer, LightningModule, LightningDataModule or Callback, or a function returning one",
                    remedy="Use `add_class_arguments` or `add_subclass_arguments` for other classes.",
                )
            )
        if issubclass(chosen, Callback):
            self.callback_keys.append(nested_key)
        if subclass_mode:
            added = self.add_subclass_arguments(chosen, nested_key, fail_untyped=False, required=required)
            return list(added or ())
        is_trainer = issubclass(chosen, Trainer)
        added = self.add_class_arguments(
            chosen, nested_key, fail_untyped=False, instantiate=not is_trainer, sub_configs=True
        )
        return [*added, *(self._add_refused(chosen, nested_key, added) if is_trainer else ())]

    def _add_refused(self, trainer_class: type, nested_key: str, added: list[str]) -> list[str]:
        """Add Lightning's arguments that the trainer takes only to refuse, so that Lightning's own files are read."""
        parameters = inspect.signature(trainer_class).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return []
        refused = [argument for argument in ARGUMENTS if argument.fate == "refused"]
        keys = []
        for argument in refused:
            key = f"{nested_key}.{argument.name}"
            if key not in added:
                self.add_argument(f"--{key}", type=Any, default=argument.default, help=argument.sentence)
                keys.append(key)
        return keys

    def add_optimizer_args(
        self,
        optimizer_class: type[Optimizer] | tuple[type[Optimizer], ...] = (Optimizer,),
        nested_key: str = "optimizer",
        link_to: str = AUTOMATIC,
    ) -> None:
        """Add the arguments of an optimizer below `nested_key`.

        Args:
            optimizer_class: the class; a tuple lets the configuration choose a subclass of any of them.
            nested_key: the name they have in a configuration.
            link_to: the argument that takes them; `AUTOMATIC` writes the model's `configure_optimizers`.
        """
        self._add_made_later(optimizer_class, Optimizer, nested_key, skip="params")
        self._optimizers[nested_key] = (optimizer_class, link_to)

    def add_lr_scheduler_args(
        self,
        lr_scheduler_class: LRSchedulerType | tuple[LRSchedulerType, ...] = LRSchedulerTypeTuple,
        nested_key: str = "lr_scheduler",
        link_to: str = AUTOMATIC,
    ) -> None:
        """Add the arguments of a learning rate scheduler below `nested_key`; as `add_optimizer_args` does."""
        self._add_made_later(lr_scheduler_class, LRSchedulerTypeTuple, nested_key, skip="optimizer")
        self._lr_schedulers[nested_key] = (lr_scheduler_class, link_to)

    def _add_made_later(
        self, chosen: type | tuple[type, ...], base: type | tuple[type, ...], nested_key: str, skip: str
    ) -> None:
        """Add what is not built with the rest, as its first argument `skip` comes only then."""
        wrong = [kind for kind in (chosen if isinstance(chosen, tuple) else (chosen,)) if not issubclass(kind, base)]
        assert not wrong, f"{wrong} are not subclasses of {base}"
        if isinstance(chosen, tuple):
            self.add_subclass_arguments(chosen, nested_key, instantiate=False, fail_untyped=False, skip={skip})
        else:
            self.add_class_arguments(
                chosen, nested_key, instantiate=False, fail_untyped=False, sub_configs=True, skip={skip}
            )
