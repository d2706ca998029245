"""One kernel grader over all prompts: against scikit-learn, on a question without answers, as ONNX and as served."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge

from components.errors import NotEnoughDataError
from components.export.graph import write_onnx
from components.inference import open_session
from components.simulate.topics import TOPICS
from components.simulate.writing import simulate_responses
from components.simulate.writing_config import SimulateWritingConfig
from components.writing.codec import Codec, Request
from components.writing.kernel.choices import weighted_kappa
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.fit import fit_kernel
from components.writing.kernel.grader import KernelGrader
from components.writing.kernel.likeness import gaussian, grams_of, product
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset
from components.writing.schema import PROMPTS, RESPONSES

Floats = npt.NDArray[np.float64]

STUDENTS = 80
LANDMARKS = 10_000  # more than there are texts: the Gaussian is then exact
CONFIG = KernelConfig(ridges=(0.4,), stretches=(1.0,), decision="label", landmarks=LANDMARKS)
NEW = TOPICS[4].name
"""A question that only test students answer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pooled")
    simulation = simulate_responses(
        SimulateWritingConfig(students=STUDENTS, prompts=5, kind="short_answers", seed=4, groups=())
    )
    count = len(simulation.texts)
    names = [simulation.prompts[p].name for p in simulation.prompt_N.tolist()]
    sides = [
        "test" if name == NEW or student % 5 == 0 else ("valid" if student % 5 == 1 else "train")
        for name, student in zip(names, simulation.student_N.tolist(), strict=True)
    ]
    source = root / "source"
    source.mkdir()
    pl.DataFrame(
        {
            "response": [f"r{n:04}" for n in range(count)],
            "student": [f"s{n}" for n in simulation.student_N],
            "prompt": names,
            "text": simulation.texts,
            "score": simulation.score_N.astype(float),
            "declared_split": sides,
        }
    ).sort("prompt", "response").write_parquet(source / RESPONSES)
    entries = [
        {
            "prompt": its.name, "low": its.low, "high": its.high, "step": 1, "text": its.topic.question,
            "reference_answers": its.references, "traits": {},
        }
        for its in simulation.prompts
    ]  # fmt: skip
    (source / PROMPTS).write_text(json.dumps(entries), encoding="utf-8")
    (root / "dataset").mkdir()
    config = WritingPreprocessConfig(pool_prompts=True, split_by="response", common_words=20)
    write_dataset(source, root / "dataset", config)
    return root / "dataset"


@pytest.fixture(scope="module")
def codec(folder: Path) -> Codec:
    return Codec.from_json(json.loads((folder / "codec.json").read_text()))


@pytest.fixture(scope="module")
def grader(folder: Path) -> KernelGrader:
    return fit_kernel(folder, CONFIG)


def predicted(grader: KernelGrader, arrays: TextArrays) -> dict[str, npt.NDArray[Any]]:  # Any: each has its own dtype
    batch = {name: torch.from_numpy(np.array(a)) for name, a in arrays.batch(range(len(arrays.score_R))).items()}
    with torch.inference_mode():
        found = grader(*(batch[name] for name in grader.input_names))
    return {name: value.numpy() for name, value in zip(grader.output_names, found, strict=True)}


def test_raw_scores_and_labels_are_those_of_kernel_ridge_regression(
    folder: Path, codec: Codec, grader: KernelGrader
) -> None:
    train, test = TextArrays.open(folder, "train"), TextArrays.open(folder, "test")
    every, asked = np.arange(len(train.score_R)), np.arange(len(test.score_R))
    features, other = (codec.prompts[0].standardised(p.features_RF).astype(float) for p in (train, test))
    gamma = CONFIG.gamma / int((features.std(axis=0) > 0).sum())

    def likeness(part: TextArrays, rows: npt.NDArray[np.int64], its: Floats) -> Floats:
        found = CONFIG.feature_weight * gaussian(its, features, gamma)
        pool = grams_of(codec.pool_range, train, every, CONFIG)
        found += 0.5 * product(grams_of(codec.pool_range, part, rows, CONFIG), pool)
        for index in range(len(codec.prompts)):
            own = grams_of(codec.gram_range(index), train, every, CONFIG)
            theirs = grams_of(codec.gram_range(index), part, rows, CONFIG)
            found += 0.5 * (theirs @ own.T).toarray()  # the n-grams of another prompt are not among a text's
        return found

    inside, beyond = likeness(train, every, features), likeness(test, asked, other)
    columns = np.column_stack([train.score_R, *(train.score_R == label for label in range(3))]).astype(float)
    means = columns.mean(axis=0)
    model = KernelRidge(alpha=0.4, kernel="precomputed").fit(inside, columns - means)
    expected = model.predict(beyond) + means
    found = predicted(grader, test)
    assert np.abs(found["raw"] - expected[:, 0]).max() < 1e-5
    bias = grader.bias_PC[0].numpy()
    assert np.array_equal(found["label"], (expected[:, 1:] + bias).argmax(axis=1))


def test_a_question_without_answers_is_graded_by_its_reference_answer(
    folder: Path, codec: Codec, grader: KernelGrader
) -> None:
    test = TextArrays.open(folder, "test")
    new = test.prompt_R == codec.index_of(NEW)
    assert new.sum() == STUDENTS
    first, _, end = codec.gram_range(codec.index_of(NEW))
    assert first == end  # no n-grams of its own
    found = predicted(grader, test)
    assert weighted_kappa(test.score_R[new].astype(float), found["label"][new]) > 0.35
    assert weighted_kappa(test.score_R[~new].astype(float), found["label"][~new]) > 0.4
    table = pl.read_parquet(folder / RESPONSES).filter(pl.col("prompt") == NEW)
    assert table["abstained"].null_count() > 0.9 * table.height


@pytest.mark.slow
def test_the_exported_graph_gives_labels_and_the_service_gives_them_as_scores(
    folder: Path, codec: Codec, grader: KernelGrader, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    write_onnx(grader, path, opset=20, metadata={})
    session = open_session(path)
    references = " and ".join(" ".join(its.adjectives[:2]) for its in TOPICS[:2])
    request = Request(prompt=codec.prompts[0].name, text=f"The {references} is so.", explain=True)
    rows = codec.encode(request)
    inputs = codec.batch(rows)
    with torch.inference_mode():
        torch_found = grader(*(torch.from_numpy(inputs[name]) for name in grader.input_names))
    given = session.run(list(grader.output_names), {name: inputs[name] for name in grader.input_names})
    found = dict(zip(grader.output_names, given, strict=True))
    for name, value in zip(grader.output_names, torch_found, strict=True):
        assert np.abs(found[name] - value.numpy()).max() < 1e-9
    forced = [{name: array[i] for name, array in found.items()} for i in range(len(rows))]
    forced[0]["raw"], forced[0]["label"] = np.array(0.9), np.array(2.0)
    graded = replace(rows[0], abstained=None)  # the text is of no matter here
    answer = codec.decode(Request(prompt=request.prompt, text=request.text), [graded], forced[:1])
    assert answer.score == 2.0
    assert answer.raw == pytest.approx(0.9)


def test_prompts_with_different_rubrics_are_refused(folder: Path, tmp_path: Path) -> None:
    value = json.loads((folder / "codec.json").read_text())
    value["prompts"][0]["high"] = 3
    for part in folder.iterdir():
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / "codec.json").unlink()
    (tmp_path / "codec.json").write_text(json.dumps(value))
    with pytest.raises(NotEnoughDataError, match=r"2 different rubrics; .*pool_prompts = false"):
        fit_kernel(tmp_path, CONFIG)


def test_all_prompts_together_need_few_answers_and_apart_too_many(folder: Path, tmp_path: Path) -> None:
    source = folder.parent / "source"
    with pytest.raises(NotEnoughDataError, match=f"prompt '{NEW}' has 0 of its {STUDENTS} responses in train"):
        write_dataset(source, tmp_path, WritingPreprocessConfig(split_by="response"))
