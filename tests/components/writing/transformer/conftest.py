"""Tiny encoders with random weights and their tokenizers, as Hugging Face folders."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from components.writing.preprocess.config import WritingPreprocessConfig
from tests.components.writing import made_up
from trainer.seed import isolated_rng


def write_encoder(folder: Path, kind: str = "bert") -> Path:
    """Write an encoder of two layers that has 128 positions, and its tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    texts = made_up.table(60)["text"].to_list()
    if kind == "bert":
        made = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
        made.normalizer = tokenizers.normalizers.BertNormalizer()
        made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        trainer: Any = tokenizers.trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
        made.train_from_iterator(texts, trainer)
        made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    else:
        made = tokenizers.Tokenizer(tokenizers.models.BPE())
        made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<s>", "<pad>", "</s>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(texts, trainer)
        made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    sizes = {
        "vocab_size": made.get_vocab_size(),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    with isolated_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own making
        torch.manual_seed(3)
        if kind == "bert":
            model = transformers.BertModel(transformers.BertConfig(max_position_embeddings=128, **sizes))
        else:
            settings = transformers.RobertaConfig(max_position_embeddings=130, pad_token_id=1, **sizes)
            model = transformers.RobertaModel(settings)
        model.save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a BERT."""
    return write_encoder(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def subwords_folder(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset's folder with the subwords of that BERT."""
    config = WritingPreprocessConfig(inputs="subwords", tokenizer=str(bert), max_tokens=100)
    return made_up.dataset(tmp_path_factory.mktemp("subwords"), made_up.table(60, seed=5), config)
