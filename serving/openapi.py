"""The OpenAPI document of a release: its own title and text, its requests and answers as typed fields, every status.

Only documentation: bodies are read by `serving.requests`, and answers are written by `serving.http`.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, Field, create_model
from starlette.responses import PlainTextResponse, Response

from components.app import GradingCodec
from serving.bundle import Bundle
from serving.canary import HEADER, LONGEST
from serving.overrides import Correction
from serving.settings import GateOverride

MOST_IN_LIST = 100
"""Most requests in one list."""
RELEASE_HEADER = "x-homeroom-release"
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


class WorkerInfo(BaseModel):
    """One worker process of this server, as it last said itself."""

    pid: int
    entry: int | None = Field(description="Entry of the pointer log that it answers by; null for a fixed release.")
    release: str | None
    challenger: str | None
    percent: int
    shadow: str | None
    ready: bool
    reason: str
    behind: str
    age_s: float = Field(description="Seconds since it said so.")


class VersionInfo(BaseModel):
    """What this worker answers with, and what all workers of the server do."""

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
    entry: int | None = Field(default=None, description="Entry of the pointer log; null for a fixed release.")
    behind: str = Field(
        default="", description="Why it does not answer by the last entry of the log although it answers."
    )
    challenger: str | None = Field(default=None, description="Release that answers a share of the students.")
    percent: int = Field(default=0, description="That share.")
    shadow: str | None = Field(default=None, description="Release that answers copies which nobody sees.")
    workers: list[WorkerInfo] = Field(default=[], description="All workers of this server.")


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


class ReadyInfo(BaseModel):
    """Whether this worker answers, and with what."""

    ready: bool
    release: str | None
    reason: str = Field(description="Why it does not answer; empty when it does.")
    behind: str = Field(description="Why it does not answer by the last entry of the pointer log although it answers.")


class MarkdownResponse(Response):
    """Names the media type on the OpenAPI page."""

    media_type = "text/markdown"


FAILURES = {
    400: "The body is no request.",
    401: "No known key was sent; only where the server asks for one.",
    403: "The key does not allow this.",
    404: "This release has nothing here.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is compressed, or of another type.",
    429: "Too many requests from this client.",
    500: "The release failed.",
    503: "Too many requests are waiting, or there is no release to answer with.",
    504: "The answer was not there in time.",
}
READING = (401, 403, 429, 500, 503)
ASKING = (400, 408, 413, 415, 504, *READING)
STUDENT: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": LONGEST},
    "description": "Pseudonym of the student. While a new release is tried out on a share of the students, it decides "
    "which release answers, and the same one each time. It is hashed at once and never logged or kept. Without it the "
    "current release answers.",
}


def document(bundle: Bundle | None, prefix: str = "", *, whole: bool = False) -> dict[str, Any]:  # Any: plain JSON
    """Return the OpenAPI document of what answers now.

    Args:
        bundle: the release; None where there is none.
        prefix: of the paths.
        whole: with what the server has besides: health, metrics.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    describe(app, bundle)
    one, many, answered, all_answered = types_of(bundle)

    def add(path: str, method: str, body: Any, name: str, doc: str, model: Any, **options: Any) -> None:
        failures: tuple[int, ...] = options.pop("failures")
        status: int = options.pop("status", 200)
        responses: dict[int | str, dict[str, Any]] = {
            status: {"headers": _headers(status)},
            **options.pop("responses", {}),
            **_failures(failures),
        }
        app.add_api_route(
            prefix + path,
            documented(name, body, doc),
            methods=[method],
            response_model=model,
            status_code=status,
            responses=responses,
            **options,
        )

    ask = {"failures": ASKING, "openapi_extra": {"parameters": [STUDENT]}}
    add("/predict", "POST", one, "predict", "Answer one request.", answered, **ask)
    text = f"Answer up to {MOST_IN_LIST} requests; each has its own answer or error."
    add("/predict/batch", "POST", many, "predict_batch", text, all_answered, **ask)
    text = "Say which release answers, whether it is ready, and what all workers of the server do."
    add("/version", "GET", None, "version", text, VersionInfo, failures=READING[:-1])
    options: dict[str, Any] = {"failures": READING, "response_class": MarkdownResponse}
    add("/card", "GET", None, "card", "Return the model card, in Markdown.", None, **options)
    if bundle is not None and isinstance(bundle.codec, GradingCodec):
        text = "List the prompts with their rubrics, and say whether overrides are taken."
        add("/grading", "GET", None, "grading", text, GradingInfo, failures=READING)
        text = "Store a teacher's score; it is on the disk before the answer."
        again = {200: {"model": Stored, "description": "It was stored before.", "headers": _headers(200)}}
        taken = tuple(code for code in ASKING if code != 504)
        add("/overrides", "POST", Correction, "overrides", text, Stored, status=201, responses=again, failures=taken)
    if whole:
        _add_health(app)
    found = app.openapi()
    _drop_unused(found)
    return found


def _add_health(app: FastAPI) -> None:
    text = "Say that the process runs."
    app.add_api_route("/livez", documented("livez", None, text), methods=["GET"], response_class=PlainTextResponse)
    app.add_api_route(
        "/readyz",
        documented("readyz", None, "Say whether there is a release to answer with."),
        methods=["GET"],
        response_model=ReadyInfo,
        responses={503: {"model": ReadyInfo, "description": "There is none."}},
    )
    text = "Return Prometheus metrics of all workers."
    app.add_api_route("/metrics", documented("metrics", None, text), methods=["GET"], response_class=PlainTextResponse)


def _headers(status: int) -> dict[str, Any]:  # Any: plain JSON
    found: dict[str, Any] = {
        RELEASE_HEADER: {"schema": {"type": "string"}, "description": "The release that answers; none where none does."}
    }
    if status in {429, 503}:
        found["retry-after"] = {"schema": {"type": "integer"}, "description": "Seconds after which to ask again."}
    return found


def _failures(statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:  # Any: FastAPI's own form
    return {
        status: {"model": Failure, "description": FAILURES[status], "headers": _headers(status)}
        for status in sorted(statuses)
    }


def _drop_unused(spec: dict[str, Any]) -> None:  # Any: plain JSON
    """Take out FastAPI's own 422, which we never answer with."""
    for ways in spec["paths"].values():
        for way in ways.values():
            way["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        spec.get("components", {}).get("schemas", {}).pop(name, None)


def describe(app: FastAPI, bundle: Bundle | None) -> None:
    """Give `app` the title, version and description of a release, or say that there is none."""
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
