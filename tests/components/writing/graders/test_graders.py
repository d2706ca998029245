"""Which grader a configuration or a checkpoint means."""

from pathlib import Path

import pytest
import torch

from components.app import load_application
from components.config import as_plain, make_config
from components.errors import ConfigError, NotEnoughDataError, SchemaError
from components.writing.data import WritingData
from components.writing.graders.config import GraderTrainConfig
from components.writing.graders.grader import KINDS, Grader
from components.writing.kernel.estimator import KernelEstimator
from components.writing.kernel.grader import KernelGrader
from components.writing.neural.grader import NeuralGrader
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset
from tests.components.writing import made_up


def config(**model: object) -> GraderTrainConfig:
    return make_config(GraderTrainConfig, {"model": model})


def saved(module: torch.nn.Module, hparams: dict[str, object], path: Path) -> Path:
    kept = {"state_dict": module.state_dict(), "hyper_parameters": hparams, "pytorch-lightning_version": "2.6.0"}
    torch.save(kept, path)
    return path


def test_every_kind_has_a_configuration_of_its_name() -> None:
    application = load_application("essay_grading")
    for kind in KINDS:
        assert application.configuration(kind).train.model.kind == kind


def test_the_kernel_grader_is_what_one_gets_unasked(words_folder: Path) -> None:
    assert isinstance(Grader.for_training(words_folder, config()), KernelEstimator)
    assert "kind" in as_plain(config())["model"]  # type: ignore[operator]  # plain JSON


def test_a_checkpoint_says_which_grader_it_is_of(words_folder: Path, tmp_path: Path) -> None:
    grader = Grader.for_training(words_folder, config(kind="neural", width=4, filters=4))
    assert isinstance(grader, NeuralGrader)
    again = Grader.load_from_checkpoint(saved(grader, dict(grader.hparams), tmp_path / "neural.ckpt"))
    assert isinstance(again, NeuralGrader)
    assert torch.equal(again.heads.linear_PMF, grader.heads.linear_PMF.double())
    kernel = KernelGrader(prompts=2, grams=5, support=3)
    again = Grader.load_from_checkpoint(saved(kernel, dict(kernel.hparams), tmp_path / "kernel.ckpt"))
    assert isinstance(again, KernelGrader)


def test_a_checkpoint_of_a_later_kind_is_refused(tmp_path: Path) -> None:
    path = saved(torch.nn.Linear(1, 1), {"kind": "oracle"}, tmp_path / "later.ckpt")
    with pytest.raises(SchemaError, match="of a 'oracle' grader; expected one of kernel, neural"):
        Grader.load_from_checkpoint(path)


def test_an_unknown_kind_and_another_kinds_field_are_refused() -> None:
    with pytest.raises(ConfigError, match="'kernel' or 'neural'"):
        config(kind="oracle")
    with pytest.raises(ConfigError, match="gamma: unknown key"):
        config(kind="neural", gamma=0.5)


def test_a_dataset_without_words_is_refused(tmp_path: Path) -> None:
    made_up.write(tmp_path / "source", made_up.table(60))
    (tmp_path / "dataset").mkdir()
    write_dataset(tmp_path / "source", tmp_path / "dataset", WritingPreprocessConfig(inputs="grams"))
    with pytest.raises(NotEnoughDataError, match="'tokens' or 'both'"):
        WritingData.for_training(tmp_path / "dataset", config(kind="neural"))
