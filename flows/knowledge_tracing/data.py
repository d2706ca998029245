"""Loaders over the encoded windows of knowledge tracing; with `group` where answers may be mapped by group."""

from pathlib import Path
from typing import Self

import trainer as tr
from components.mitigation.groups import ARRAY as WINDOW_GROUP
from components.mitigation.groups import INPUT as GROUP
from components.mitigation.reweighing import ARRAY as GROUP_WEIGHT
from components.sequences.loader import WindowLoader
from components.sequences.windows import Windows
from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig

ARRAYS = ("items", "skills", "responses")
PREDICTION_BATCH_STEPS = 20_000


class KnowledgeTracingData(tr.LightningDataModule):
    """Loaders over a SequenceDataset's folder.

    Args:
        folder: the dataset's files.
        batch_steps: largest training batch in steps.
        seed: of the order of batches.
        predict_split: the split that `predict` answers.
    """

    def __init__(self, folder: Path, *, batch_steps: int, seed: int, predict_split: str = "test") -> None:
        super().__init__()
        self.folder = folder
        self.batch_steps = batch_steps
        self.seed = seed
        self.predict_split = predict_split

    @classmethod
    def for_training(cls, folder: Path, config: KnowledgeTracingTrainConfig) -> Self:
        """Make the data of a training."""
        return cls(folder, batch_steps=config.batch_steps, seed=config.seed)

    @classmethod
    def for_prediction(cls, folder: Path, split: str) -> Self:
        """Make the data of a prediction over one split."""
        return cls(folder, batch_steps=PREDICTION_BATCH_STEPS, seed=0, predict_split=split)

    def train_dataloader(self) -> WindowLoader:
        """Shuffled batches of the training students; with `group_weight` where answers are weighed."""
        is_weighed = (self.folder / "train" / f"{GROUP_WEIGHT}.npy").is_file()
        return self._loader("train", self.batch_steps, self.seed, (*ARRAYS, GROUP_WEIGHT) if is_weighed else ARRAYS)

    def val_dataloader(self) -> WindowLoader:
        """Batches of the validation students."""
        return self._loader("valid", PREDICTION_BATCH_STEPS, None, (*ARRAYS, "scored"))

    def predict_dataloader(self) -> WindowLoader:
        """Batches of the split to predict."""
        return self._loader(self.predict_split, PREDICTION_BATCH_STEPS, None)

    def _loader(self, split: str, batch_steps: int, seed: int | None, arrays: tuple[str, ...] = ARRAYS) -> WindowLoader:
        fitter = self.trainer
        rank, world_size = (fitter.global_rank, fitter.world_size) if fitter is not None else (0, 1)
        own = {GROUP: WINDOW_GROUP} if (self.folder / split / f"{WINDOW_GROUP}.npy").is_file() else {}
        windows = Windows.open(self.folder, split, arrays, own)
        return WindowLoader(windows, batch_steps, seed=seed, rank=rank, world_size=world_size)
