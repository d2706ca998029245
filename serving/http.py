"""The HTTP interface of one release: reading bodies, answering, and saying in the same words what went wrong.

The routes are typed from the release's own dataclasses, so that the OpenAPI page shows its fields, but bodies are read
by `serving.requests` and not by FastAPI: quicker, and no complaint ever repeats what the client sent.
"""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from components.app import GradingCodec
from serving.bundle import Bundle
from serving.errors import BadRequestError, NotReadyError, ServingError
from serving.live import Live
from serving.openapi import (
    Failure,
    GateOverrideInfo,
    GradingInfo,
    MarkdownResponse,
    PromptInfo,
    Stored,
    VersionInfo,
    describe,
    documented,
    types_of,
)
from serving.overrides import Correction, check_origin

log = logging.getLogger("homeroom.serving")
MOST_IN_LIST = 100
"""Most requests in one list."""
LENGTH_DIGITS = 15
"""Most digits of a content-length: Python refuses to read very long numbers."""
RETRY_AFTER_S = "1"
JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]


def add_routes(app: FastAPI, live: Live) -> None:
    """Add the routes of `live`'s release to `app`: /predict, /predict/batch, /version, /card.

    A release with a `GradingCodec` has /grading and /overrides besides.

    Args:
        app: is mounted at `/v1`; its title, version and description become the release's.
        live: the release, or the reason why there is none (then /predict answers 503).
    """
    bundle = live.bundle
    describe(app, bundle)
    release = {"x-homeroom-release": bundle.version} if bundle is not None else {}

    async def predict(request: Request) -> Response:
        body = await read_body(request, live.body_bytes, live.timeout_s)
        loaded = _loaded(live)
        answer = await live.answer(loaded.requests.read(body))
        text = b'{"release":"%b","answer":%b}' % (loaded.version.encode(), loaded.answers.write(answer))
        return Response(text, media_type=JSON)

    async def predict_batch(request: Request) -> Response:
        body = await read_body(request, live.body_bytes, live.timeout_s)
        loaded = _loaded(live)
        items = loaded.requests.read_many(body, MOST_IN_LIST)
        results = await asyncio.gather(*(_one(live, item) for item in items))
        failures = [r for r in results if isinstance(r, ServingError)]
        if len(failures) == len(results) and all(_status(f) >= 500 for f in failures):
            raise failures[0]
        texts = [
            b'{"error":%b}' % _failure(r) if isinstance(r, ServingError) else b'{"answer":%b}' % r for r in results
        ]
        text = b'{"release":"%b","results":[%b]}' % (loaded.version.encode(), b",".join(texts))
        return Response(text, media_type=JSON)

    async def version(request: Request) -> Response:
        return Response(version_info(live).model_dump_json(), media_type=JSON)

    async def card(request: Request) -> Response:
        return Response(_loaded(live).card, media_type="text/markdown")

    async def grading(request: Request) -> Response:
        return Response(grading_info(live).model_dump_json(), media_type=JSON)

    async def override(request: Request) -> Response:
        check_origin(request)
        body = await read_body(request, live.body_bytes, live.timeout_s)
        if live.overrides is None:
            raise NotReadyError(
                "This server stores no overrides: it was given no folder for them (HOMEROOM_SERVE_OVERRIDES)."
            )
        found, is_new = await live.overrides.store(body)
        stored = Stored(release=_loaded(live).version, id=found, is_new=is_new)
        return Response(stored.model_dump_json(), status_code=201 if is_new else 200, media_type=JSON)

    def add(path: str, handler: Handler, **options: Any) -> None:  # Any: FastAPI's own keywords, named below
        app.router.add_api_route(
            path,
            options.pop("endpoint"),
            route_class_override=_route(guarded(handler, release)),
            responses={"4XX": {"model": Failure}, "5XX": {"model": Failure}},
            **options,
        )

    one, many, answered, all_answered = types_of(bundle)
    add(
        "/predict",
        predict,
        methods=["POST"],
        endpoint=documented("predict", one, "Answer one request."),
        response_model=answered,
    )
    add(
        "/predict/batch",
        predict_batch,
        methods=["POST"],
        endpoint=documented(
            "predict_batch", many, f"Answer up to {MOST_IN_LIST} requests; each has its own answer or error."
        ),
        response_model=all_answered,
    )
    add(
        "/version",
        version,
        methods=["GET"],
        endpoint=documented("version", None, "Say which release answers, and whether it is ready."),
        response_model=VersionInfo,
    )
    add(
        "/card",
        card,
        methods=["GET"],
        endpoint=documented("card", None, "Return the model card, in Markdown."),
        response_class=MarkdownResponse,
    )
    if bundle is None or not isinstance(bundle.codec, GradingCodec):
        return
    add(
        "/grading",
        grading,
        methods=["GET"],
        endpoint=documented(
            "grading", None, "List the prompts with their rubrics, and say whether overrides are taken."
        ),
        response_model=GradingInfo,
    )
    add(
        "/overrides",
        override,
        methods=["POST"],
        endpoint=documented("overrides", Correction, "Store a teacher's score; it is on the disk before the answer."),
        response_model=Stored,
        status_code=201,
    )


def grading_info(live: Live) -> GradingInfo:
    """Return what `/v1/grading` says."""
    bundle = _loaded(live)
    assert isinstance(bundle.codec, GradingCodec)
    return GradingInfo(
        release=bundle.version,
        application=bundle.manifest.application,
        prompts=[PromptInfo.model_validate(prompt) for prompt in bundle.codec.grading_prompts()],
        overrides=live.overrides is not None,
        ids=live.overrides is not None and live.overrides.takes_ids,
        most_in_list=MOST_IN_LIST,
        body_bytes=live.body_bytes,
    )


def version_info(live: Live) -> VersionInfo:
    """Return what `/v1/version` says."""
    bundle = live.bundle
    return VersionInfo(
        release=bundle.version if bundle else None,
        application=bundle.manifest.application if bundle else None,
        codec_sha256=bundle.codec_digest if bundle else None,
        signature=bundle.manifest.signature if bundle else None,
        key_id=bundle.manifest.key_id if bundle else None,
        ready=live.is_ready,
        reason=live.reason,
        gate_override=_override_of(live),
    )


def _override_of(live: Live) -> GateOverrideInfo | None:
    given = live.gate_override
    if given is None:
        return None
    return GateOverrideInfo(**given.model_dump(), counts=datetime.now(UTC).date() <= given.until)


async def read_body(request: Request, most: int, timeout_s: float) -> bytes:
    """Return a request's body without ever holding more than `most` bytes and one chunk of it.

    Raises:
        BadRequestError: it is larger (413), compressed (415), or does not arrive in time (408).
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > LENGTH_DIGITS or int(declared) > most:
        raise _too_large(most)
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise BadRequestError(
            "The body is compressed (it has a content-encoding); expected plain JSON in UTF-8. Send it uncompressed.",
            status=415,
        )
    chunks, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise _too_large(most)
                chunks.append(chunk)
    except TimeoutError:
        raise BadRequestError(f"The body did not arrive within {timeout_s:g} s; send it faster.", status=408) from None
    return b"".join(chunks)


def guarded(handler: Handler, headers: dict[str, str]) -> Handler:
    """Return `handler` with every error turned into a response, and `headers` on all of them."""

    async def answer(request: Request) -> Response:
        try:
            response = await handler(request)
        except ServingError as error:
            response = Response(_failure(error), status_code=_status(error), media_type=JSON)
            if _status(error) == 503:
                response.headers["retry-after"] = RETRY_AFTER_S
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # the message may hold a student's data: log only the kind and the place
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            log.error("%s in %s", type(error).__name__, ", ".join(f"{f.name}:{f.lineno}" for f in frames))
            failure = Failure(error="The request could not be answered; see the server's log.", status=500)
            response = Response(failure.model_dump_json(), status_code=500, media_type=JSON)
        response.headers.update(headers)
        return response

    return answer


async def _one(live: Live, item: Any) -> bytes | ServingError:  # Any: the codec's Request, or a BadRequestError
    if isinstance(item, BadRequestError):
        return item
    assert live.bundle is not None
    try:
        return live.bundle.answers.write(await live.answer(item))
    except ServingError as error:
        return error


def _loaded(live: Live) -> Bundle:
    if live.bundle is None:
        raise NotReadyError("This server has no release; GET /v1/version says why.")
    return live.bundle


def _status(error: ServingError) -> int:
    return error.status_here if isinstance(error, BadRequestError) else error.status


def _failure(error: ServingError) -> bytes:
    problems = error.problems if isinstance(error, BadRequestError) else ()
    value = {
        "error": str(error),
        "status": _status(error),
        "problems": [{"path": path, "rule": rule} for path, rule in problems],
    }
    return json.dumps(value).encode()


def _too_large(most: int) -> BadRequestError:
    return BadRequestError(f"The body is larger than {most} bytes; send less history, or fewer requests.", status=413)


def _route(handler: Handler) -> type[APIRoute]:
    """Return a route class that is documented by its endpoint's types and answered by `handler`."""

    class Route(APIRoute):
        def get_route_handler(self) -> Any:  # Any: FastAPI's coroutine type
            return handler

    return Route
