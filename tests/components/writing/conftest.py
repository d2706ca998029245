"""Made-up scored writing as preprocessing leaves it, once for all graders that are trained."""

from pathlib import Path

import pytest

from components.writing.preprocess.config import WritingPreprocessConfig
from tests.components.writing import made_up


@pytest.fixture(scope="session")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset's folder with numbers of words: two prompts, of which one has a trait."""
    config = WritingPreprocessConfig(inputs="tokens", max_tokens=100)
    return made_up.dataset(tmp_path_factory.mktemp("words"), made_up.table(120, seed=5), config)
