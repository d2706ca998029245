"""Fine-tuning an encoder from a local folder: against Hugging Face's own, trained, as ONNX, and through the codec."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from components.app import answer_requests, load_application
from components.config import as_plain
from components.errors import ConfigError
from components.export.graph import check_axes, load_network, write_onnx
from components.export.parity import compare, real_batches, require
from components.inference import open_session
from components.train.fit import fit
from components.train.job import Job, Result
from components.writing.codec import Codec, Request
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset
from components.writing.transformer import encoder as encoders
from components.writing.transformer.config import TransformerConfig
from components.writing.transformer.grader import TransformerGrader
from tests.components.writing import made_up
from tests.components.writing.transformer.conftest import write_encoder
from trainer.seed import isolated_rng

transformers = pytest.importorskip("transformers")
APP = load_application("essay_grading")


def tensors(arrays: TextArrays, rows: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.batch(rows).items()}


def config(folder: Path, **changed: Any) -> TransformerConfig:
    return TransformerConfig(kind="transformer", folder=str(folder), hidden=16, **changed)


@pytest.fixture(scope="module")
def trained(subwords_folder: Path, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training as the stage starts it: in bfloat16, with every saving of memory."""
    folder = tmp_path_factory.mktemp("transformer")
    chosen = APP.configuration(
        "transformer",
        (
            f"train.model.folder={bert}",
            "train.max_epochs=2",
            "train.precision=bf16-mixed",
            "train.model.recompute=true",
            "train.model.learning_rate=1e-3",
        ),
    )
    threads = torch.get_num_threads()
    with isolated_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")  # what `seed_everything` sets is undone with it
        patch.setenv("PL_SEED_WORKERS", "0")
        fit(Job(package=APP.package, dataset=str(subwords_folder), folder=str(folder), config=as_plain(chosen.train)))
    torch.set_num_threads(threads)
    return folder


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@torch.no_grad()
def test_a_text_gets_the_vector_that_hugging_face_gives(kind: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "encoder", kind)
    made_up.write(tmp_path / "source", made_up.table(30, seed=5))
    (tmp_path / "dataset").mkdir()
    wanted = WritingPreprocessConfig(
        inputs="subwords", tokenizer=str(folder), max_tokens=128, min_train_responses=5, min_valid_responses=1
    )
    write_dataset(tmp_path / "source", tmp_path / "dataset", wanted)
    grader = TransformerGrader.for_training(tmp_path / "dataset", config(folder)).eval()
    theirs = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    codec = Codec.from_json(json.loads((tmp_path / "dataset" / "codec.json").read_text()))
    # nothing in them occurs twice, as that would count once
    texts = [
        "Plants.",
        "The leaves make sugar of air; caf\u00e9 4 u!",
        " ".join(f"light{n} {n * n}" for n in range(90)),
    ]
    batch = codec.batch([codec.row(codec.read(text, 1), 1) for text in texts])
    found = grader.encode(torch.from_numpy(batch["tokens"]))
    for n, text in enumerate(texts):
        read = tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
        expected = theirs(input_ids=read["input_ids"], attention_mask=read["attention_mask"]).last_hidden_state
        assert torch.allclose(found[n], expected[0].mean(0), atol=1e-5)


def test_it_trains_with_every_saving_of_memory(subwords_folder: Path, trained: Path) -> None:
    with (trained / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 2
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    assert float(rows[-1]["valid_qwk"]) > 0.5
    batches = -(-len(TextArrays.open(subwords_folder, "train").score_R) // 8)
    result = Result.read(trained)
    assert result is not None
    assert result.optimizer_steps == 2 * -(-batches // 2)  # two epochs, two batches to a step


def test_onnx_equals_torch_and_the_codec_answers(subwords_folder: Path, trained: Path, tmp_path: Path) -> None:
    network = load_network(APP, trained)
    write_onnx(network, tmp_path / "model.onnx", opset=20, metadata={})
    check_axes(tmp_path / "model.onnx", network)
    checks = compare(network, tmp_path / "model.onnx", real_batches(APP, network, subwords_folder, 2), longest=128)
    require(checks, 1e-4, "the model", "")
    assert {check.inputs for check in checks} == {"made up", "validation"}

    codec = Codec.from_json(json.loads((subwords_folder / "codec.json").read_text()))
    session = open_session(tmp_path / "model.onnx")

    def run(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        found = session.run(list(network.output_names), {name: inputs[name] for name in network.input_names})
        return dict(zip(network.output_names, found, strict=True))

    test = TextArrays.open(subwords_folder, "test")
    with torch.inference_mode():
        offline = network.predict_step(tensors(test, [0, 1, 2]), 0)["raw"]
    for row in range(3):
        inputs = {name: value.numpy() for name, value in tensors(test, [row]).items()}
        assert float(run(inputs)["raw"][0]) == pytest.approx(float(offline[row]), abs=1e-4)
    rows = made_up.table(60, seed=5)
    (text,) = rows.filter((rows["prompt"] == "plants") & (rows["score"] == 3))["text"].head(1)
    [answer] = answer_requests(codec, run, [Request(prompt="plants", text=text, explain=True)])
    assert answer.abstained is None
    assert answer.interval[0] < answer.raw < answer.interval[1]
    assert answer.traits["content"] in {1.0, 2.0, 3.0}


def test_each_layer_has_its_own_rate_and_rates_rise_and_fall(subwords_folder: Path, bert: Path) -> None:
    grader = TransformerGrader.for_training(
        subwords_folder, config(bert, learning_rate=1e-3, layer_decay=0.5, head_learning_rate=2e-2, warmup_share=0.2)
    )

    class Fitter:
        estimated_stepping_batches = 10

    grader.trainer = Fitter()  # type: ignore[assignment]  # all that is asked of it
    made = grader.configure_optimizers()
    rate_of = {id(p): group["initial_lr"] for group in made["optimizer"].param_groups for p in group["params"]}
    names = dict(grader.named_parameters())
    assert rate_of[id(names["encoder.embeddings.word_embeddings.weight"])] == pytest.approx(0.25e-3)
    assert rate_of[id(names["encoder.encoder.layer.0.output.dense.weight"])] == pytest.approx(0.5e-3)
    assert rate_of[id(names["encoder.encoder.layer.1.output.dense.weight"])] == pytest.approx(1e-3)
    assert rate_of[id(names["heads.of_text.weight"])] == pytest.approx(2e-2)
    assert len(rate_of) == len(names)
    (share,) = set(made["lr_scheduler"]["scheduler"].lr_lambdas)  # one for all groups
    assert [share(step) for step in range(11)] == pytest.approx(
        [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 0.5, 3 / 8, 2 / 8, 1 / 8, 0]
    )


def test_what_is_missing_is_named(subwords_folder: Path, words_folder: Path, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train.model.folder is not given.*--set train.model.folder=FOLDER"):
        TransformerGrader.for_training(subwords_folder, TransformerConfig(kind="transformer"))
    with pytest.raises(ConfigError, match=r"lacks config\.json, model\.safetensors, tokenizer\.json"):
        TransformerGrader.for_training(subwords_folder, config(tmp_path))
    with pytest.raises(ConfigError, match=r"Set preprocess\.inputs='subwords'"):
        TransformerGrader.for_training(words_folder, config(bert))
    part = shutil.copytree(bert, tmp_path / "part")
    from safetensors.torch import load_file, save_file

    weights = load_file(part / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 1 of the encoder's weights, e\.g\. encoder\.layer\.0"):
        TransformerGrader.for_training(subwords_folder, config(part))
    settings = json.loads((part / "config.json").read_text())
    (part / "config.json").write_text(json.dumps(settings | {"is_decoder": True}))
    with pytest.raises(ConfigError, match="has a decoder; expected an encoder"):
        TransformerGrader.for_training(subwords_folder, config(part))


def test_a_tokenizer_is_asked_for_and_read(tmp_path: Path) -> None:
    made_up.write(tmp_path / "source", made_up.table(30))
    for folder, told in (("", "preprocess.tokenizer is not given"), (str(tmp_path), "holds no tokenizer.json")):
        target = tmp_path / f"dataset{len(folder)}"
        target.mkdir()
        wanted = WritingPreprocessConfig(
            inputs="subwords", tokenizer=folder, min_train_responses=5, min_valid_responses=1
        )
        with pytest.raises(ConfigError, match=told):
            write_dataset(tmp_path / "source", target, wanted)


def test_without_the_libraries_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'homeroom\[llm\]'"):
        encoders.import_transformers()
