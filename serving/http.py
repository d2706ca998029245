"""The HTTP interface: reading bodies, answering, and saying in the same words what went wrong.

What answers is read anew for every request (`Server.slots`), so that a release can be exchanged between two of them,
also for one with other types. The OpenAPI document is made from what answers now; bodies are read by
`serving.requests` and not by FastAPI: quicker, and no complaint ever repeats what the client sent.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from components.app import GradingCodec
from serving.bundle import Bundle
from serving.canary import HEADER
from serving.errors import AnswerTimeoutError, BadRequestError, NotReadyError, ServingError
from serving.live import Live
from serving.metrics import process_metrics
from serving.observe import Observed, Observer
from serving.openapi import (
    MOST_IN_LIST,
    RELEASE_HEADER,
    Failure,
    GateOverrideInfo,
    GradingInfo,
    PromptInfo,
    Stored,
    VersionInfo,
    document,
)
from serving.overrides import check_origin
from serving.requests import written
from serving.slots import Server, Slots
from serving.status import workers_info

log = logging.getLogger("homeroom.serving")
LENGTH_DIGITS = 15
"""Most digits of a content-length: Python refuses to read very long numbers."""
RETRY_AFTER_S = "1"
JSON = "application/json"
ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

Handler = Callable[[Request, Observed], Awaitable[Response]]
Answering = Callable[[Live, Observed], Awaitable[bytes]]


def add_routes(app: FastAPI, live: Live | Server, observer: Observer | None = None) -> None:
    """Add the routes to `app`: /predict, /predict/batch, /version, /card, /openapi.json, /grading and /overrides.

    The last two answer 404 while no grading release is live; what is no route is answered in the same words as other
    errors.

    Args:
        app: is mounted at `/v1`.
        live: what answers: one release, or a server that may exchange it.
        observer: hears of every answer; None counts in the metrics of this process.
    """
    server = Server.of(live)
    watching = observer if observer is not None else Observer(process_metrics())
    methods = {
        "/predict": "POST",
        "/predict/batch": "POST",
        "/version": "GET",
        "/card": "GET",
        "/grading": "GET",
        "/overrides": "POST",
        "/openapi.json": "GET",
    }

    async def predict(request: Request, found: Observed) -> Response:
        body = found.body = await _body(request, server, found)
        found.student = request.headers.get(HEADER)
        slots = server.slots
        found.former = slots.former
        text = await _by_slots(slots, found.student, found, partial(_answer_one, body))
        if found.slot == "champion":
            found.shadow = slots.shadow
        return Response(text, media_type=JSON)

    async def predict_batch(request: Request, found: Observed) -> Response:
        body = found.body = await _body(request, server, found)
        found.student = request.headers.get(HEADER)
        slots = server.slots
        found.former = slots.former
        text = await _by_slots(slots, found.student, found, partial(_answer_list, body))
        return Response(text, media_type=JSON)

    async def version(request: Request, found: Observed) -> Response:
        return Response(version_info(server).model_dump_json(), media_type=JSON)

    async def card(request: Request, found: Observed) -> Response:
        return Response(_loaded(found.live).card, media_type="text/markdown")

    async def grading(request: Request, found: Observed) -> Response:
        if not _grades(found.live):
            return _no_route(request, methods)
        return Response(grading_info(found.live).model_dump_json(), media_type=JSON)

    async def override(request: Request, found: Observed) -> Response:
        if not _grades(found.live):
            return _no_route(request, methods)
        check_origin(request)
        body = await read_body(request, found.live.body_bytes, found.live.timeout_s)
        live = found.live = server.slots.champion
        if live.overrides is None:
            raise NotReadyError(
                "This server stores no overrides: it was given no folder for them (HOMEROOM_SERVE_OVERRIDES)."
            )
        stored, is_new = await live.overrides.store(body)
        told = Stored(release=_loaded(live).version, id=stored, is_new=is_new)
        return Response(told.model_dump_json(), status_code=201 if is_new else 200, media_type=JSON)

    async def openapi(request: Request, found: Observed) -> Response:
        spec = document(found.live.bundle)
        root = request.scope.get("root_path", "") or "/"
        return Response(json.dumps({**spec, "servers": [{"url": root}]}), media_type=JSON)

    async def other(request: Request, found: Observed) -> Response:
        return _no_route(request, methods)

    handlers: dict[str, Handler] = {
        "/predict": predict,
        "/predict/batch": predict_batch,
        "/version": version,
        "/card": card,
        "/grading": grading,
        "/overrides": override,
        "/openapi.json": openapi,
    }
    app.router.routes[:] = [
        *(
            Route(path, guarded(handler, path, server, watching), methods=[methods[path]])
            for path, handler in handlers.items()
        ),
        Route("/{path:path}", guarded(other, "other", server, watching), methods=ANY_METHOD),
    ]


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


def version_info(server: Server) -> VersionInfo:
    """Return what `/v1/version` says."""
    slots = server.slots
    live, bundle = slots.champion, slots.champion.bundle
    return VersionInfo(
        release=bundle.version if bundle else None,
        application=bundle.manifest.application if bundle else None,
        codec_sha256=bundle.codec_digest if bundle else None,
        signature=bundle.manifest.signature if bundle else None,
        key_id=bundle.manifest.key_id if bundle else None,
        ready=live.is_ready,
        reason=live.reason,
        gate_override=_override_of(live),
        entry=slots.entry,
        behind=server.behind,
        challenger=slots.challenger.bundle.version if slots.challenger and slots.challenger.bundle else None,
        percent=slots.percent,
        shadow=slots.shadow.bundle.version if slots.shadow else None,
        workers=workers_info(server),
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


def guarded(
    handler: Handler, route: str, server: Server, observer: Observer
) -> Callable[[Request], Awaitable[Response]]:
    """Return `handler` with every error turned into a response, all of which name a release and are observed."""

    async def answer(request: Request) -> Response:
        found = Observed(route=route, live=server.slots.champion, begin=time.perf_counter())
        try:
            response = await handler(request, found)
        except ServingError as error:
            response = Response(_failure(error), status_code=_status(error), media_type=JSON)
            if _status(error) in {429, 503}:
                response.headers["retry-after"] = RETRY_AFTER_S
        except ClientDisconnect:
            response = Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # the message may hold a student's data: log only the kind and the place
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            log.error("%s in %s", type(error).__name__, ", ".join(f"{f.name}:{f.lineno}" for f in frames))
            failure = Failure(error="The request could not be answered; see the server's log.", status=500)
            response = Response(failure.model_dump_json(), status_code=500, media_type=JSON)
        if found.live.bundle is not None:
            response.headers[RELEASE_HEADER] = found.live.bundle.version
        found.status = response.status_code
        found.seconds = time.perf_counter() - found.begin
        observer.soon(found)
        return response

    return answer


async def _body(request: Request, server: Server, found: Observed) -> bytes:
    """Return the body; the time that counts begins once it is there."""
    live = found.live
    body = await read_body(request, live.body_bytes, live.timeout_s)
    found.begin = time.perf_counter()
    return body


async def _by_slots(slots: Slots, student: str | None, found: Observed, answer: Answering) -> bytes:
    """Return the answer of the challenger where the student is its, and otherwise, or where it fails, the champion's.

    A challenger that is too slow fails the request all the same: it had all the time there is. What the champion cannot
    answer either is no failure of the challenger.
    """
    challenger = slots.challenger_for(student)
    if challenger is not None:
        found.live, found.slot = challenger, "challenger"
        try:
            return await answer(challenger, found)
        except AnswerTimeoutError:
            raise
        except Exception as error:
            log.warning("The challenger could not answer (%s); the champion does", type(error).__name__)
    found.live, found.slot = slots.champion, "champion"
    found.items, found.failed, found.refused, found.invalid, found.unread = 1, 0, 0, 0, ()
    unanswered, found.unanswered = found.unanswered, None
    text = await answer(slots.champion, found)
    if challenger is not None:
        missing: frozenset[int] = found.unanswered or frozenset()
        found.missed = found.items - found.failed if unanswered is None else len(unanswered - missing)
        found.stumbled = challenger if found.missed else None
    return text


async def _answer_one(body: bytes, live: Live, found: Observed) -> bytes:
    loaded = _loaded(live)
    request = loaded.requests.read(body)
    plain = loaded.answers.plain(await live.answer(request))
    text = b'{"release":"%b","answer":%b}' % (loaded.version.encode(), written(plain))
    found.requests, found.answers = (request,), (plain,)
    return text


async def _answer_list(body: bytes, live: Live, found: Observed) -> bytes:
    """Return the answers to a list. A challenger answers all of it or nothing."""
    loaded = _loaded(live)
    items = loaded.requests.read_many(body, MOST_IN_LIST)
    results = await asyncio.gather(*(_one(live, item) for item in items))
    failures = [r for r in results if isinstance(r, ServingError)]
    found.unread = tuple(place for place, one in enumerate(results) if isinstance(one, BadRequestError))
    found.invalid = len(found.unread)
    found.refused = sum(_status(failure) == 503 for failure in failures)
    found.failed = len(failures) - found.invalid - found.refused
    found.items = len(results) - found.invalid - found.refused
    found.unanswered = frozenset(place for place, one in enumerate(results) if isinstance(one, ServingError))
    if failures and (found.slot == "challenger" or _all_ours(failures, len(results))):
        raise failures[0]
    texts = [b'{"error":%b}' % _failure(r) if isinstance(r, ServingError) else b'{"answer":%b}' % r[1] for r in results]
    text = b'{"release":"%b","results":[%b]}' % (loaded.version.encode(), b",".join(texts))
    pairs = [(item, r[0]) for item, r in zip(items, results, strict=True) if not isinstance(r, ServingError)]
    found.requests, found.answers = tuple(item for item, _ in pairs), tuple(plain for _, plain in pairs)
    return text


def _all_ours(failures: list[ServingError], results: int) -> bool:
    return len(failures) == results and all(_status(failure) >= 500 for failure in failures)


async def _one(live: Live, item: Any) -> tuple[dict[str, Any], bytes] | ServingError:  # Any: Request, or a complaint
    """Return an answer as plain JSON values and as JSON, or why there is none."""
    if isinstance(item, BadRequestError):
        return item
    try:
        plain = _loaded(live).answers.plain(await live.answer(item))
        return plain, written(plain)
    except ServingError as error:
        return error


def _loaded(live: Live) -> Bundle:
    if live.bundle is None:
        raise NotReadyError("This server has no release; GET /v1/version says why.")
    return live.bundle


def _grades(live: Live) -> bool:
    return live.bundle is not None and isinstance(live.bundle.codec, GradingCodec)


def _no_route(request: Request, methods: dict[str, str]) -> Response:
    """Return 405 where the path is one of ours and the method is not, otherwise 404."""
    path = "/" + request.path_params.get("path", "\n")
    allowed = methods.get(path)
    if allowed is None:
        failure = Failure(error="There is nothing here; /v1/openapi.json lists what there is.", status=404)
        return Response(failure.model_dump_json(), status_code=404, media_type=JSON)
    failure = Failure(error=f"This takes {allowed} and no other method.", status=405)
    return Response(failure.model_dump_json(), status_code=405, media_type=JSON, headers={"allow": allowed})


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
