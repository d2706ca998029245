"""LightningDataModule: where the data of a run comes from, in one object."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch.utils.data import DataLoader, Dataset, IterableDataset

from trainer.checkpoints.files import check_weights_only
from trainer.data.hooks import DataHooks
from trainer.model.hyperparameters import HyperparametersMixin, read_for_building, read_hyperparameters
from trainer.types import PlainState
from trainer.utilities.combined_loader import flatten

if TYPE_CHECKING:
    from trainer.trainer import Trainer


class LightningDataModule(DataHooks, HyperparametersMixin):
    """Prepares, loads and serves the data of all stages; subclasses write the hooks they need.

    Attributes:
        name: for whoever wants to give it one.
        trainer: the trainer of the current run, None before.
        allow_zero_length_dataloader_with_multiple_devices: accepted; a process without batches is always allowed in
            an evaluation, and in training all have equally many.
    """

    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = "datamodule_hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = "datamodule_hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = "datamodule_hparams_type"
    name: str | None = None
    trainer: Trainer | None = None
    allow_zero_length_dataloader_with_multiple_devices: bool = False

    def state_dict(self) -> PlainState:
        """Return what a resumed run needs, as plain data and tensors."""
        return {}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Continue from what `state_dict` returned."""

    def on_exception(self, exception: BaseException) -> None:
        """Called when an exception ends the run, before teardown."""

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a data module built from the hyperparameters in a checkpoint.

        Args:
            checkpoint_path: a file that `Trainer.save_checkpoint` wrote.
            map_location: where tensors go, as for `torch.load`.
            hparams_file: take the hyperparameters from this .yaml, .json or .csv file instead.
            weights_only: always true here: a checkpoint is read as plain data. False is refused.
            kwargs: arguments of `__init__` that win over the saved ones.
        """
        check_weights_only(weights_only)
        checkpoint = read_for_building(checkpoint_path, map_location)
        if hparams_file is not None:
            checkpoint["datamodule_hyper_parameters"] = read_hyperparameters(hparams_file)
        datamodule = cls._build(checkpoint, kwargs, prefix="datamodule_")
        state = checkpoint.get("datamodule", checkpoint).get(cls.__qualname__)
        if state is not None:
            datamodule.load_state_dict(state)
        return datamodule

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Dataset[Any] | Iterable[Any] | Mapping[str, Dataset[Any]] | None = None,
        val_dataset: Dataset[Any] | Sequence[Dataset[Any]] | Mapping[str, Dataset[Any]] | None = None,
        test_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        predict_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
        **datamodule_kwargs: Any,
    ) -> Self:
        """Return a data module that loads these datasets (one, or a list or dict of them); only training is shuffled.

        Args:
            train_dataset: for `fit`.
            val_dataset: for validation.
            test_dataset: for `test`.
            predict_dataset: for `predict`.
            batch_size: of every loader; also passed to an `__init__` that takes it.
            num_workers: as for `batch_size`.
            datamodule_kwargs: arguments of `__init__`.
        """

        def loader(dataset: Any, shuffle: bool) -> DataLoader[Any]:
            shuffles = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, shuffle=shuffles)

        def loaders(given: Any, shuffle: bool = False) -> Any:
            if isinstance(given, Mapping):
                return {name: loader(dataset, shuffle) for name, dataset in given.items()}
            if isinstance(given, Sequence) and not isinstance(given, Dataset):
                return [loader(dataset, shuffle) for dataset in given]
            return loader(given, shuffle)

        datamodule = cls(**_accepted(cls, {"batch_size": batch_size, "num_workers": num_workers}), **datamodule_kwargs)
        if train_dataset is not None:
            datamodule.train_dataloader = lambda: loaders(train_dataset, shuffle=True)  # type: ignore[method-assign]
        if val_dataset is not None:
            datamodule.val_dataloader = lambda: loaders(val_dataset)  # type: ignore[method-assign]
        if test_dataset is not None:
            datamodule.test_dataloader = lambda: loaders(test_dataset)  # type: ignore[method-assign]
        if predict_dataset is not None:
            datamodule.predict_dataloader = lambda: loaders(predict_dataset)  # type: ignore[method-assign]
        return datamodule

    def __str__(self) -> str:
        lines = []
        for source, name in _SOURCES.items():
            try:
                found = flatten(getattr(self, f"{source}_dataloader")())
            except Exception:  # what a loader needs may not be set up yet, and a text must not fail for it
                found = []
            sizes = [_size(loader) for loader in found if loader is not None]
            lines.append(f"{name}: " + (", ".join(sizes) or "none"))
        return "\n".join([type(self).__name__, *(f"  {line}" for line in lines)])


_SOURCES = {"train": "train", "val": "validation", "test": "test", "predict": "predict"}


def _size(loader: Any) -> str:
    try:
        return f"{len(loader.dataset)} samples"
    except (AttributeError, TypeError):
        return "samples of unknown number"


def _accepted(cls: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return those of `arguments` that the `__init__` of a subclass names or takes as keywords."""
    if cls.__init__ is object.__init__:  # type: ignore[misc]  # only compared
        return {}
    parameters = inspect.signature(cls).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    return {name: value for name, value in arguments.items() if name in parameters}
