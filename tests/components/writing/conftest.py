"""Made-up scored writing as preprocessing leaves it, once for all graders that are trained."""

from pathlib import Path

import pytest

from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset
from tests.components.writing import made_up


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset's folder with numbers of words: two prompts, of which one has a trait."""
    root = tmp_path_factory.mktemp("words")
    made_up.write(root / "source", made_up.table(120, seed=5))
    (root / "dataset").mkdir()
    write_dataset(root / "source", root / "dataset", WritingPreprocessConfig(inputs="tokens", max_tokens=100))
    return root / "dataset"
