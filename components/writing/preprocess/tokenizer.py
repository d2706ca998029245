"""Reads the tokenizer of a pre-trained encoder from its folder."""

import json
from pathlib import Path

from components.errors import ConfigError
from components.writing.codec.subwords import Subwords

TOKENIZER = "tokenizer.json"


def read_tokenizer(folder: str) -> Subwords:
    """Return the tokenizer in a folder.

    Raises:
        ConfigError: none is named, there is none, it is no JSON, or of a kind that is not read here.
    """
    if not folder:
        raise ConfigError(
            "preprocess.tokenizer is not given, and preprocess.inputs='subwords' needs the folder of a pre-trained "
            "encoder. Name it for both stages: --set preprocess.tokenizer=FOLDER --set train.model.folder=FOLDER."
        )
    path = Path(folder) / TOKENIZER
    if not path.is_file():
        raise ConfigError(
            f"preprocess.tokenizer = {folder!r} holds no {TOKENIZER}; expected the folder of a Hugging Face encoder "
            "with it. `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` writes it from older files."
        )
    try:
        return Subwords.of_tokenizer(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"{path} is no tokenizer that can be read ({type(error).__name__}: {error}); expected one that the library "
            "`tokenizers` wrote. Write it again with a current version."
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
