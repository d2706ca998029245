"""A small grading release that the tests of access serve."""

from pathlib import Path

import pytest

from tests.serving.bundles import score_model, score_reference, write_bundle

CODEC = Path(__file__).resolve().parents[1] / "grading_codec.py"


@pytest.fixture(scope="session")
def grading_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a grading bundle: it has every route that there is."""
    folder = tmp_path_factory.mktemp("bundles") / "grading"
    write_bundle(
        folder,
        application="grading",
        codec_file=CODEC,
        vocabulary={},
        model=score_model(),
        reference=score_reference,
    )
    return folder
