"""A release in memory: a verified bundle folder -> its own codec, typed readers, model session and golden answers."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from components.app import Codec, answer_requests
from components.bundle import BundleManifest, read_bundle_manifest
from components.signing import Key
from serving.codecs import CODEC, codec_digest, codec_module, has_codec
from serving.errors import BadRequestError, BundleError
from serving.requests import Reader, readers
from serving.session import Session

log = logging.getLogger("homeroom.serving")
MODEL = "model.onnx"
MODEL_INT8 = "model.int8.onnx"
GOLDEN = "golden.json"
GOLDEN_INT8 = "golden.int8.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenCase:
    """A synthetic request and the answer that the release gave when it was made."""

    request: Any  # the codec's Request
    answer: Any  # plain JSON of the codec's Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything of one release that is needed to answer. Two of them, with different codecs, live side by side."""

    manifest: BundleManifest
    codec: Codec
    codec_digest: str
    requests: Reader[Any]
    answers: Reader[Any]
    session: Session
    golden: tuple[GoldenCase, ...]
    card: str
    """The model card, in Markdown."""

    @property
    def version(self) -> str:
        """The release's version, which every answer carries."""
        return self.manifest.version

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Return the answers to requests in one batch, as offline evaluation would."""
        return answer_requests(self.codec, self.session.run, requests)


def load_bundle(folder: Path, key: Key | None = None, *, threads: int = 1, int8: bool = False) -> Bundle:
    """Verify a bundle folder and load it; no code of the bundle runs before every byte was verified.

    Args:
        folder: holds `bundle.json`.
        key: when given, the bundle must be signed with it, or with one of them.
        threads: of ONNX Runtime.
        int8: take `model.int8.onnx` and its own golden answers, `golden.int8.json`.

    Raises:
        StoreError: the bundle is not what was written (see `read_bundle_manifest`).
        SchemaError: its manifest is no manifest.
        BundleError: it is intact but cannot be served.
    """
    manifest = read_bundle_manifest(folder, key)
    model, golden = (MODEL_INT8, GOLDEN_INT8) if int8 else (MODEL, GOLDEN)
    needed = (CODEC, "codec.json", golden, "card.md", model)
    missing = [name for name in needed if not (manifest.has(name) or (name == CODEC and has_codec(manifest)))]
    if missing:
        raise BundleError(
            f"Bundle {manifest.version} has no {', '.join(missing)}; expected {', '.join(needed)}. "
            "Make the release again"
            + (" with export.int8=true, or serve the float model (without HOMEROOM_SERVE_INT8)." if int8 else ".")
        )
    module = codec_module(manifest)
    requests, answers = readers(module)
    return Bundle(
        manifest=manifest,
        codec=_codec(manifest, module),
        codec_digest=codec_digest(manifest),
        requests=requests,
        answers=answers,
        session=Session(manifest.read(model), manifest.outputs, threads=threads),
        golden=_golden(manifest, golden, requests),
        card=manifest.read("card.md").decode(),
    )


def _codec(manifest: BundleManifest, module: ModuleType) -> Codec:
    kind = getattr(module, "Codec", None)
    if kind is None:
        raise BundleError(f"The codec of bundle {manifest.version} has no class Codec. Make the release again.")
    try:
        codec = kind.from_json(json.loads(manifest.read("codec.json")))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"codec.json of bundle {manifest.version} is not what its codec reads ({type(error).__name__}). "
            "Make the release again."
        ) from error
    if not isinstance(codec, Codec):
        raise BundleError(
            f"Codec of bundle {manifest.version} lacks a method that serving calls; see components/app.py."
        )
    return codec


def _golden(manifest: BundleManifest, name: str, requests: Reader[Any]) -> tuple[GoldenCase, ...]:
    try:
        value = json.loads(manifest.read(name))
        pairs = list(zip(value["requests"], value["answers"], strict=True))
        cases = tuple(GoldenCase(request=requests.read_plain(r), answer=a) for r, a in pairs)
    except (BadRequestError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{name} of bundle {manifest.version} cannot be read ({type(error).__name__}); expected as many "
            "answers as requests, each as its codec writes it. Make the release again."
        ) from error
    if not cases:
        raise BundleError(f"{name} of bundle {manifest.version} is empty; a release needs at least one case.")
    return cases
