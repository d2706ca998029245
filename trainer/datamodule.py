"""LightningDataModule: where the data of a run comes from, in one object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch.utils.data import DataLoader, Dataset, IterableDataset

from trainer.checkpoints import check_weights_only
from trainer.data_hooks import DataHooks
from trainer.hyperparameters import HyperparametersMixin, read_for_building
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.trainer import Trainer


class LightningDataModule(DataHooks, HyperparametersMixin):
    """Prepares, loads and serves the data of all stages; subclasses write the hooks they need.

    Attributes:
        trainer: the trainer of the current run, None before.
    """

    trainer: Trainer | None = None

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
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a data module built from the hyperparameters in a checkpoint.

        Args:
            checkpoint_path: a file that `Trainer.save_checkpoint` wrote.
            map_location: where tensors go, as for `torch.load`.
            weights_only: always true here: a checkpoint is read as plain data. False is refused.
            kwargs: arguments of `__init__` that win over the saved ones.
        """
        check_weights_only(weights_only)
        checkpoint = read_for_building(checkpoint_path, map_location)
        datamodule = cls._build(checkpoint, kwargs, prefix="datamodule_")
        if cls.__qualname__ in checkpoint.get("datamodule", {}):
            datamodule.load_state_dict(checkpoint["datamodule"][cls.__qualname__])
        return datamodule

    @classmethod
    def from_datasets(
        cls,
        train_dataset: Dataset[Any] | Iterable[Any] | None = None,
        val_dataset: Dataset[Any] | Sequence[Dataset[Any]] | Mapping[str, Dataset[Any]] | None = None,
        test_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        predict_dataset: Dataset[Any] | Sequence[Dataset[Any]] | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
    ) -> LightningDataModule:
        """Return a data module that loads these datasets; only training is shuffled."""

        def loader(dataset: Any, shuffle: bool = False) -> DataLoader[Any]:
            shuffles = shuffle and not isinstance(dataset, IterableDataset)
            return DataLoader(dataset, batch_size=batch_size, num_workers=num_workers, shuffle=shuffles)

        def loaders(given: Any) -> Any:
            if isinstance(given, Mapping):
                return [loader(dataset) for dataset in given.values()]
            if isinstance(given, Sequence) and not isinstance(given, Dataset):
                return [loader(dataset) for dataset in given]
            return loader(given)

        datamodule = LightningDataModule()
        if train_dataset is not None:
            datamodule.train_dataloader = lambda: loader(train_dataset, shuffle=True)  # type: ignore[method-assign]
        if val_dataset is not None:
            datamodule.val_dataloader = lambda: loaders(val_dataset)  # type: ignore[method-assign]
        if test_dataset is not None:
            datamodule.test_dataloader = lambda: loaders(test_dataset)  # type: ignore[method-assign]
        if predict_dataset is not None:
            datamodule.predict_dataloader = lambda: loaders(predict_dataset)  # type: ignore[method-assign]
        return datamodule
