"""What the API page shows: a release's own title and text, and its requests and answers as typed fields.

Only documentation: bodies are read by `serving.requests`, and answers are written by `serving.http`.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model
from starlette.responses import Response

from components.app import GradingCodec
from serving.bundle import Bundle
from serving.settings import GateOverride

TITLE = "homeroom"
NOT_LOADED = "This server has no release to answer with; GET /v1/version says why."


class Problem(BaseModel):
    """One thing that is wrong with a request."""

    path: str = Field(description="Where, e.g. `history[0].correct`; `*` stands for a key that is no field.")
    rule: str = Field(description="What was expected there.")


class Failure(BaseModel):
    """Why there is no answer."""

    error: str
    status: int
    problems: list[Problem] = []


class GateOverrideInfo(GateOverride):
    """The same, with whether it counts today."""

    counts: bool = Field(description="False once it has expired: whoever runs this server should take it down.")


class VersionInfo(BaseModel):
    """What this server answers with."""

    release: str | None = Field(description="Version of the release; every answer carries it.")
    application: str | None
    codec_sha256: str | None
    signature: str | None = Field(description="`verified`, `unchecked` (no key was given) or `absent`.")
    key_id: str | None
    ready: bool
    reason: str = Field(description="Why the server is not ready; empty when it is.")
    gate_override: GateOverrideInfo | None = Field(
        default=None, description="By whose word a release serves that the gate stops; null where it stops nothing."
    )


class ScaleInfo(BaseModel):
    """A scale: from `low` to `high` in steps of `step`, both ends included."""

    low: float
    high: float
    step: float = 1.0


class PromptInfo(ScaleInfo):
    """A prompt (a task) that the release grades, and its rubric's scale."""

    prompt: str = Field(description="Its id, which a request names.")
    traits: dict[str, ScaleInfo] = {}


class GradingInfo(BaseModel):
    """What the teacher's page needs to know."""

    release: str
    application: str
    prompts: list[PromptInfo]
    overrides: bool = Field(description="Whether POST /v1/overrides stores corrections here.")
    ids: bool = Field(description="Whether they may name students and responses, of which pseudonyms are stored.")
    most_in_list: int = Field(description="Most requests in one list to /v1/predict/batch.")
    body_bytes: int = Field(description="Largest body of a request.")


class Stored(BaseModel):
    """An override is on the disk."""

    release: str
    id: str
    is_new: bool = Field(description="False where it was stored before, under the same id.")


class MarkdownResponse(Response):
    """Names the media type on the OpenAPI page."""

    media_type = "text/markdown"


def describe(app: FastAPI, bundle: Bundle | None) -> None:
    """Give `app` the title, version and description of a release, or say that there is none."""
    app.openapi_schema = None  # it may hold the former ones
    if bundle is None:
        app.title, app.version, app.description = TITLE, "no release", NOT_LOADED
        return
    asked, answered = (_sentence(kind) for kind in (bundle.requests.kind, bundle.answers.kind))
    app.title = f"{TITLE}: {bundle.manifest.application}"
    app.version = bundle.version
    app.description = (
        f"Release `{bundle.version}` of the application `{bundle.manifest.application}`.\n\n"
        f"`POST /v1/predict` takes one request ({asked}) and returns its answer ({answered}) with the version of the "
        "release that gave it; `POST /v1/predict/batch` takes a list of them. `GET /v1/card` returns the model card: "
        "what the model is for, what it is not for, and how good and how fair it was found to be.\n\n"
        "Nothing of a request is logged, nor kept"
        + (
            ": only `POST /v1/overrides` stores what it is sent, for the next training. `/` is the page for teachers."
            if isinstance(bundle.codec, GradingCodec)
            else "."
        )
    )


def documented(name: str, body: Any, doc: str) -> Callable[..., None]:  # Any: a type that is known only now
    """Return an endpoint that is never called: it tells FastAPI the name, the text and the type of the body."""
    if body is None:

        def endpoint() -> None:
            raise AssertionError("answered by the route's own handler")
    else:

        def endpoint(request: Any) -> None:  # type: ignore[misc]  # one of the two
            raise AssertionError("answered by the route's own handler")

        endpoint.__annotations__["request"] = body
    endpoint.__name__ = name
    endpoint.__doc__ = doc
    return endpoint


def types_of(bundle: Bundle | None) -> tuple[Any, Any, Any, Any]:  # Any: types made here
    """Return the types of one request, a list of them, one answer, and a list of answers."""
    if bundle is None:
        return None, None, None, None
    answer: Any = bundle.answers.kind  # Any: known only now
    answered = create_model(
        "Answered", __doc__="An answer and the release that gave it.", release=(str, ...), answer=(answer, ...)
    )
    result = create_model(
        "Result", __doc__="An answer or an error.", answer=(answer | None, None), error=(Failure | None, None)
    )
    results = create_model(
        "Results",
        __doc__="One result for each request, in order.",
        release=(str, ...),
        results=(list[result], ...),
    )
    return bundle.requests.kind, list[bundle.requests.kind], answered, results  # type: ignore[name-defined]  # likewise


def _sentence(kind: type[Any]) -> str:  # Any: the codec's Request or Answer
    """Return the first sentence of a codec's dataclass, whose fields the page shows further down."""
    text = " ".join((kind.__doc__ or "").split()).partition(". ")[0].rstrip(".")
    named = kind.__name__
    made_by_python = text.startswith(f"{named}(")
    return f"`{named}`" if made_by_python or not text else f"`{named}`: {text[:1].lower()}{text[1:]}"
