"""Loaders over a text dataset: for training, validation and prediction."""

from pathlib import Path
from typing import Self

import trainer as tr
from components.errors import NotEnoughDataError
from components.writing.graders.config import GraderTrainConfig
from components.writing.kernel.config import KernelConfig
from components.writing.loader import TextLoader
from components.writing.preprocess.arrays import TextArrays

PREDICTION_BATCH = 64


class WritingData(tr.LightningDataModule):
    """Loaders over a TextDataset's folder.

    Args:
        folder: the dataset's files.
        split: what `predict` answers.
        batch_texts: in a training batch, of all processes together.
        seed: of the order of training batches.
    """

    def __init__(
        self, folder: Path, split: str = "test", *, batch_texts: int = PREDICTION_BATCH, seed: int = 0
    ) -> None:
        super().__init__()
        self.folder = folder
        self.split = split
        self.batch_texts = batch_texts
        self.seed = seed

    @classmethod
    def for_training(cls, folder: Path, config: GraderTrainConfig) -> Self:
        """Return the data of a training.

        Raises:
            NotEnoughDataError: the dataset has no numbers of words, which every grader that is trained reads.
        """
        assert not isinstance(config.model, KernelConfig)  # it is fitted at once and asks for no batches
        if not (folder / "train" / "tokens.npy").is_file():
            raise NotEnoughDataError(
                "The dataset has preprocess.inputs='grams', without words in their order; a neural grader and a "
                "transformer need them. Use 'tokens' or 'both'."
            )
        return cls(folder, batch_texts=config.model.batch_texts, seed=config.seed)

    @classmethod
    def for_prediction(cls, folder: Path, split: str) -> Self:
        """Return what gives every response of the split once."""
        return cls(folder, split)

    def train_dataloader(self) -> TextLoader:
        """Return shuffled batches of the training split."""
        return self._loader("train", self.batch_texts, self.seed)

    def val_dataloader(self) -> TextLoader:
        """Return batches of the validation split."""
        return self._loader("valid", PREDICTION_BATCH, None)

    def predict_dataloader(self) -> TextLoader:
        """Return the batches of the split to predict."""
        return self._loader(self.split, PREDICTION_BATCH, None)

    def _loader(self, split: str, texts: int, seed: int | None) -> TextLoader:
        fitter = self.trainer
        rank, world_size = (fitter.global_rank, fitter.world_size) if fitter is not None else (0, 1)
        return TextLoader(TextArrays.open(self.folder, split), texts, seed=seed, rank=rank, world_size=world_size)
