"""LightningCLI: a training script's command line, read from the signatures of its classes."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, Namespace  # type: ignore[attr-defined]  # it is listed in a way of its own
from torch.optim import Optimizer

from trainer.callback import Callback
from trainer.cli.instantiation import HyperparameterKeeper, instantiate_class, with_class_path
from trainer.cli.jsonargparse_names import KEEP_NONE, Instantiator, class_from_function, instantiate
from trainer.cli.optimizers import LRSchedulerTypeTuple, LRSchedulerTypeUnion, ReduceLROnPlateau
from trainer.cli.parser import AUTOMATIC, LightningArgumentParser
from trainer.cli.readings import as_list, automatic, returned, short_description, version_of_homeroom
from trainer.cli.save_config import SaveConfigCallback
from trainer.datamodule import LightningDataModule
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.hooks import is_overridden
from trainer.model.given_hyperparameters import CLASS_PATH_KEY, INSTANTIATOR_KEY
from trainer.model.hyperparameters import read_for_building
from trainer.module import LightningModule
from trainer.seed import seed_everything
from trainer.trainer import Trainer
from trainer.utilities.rank_zero import rank_zero_warn

ArgsType = list[str] | dict[str, Any] | Namespace | None

_NOT_ON_A_COMMAND_LINE = {"stream"}  # an iterator, which nobody would go through


class LightningCLI:
    """Builds model, data and trainer from configuration files and the command line, and runs a subcommand.

    The arguments are Lightning's. Making an instance is running it: `LightningCLI(Model, Data)` is a whole script.

    Args:
        model_class: the model, or a function that returns it; None lets the configuration choose any model.
        datamodule_class: the data module, likewise; None lets the configuration choose one, or none.
        save_config_callback: what keeps the configuration beside the logs; None keeps it nowhere.
        save_config_kwargs: its further arguments.
        trainer_class: the trainer, or a function that returns it.
        trainer_defaults: other defaults for the trainer's arguments. Callbacks given here are always there, and no
            configuration changes them.
        seed_everything_default: the seed; True takes `PL_GLOBAL_SEED` or 0, False seeds nothing.
        parser_kwargs: arguments of the parsers, for each subcommand under its name;
            `{"default_env": True}` reads variables such as `PL_FIT__TRAINER__MAX_EPOCHS`.
        parser_class: the parser.
        subclass_mode_model: let the configuration choose a subclass of `model_class`.
        subclass_mode_data: let the configuration choose a subclass of `datamodule_class`.
        args: what to read instead of `sys.argv`: a list as on a command line, or a nested dict or Namespace.
        run: have subcommands and run one; False only builds the objects.
        auto_configure_optimizers: have `--optimizer` and `--lr_scheduler`, which replace the model's
            `configure_optimizers` where they are given.
        load_from_checkpoint_support: let `save_hyperparameters` keep what was configured rather than what `__init__`
            was given, so that a checkpoint can build nested objects again.

    Attributes:
        config: what was read.
        config_init: the same with objects in it.
        model: the model.
        datamodule: the data module, None where there is none.
        trainer: the trainer.
        subcommand: the one that runs, None with `run=False`.
        parser: what reads the arguments.
    """

    config: Namespace
    config_init: Namespace
    model: LightningModule
    datamodule: LightningDataModule | None
    trainer: Trainer

    def __init__(
        self,
        model_class: type[LightningModule] | Callable[..., LightningModule] | None = None,
        datamodule_class: type[LightningDataModule] | Callable[..., LightningDataModule] | None = None,
        save_config_callback: type[SaveConfigCallback] | None = SaveConfigCallback,
        save_config_kwargs: dict[str, Any] | None = None,
        trainer_class: type[Trainer] | Callable[..., Trainer] = Trainer,
        trainer_defaults: dict[str, Any] | None = None,
        seed_everything_default: bool | int = True,
        parser_kwargs: dict[str, Any] | None = None,
        parser_class: type[LightningArgumentParser] = LightningArgumentParser,
        subclass_mode_model: bool = False,
        subclass_mode_data: bool = False,
        args: ArgsType = None,
        run: bool = True,
        auto_configure_optimizers: bool = True,
        load_from_checkpoint_support: bool = True,
    ) -> None:
        self.model_class = model_class
        self.datamodule_class = datamodule_class
        self.save_config_callback = save_config_callback
        self.save_config_kwargs = save_config_kwargs or {}
        self.trainer_class = trainer_class
        self.trainer_defaults = trainer_defaults or {}
        self.seed_everything_default = seed_everything_default
        self.parser_kwargs = parser_kwargs or {}
        self.parser_class = parser_class
        self.auto_configure_optimizers = auto_configure_optimizers
        self.load_from_checkpoint_support = load_from_checkpoint_support
        self._model_class = model_class or LightningModule
        self.subclass_mode_model = model_class is None or subclass_mode_model
        self._datamodule_class = datamodule_class or LightningDataModule
        self.subclass_mode_data = datamodule_class is None or subclass_mode_data
        self._subcommand_parsers: dict[str, LightningArgumentParser] = {}
        self._subcommand_method_arguments: dict[str, list[str]] = {}

        names = self.subcommands().keys()
        main_kwargs = {name: value for name, value in self.parser_kwargs.items() if name not in names}
        subparser_kwargs = {name: value for name, value in self.parser_kwargs.items() if name in names}
        self.setup_parser(run, main_kwargs, subparser_kwargs)
        self.parse_arguments(self.parser, args)
        self._read_checkpoint()
        self.subcommand: str | None = self.config["subcommand"] if run else None
        self._set_seed()
        self.before_instantiate_classes()
        self.instantiate_classes()
        self.after_instantiate_classes()
        if self.subcommand is not None:
            self._run_subcommand(self.subcommand)

    # Parsers

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Return a parser that reads configuration files."""
        kwargs.setdefault("dump_header", [f"trainer of homeroom=={version_of_homeroom()}"])
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            "-c", "--config", action=ActionConfigFile, help="Path to a configuration file in json or yaml format."
        )
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Make `self.parser`, with subcommands or with all arguments itself."""
        self.parser = self.init_parser(**main_kwargs)
        if add_subcommands:
            self._add_subcommands(self.parser, **subparser_kwargs)
        else:
            self._add_arguments(self.parser)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `--seed_everything`."""
        parser.add_argument(
            "--seed_everything",
            type=bool | int,
            default=self.seed_everything_default,
            help="Seed of all random generators, set before anything is built. True takes PL_GLOBAL_SEED or 0, False "
            "seeds nothing.",
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of trainer, model and data."""
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        defaults = {f"trainer.{name}": value for name, value in self.trainer_defaults.items() if name != "callbacks"}
        parser.set_defaults(defaults)
        parser.add_lightning_class_args(self._model_class, "model", subclass_mode=self.subclass_mode_model)
        parser.add_lightning_class_args(
            self._datamodule_class,
            "data",
            subclass_mode=self.subclass_mode_data,
            required=self.datamodule_class is not None,  # a model may bring its own loaders
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Write it to add arguments of your own, or to link some."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Return the trainer's methods that are subcommands, with those of their arguments that are left out."""
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
            "validate": {"model", "dataloaders", "datamodule"},
            "test": {"model", "dataloaders", "datamodule"},
            "predict": {"model", "dataloaders", "datamodule"},
        }

    @staticmethod
    def link_optimizers_and_lr_schedulers(parser: LightningArgumentParser) -> None:
        """Link the optimizers and schedulers that were added with a `link_to`."""
        for key, (kind, target) in {**parser._optimizers, **parser._lr_schedulers}.items():
            if target == AUTOMATIC:
                continue
            compute = None if isinstance(kind, tuple) else functools.partial(with_class_path, kind)
            parser.link_arguments(key, target, compute_fn=compute)

    def _add_arguments(self, parser: LightningArgumentParser) -> None:
        self.add_default_arguments_to_parser(parser)
        self.add_core_arguments_to_parser(parser)
        self.add_arguments_to_parser(parser)
        if self.auto_configure_optimizers:
            if not parser._optimizers:
                parser.add_optimizer_args((Optimizer,))
            if not parser._lr_schedulers:
                parser.add_lr_scheduler_args(LRSchedulerTypeTuple)
        self.link_optimizers_and_lr_schedulers(parser)

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        added = parser.add_subcommands()
        given = self.trainer_class
        trainer_class: Any = given if isinstance(given, type) else class_from_function(given)
        for subcommand in self.subcommands():
            description = short_description(getattr(trainer_class, subcommand))
            options = {"description": description, **kwargs.get(subcommand, {})}
            subparser = self._prepare_subcommand_parser(trainer_class, subcommand, **options)
            self._subcommand_parsers[subcommand] = subparser
            added.add_subcommand(subcommand, subparser, help=description)

    def _prepare_subcommand_parser(
        self, trainer_class: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = self.init_parser(**kwargs)
        self._add_arguments(parser)
        skip = {*self.subcommands()[subcommand], *_NOT_ON_A_COMMAND_LINE}
        self._subcommand_method_arguments[subcommand] = parser.add_method_arguments(
            trainer_class,
            subcommand,
            skip=skip & inspect.signature(getattr(trainer_class, subcommand)).parameters.keys(),
        )
        return parser

    # Reading

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Read the arguments into `self.config`."""
        if args is not None and len(sys.argv) > 1:
            rank_zero_warn(
                "LightningCLI's `args` replaces the command line, and there is one too. Got "
                f"sys.argv[1:]={sys.argv[1:]}, args={args}; expected one of them. The command line is not read."
            )
        if isinstance(args, dict | Namespace):
            self.config = parser.parse_object(args)
        else:
            self.config = parser.parse_args(args)

    def _read_checkpoint(self) -> None:
        """Let the hyperparameters in a checkpoint file given as `ckpt_path` win over the model's arguments."""
        subcommand = self.config.get("subcommand")
        path = self.config[subcommand].get("ckpt_path") if subcommand else None
        if not path or not Path(path).exists():
            return
        checkpoint = read_for_building(path)
        saved = {n: v for n, v in checkpoint.get("hyper_parameters", {}).items() if n != INSTANTIATOR_KEY}
        if not saved:
            return
        if CLASS_PATH_KEY in saved:
            saved = {"class_path": saved.pop(CLASS_PATH_KEY), "dict_kwargs": saved}
        elif checkpoint.get("hparams_name") not in (None, "kwargs"):
            saved = {checkpoint["hparams_name"]: saved}
        try:
            self.config = self.parser.parse_object({subcommand: {"model": saved}}, self.config)
        except SystemExit:
            sys.stderr.write("Parsing of ckpt_path hyperparameters failed!\n")
            raise

    def _set_seed(self) -> None:
        seed = self._get(self.config, "seed_everything")
        if seed is False:
            return
        seed = seed_everything(None if seed is True else seed, workers=True)
        self.config.get(str(self.subcommand), self.config)["seed_everything"] = seed

    # Objects

    def before_instantiate_classes(self) -> None:
        """Write it to run something before the objects are built."""

    def instantiate_classes(self) -> None:
        """Build data, model and trainer."""
        self.config_init = instantiate(self.parser, self.config, self._instantiators())
        self.datamodule = self._get(self.config_init, "data")
        self.model = self._get(self.config_init, "model")
        self._add_configure_optimizers_method_to_model(self.subcommand)
        self.trainer = self.instantiate_trainer()

    def after_instantiate_classes(self) -> None:
        """Write it to run something after the objects are built."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Return the trainer of the configuration; `kwargs` win over it."""
        extra = [self._get(self.config_init, key) for key in self._parser(self.subcommand).callback_keys]
        config = {**(self._get(self.config_init, "trainer") or {}), **kwargs}
        return self._instantiate_trainer(config, extra)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if "callbacks" not in config:
            rank_zero_warn(
                f"The trainer takes no `callbacks`, so none are added. Got {self.trainer_class.__qualname__}; expected "
                "one with that argument. Add it, or pass `save_config_callback=None`."
            )
            return self.trainer_class(**config)
        always = as_list(self.trainer_defaults.get("callbacks"))
        config["callbacks"] = [*as_list(config["callbacks"]), *callbacks, *always]
        if self.save_config_callback is not None and not config.get("fast_dev_run", False):
            config["callbacks"].append(
                self.save_config_callback(
                    self._parser(self.subcommand),
                    self.config.get(str(self.subcommand), self.config),
                    **self.save_config_kwargs,
                )
            )
        return self.trainer_class(**config)

    def _instantiators(self) -> list[Instantiator]:
        if not self.load_from_checkpoint_support:
            return []
        return [
            (HyperparameterKeeper(self._plain_config, "model"), returned(self._model_class), self.subclass_mode_model),
            (
                HyperparameterKeeper(self._plain_config, "data"),
                returned(self._datamodule_class),
                self.subclass_mode_data,
            ),
        ]

    def _plain_config(self) -> dict[str, Any]:
        """Return the configuration of the subcommand as plain data, links included."""
        if not hasattr(self, "config_dump"):
            text = self.parser.dump(self.config, skip_link_targets=False, format="yaml", **KEEP_NONE)
            dumped: dict[str, Any] = yaml.safe_load(text)
            self.config_dump = dumped[self.config.subcommand] if "subcommand" in self.config else dumped
        return self.config_dump

    # Optimizers

    @staticmethod
    def configure_optimizers(
        lightning_module: LightningModule, optimizer: Optimizer, lr_scheduler: LRSchedulerTypeUnion | None = None
    ) -> Any:
        """Return what the model's `configure_optimizers` returns, for `--optimizer` and `--lr_scheduler`.

        Write it to give the scheduler another interval, for example.
        """
        if lr_scheduler is None:
            return optimizer
        if isinstance(lr_scheduler, ReduceLROnPlateau):
            return {
                "optimizer": optimizer,
                "lr_scheduler": {"scheduler": lr_scheduler, "monitor": lr_scheduler.monitor},
            }
        return [optimizer], [lr_scheduler]

    def _add_configure_optimizers_method_to_model(self, subcommand: str | None) -> None:
        if not self.auto_configure_optimizers:
            return
        parser = self._parser(subcommand)
        optimizers = automatic(parser._optimizers)
        schedulers = automatic(parser._lr_schedulers)
        if not optimizers:
            return
        if len(optimizers) > 1 or len(schedulers) > 1:
            raise MisconfigurationException(
                four_parts(
                    "The model's `configure_optimizers` cannot be written for several optimizers or schedulers.",
                    got=optimizers + schedulers,
                    expected="one optimizer and one scheduler that are 'AUTOMATIC' at most",
                    remedy="Link them to arguments of the model with `link_to`, and write its `configure_optimizers`.",
                )
            )
        described = self._described(parser._optimizers, optimizers[0])
        if not described:
            return
        scheduled = self._described(parser._lr_schedulers, schedulers[0]) if schedulers else None
        if is_overridden("configure_optimizers", self.model, LightningModule):
            warnings.warn(
                f"`{type(self.model).__name__}.configure_optimizers` will be overridden by "
                f"`{type(self).__name__}.configure_optimizers`.",
                stacklevel=2,
            )
        optimizer = instantiate_class(self.model.parameters(), described)
        scheduler = instantiate_class(optimizer, scheduled) if scheduled else None
        configure = functools.partial(self.configure_optimizers, optimizer=optimizer, lr_scheduler=scheduler)
        functools.update_wrapper(configure, self.configure_optimizers)
        self.model.configure_optimizers = MethodType(configure, self.model)  # type: ignore[method-assign]  # the purpose

    def _described(self, register: Mapping[str, tuple[type | tuple[type, ...], str]], key: str) -> Any:
        kind, given = register[key][0], self._get(self.config_init, key)
        return given if isinstance(kind, tuple) else with_class_path(kind, given)

    # Running

    def _run_subcommand(self, subcommand: str) -> None:
        before = getattr(self, f"before_{subcommand}", None)
        if callable(before):
            before()
        run = getattr(self, subcommand, getattr(self.trainer, subcommand))
        run(**self._prepare_subcommand_kwargs(subcommand))
        after = getattr(self, f"after_{subcommand}", None)
        if callable(after):
            after()

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        names = self._subcommand_method_arguments[subcommand]
        kwargs = {name: value for name, value in self.config_init[subcommand].items() if name in names}
        kwargs["model"] = self.model
        if self.datamodule is not None:
            kwargs["datamodule"] = self.datamodule
        return kwargs

    def _parser(self, subcommand: str | None) -> LightningArgumentParser:
        return self.parser if subcommand is None else self._subcommand_parsers[subcommand]

    def _get(self, config: Namespace, key: str, default: Any = None) -> Any:
        """Return a value of the configuration, which is that of the subcommand where there is one."""
        return config.get(str(self.subcommand), config).get(key, default)
