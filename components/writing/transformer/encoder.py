"""Hugging Face encoders from a local folder: reading them, their layers, and learning rates layer by layer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components.errors import ConfigError

FILES = ("config.json", "model.safetensors", "tokenizer.json")
UNUSED = ("pooler.",)
"""Of an encoder's weights, those that no text's vector comes from."""
POSITION_OFFSET = frozenset({"roberta", "xlm-roberta", "camembert", "longformer", "mpnet"})
"""Kinds whose positions begin behind that of padding."""


def import_transformers() -> Any:  # Any: its types are of no use here
    """Return the module `transformers`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import transformers  # late: heavy, and in an extra
    except ImportError as error:
        raise ConfigError(
            "train.model.kind='transformer' needs the libraries transformers, tokenizers and safetensors. Install "
            "them: pip install 'homeroom[llm]'."
        ) from error
    return transformers


def read_encoder(folder: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the configuration and the weights of the encoder in a folder; nothing is downloaded, no code of it is run.

    Raises:
        ConfigError: a file is missing, it is no encoder, or weights are missing in it.
    """
    if not folder:
        raise ConfigError(
            "train.model.folder is not given; expected the folder of a Hugging Face encoder with "
            f"{', '.join(FILES)}. Name it: --set train.model.folder=FOLDER --set preprocess.tokenizer=FOLDER."
        )
    missing = [name for name in FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise ConfigError(
            f"train.model.folder = {folder!r} lacks {', '.join(missing)}; expected {', '.join(FILES)}. "
            "`save_pretrained(FOLDER)` of a model and of its tokenizer writes them."
        )
    transformers = import_transformers()
    with _quiet(transformers):
        try:
            settings = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            _check(settings)
            model, report = transformers.AutoModel.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except ConfigError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConfigError(
                f"train.model.folder = {folder!r} cannot be read as an encoder ({error}); expected one that the "
                f"installed transformers {transformers.__version__} knows."
            ) from error
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith(UNUSED))
    if lacking:
        raise ConfigError(
            f"model.safetensors in {folder!r} lacks {len(lacking)} of the encoder's weights, e.g. {lacking[0]}; "
            "expected all. Save the whole encoder again."
        )
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(UNUSED)}
    return _plain(settings.to_dict()), weights


def build_encoder(settings: Mapping[str, Any]) -> nn.Module:
    """Return an encoder of this configuration, with random weights, ready for training and export."""
    transformers = import_transformers()
    with _quiet(transformers):
        known = transformers.AutoConfig.for_model(**settings)
        # Plain attention: the graph that is exported is then the same on every version of torch.
        encoder: nn.Module = transformers.AutoModel.from_config(known, attn_implementation="eager")
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # type: ignore[assignment]  # that is how transformers leaves it out
    return encoder


def layers_of(encoder: nn.Module) -> nn.ModuleList:
    """Return the encoder's blocks, first to last: its longest list of modules."""
    lists = [part for part in encoder.modules() if isinstance(part, nn.ModuleList)]
    if not lists:
        raise ConfigError(
            f"The encoder {type(encoder).__name__} has no list of layers; expected one, as BERT and its kin have. Use "
            "another encoder."
        )
    return max(lists, key=len)


def rates(encoder: nn.Module, rate: float, decay: float) -> dict[str, float]:
    """Return the learning rate of each parameter by name.

    The last layer, and what follows it, has `rate`; each layer before `decay` times that of the next; the embeddings
    `decay` times that of the first layer.
    """
    layers = layers_of(encoder)
    depth = {id(p): n for n, layer in enumerate(layers) for p in layer.parameters()}
    found = {}
    is_behind = False
    for name, parameter in encoder.named_parameters():
        at = depth.get(id(parameter))
        is_behind |= at is not None
        if at is None:
            at = len(layers) - 1 if is_behind else -1
        found[name] = rate * decay ** (len(layers) - 1 - at)
    return found


def most_tokens(settings: Mapping[str, Any]) -> int:
    """Return how many tokens of a text the encoder has positions for."""
    positions = int(settings.get("max_position_embeddings") or settings.get("n_positions") or 1 << 20)
    if settings.get("model_type") in POSITION_OFFSET:
        positions -= int(settings.get("pad_token_id") or 0) + 1
    return positions


def _check(settings: Any) -> None:  # Any: a configuration of transformers
    if getattr(settings, "is_encoder_decoder", False) or getattr(settings, "is_decoder", False):
        raise ConfigError(
            f"The model in train.model.folder is of the kind {settings.model_type!r} and has a decoder; expected an "
            "encoder, such as BERT, RoBERTa or ELECTRA. Name the folder of one."
        )


def _plain(value: Any) -> Any:
    """Return plain JSON values: a checkpoint holds no class of others."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if not str(k).startswith("_")}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:  # Any: the module
    """Keep transformers from telling what it loads."""
    told = transformers.utils.logging
    level, has_bar = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(level)
        if has_bar:
            told.enable_progress_bar()
