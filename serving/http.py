"""The HTTP interface: reading bodies, answering, and saying in the same words what went wrong.

What answers is read anew for every request (`Server.slots`), so that a release can be exchanged between two of them,
also for one with other types. The OpenAPI document is made from what answers now; bodies are read by
`serving.requests`: quicker than a framework does, and no complaint ever repeats what the client sent.
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

from components.app import GradingCodec
from serving.asgi import Asked, ClientGoneError, Receive, Reply, Scope, Send
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
RETRY_AFTER = ((b"retry-after", b"1"),)
STUDENT = HEADER.lower().encode()
RELEASE = RELEASE_HEADER.lower().encode()
ALLOWED = {"GET": frozenset({"GET", "HEAD"}), "POST": frozenset({"POST"})}

Handler = Callable[[Asked, Observed], Awaitable[Reply]]
Answering = Callable[[Live, Observed], Awaitable[bytes]]


class Api:
    """The ASGI application that is mounted at `/v1`.

    Its routes are /predict, /predict/batch, /version, /card, /openapi.json, /grading and /overrides. The last two
    answer 404 while no grading release is live; what is no route is answered in the same words as other errors, all
    of which name a release and are observed.

    Args:
        live: what answers: one release, or a server that may exchange it.
        observer: hears of every answer; None counts in the metrics of this process.
    """

    def __init__(self, live: Live | Server, observer: Observer | None = None) -> None:
        self.server = Server.of(live)
        self._observer = observer if observer is not None else Observer(process_metrics())
        self._routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self._predict),
            "/predict/batch": ("POST", self._predict_batch),
            "/version": ("GET", self._version),
            "/card": ("GET", self._card),
            "/grading": ("GET", self._grading),
            "/overrides": ("POST", self._override),
            "/openapi.json": ("GET", self._openapi),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with every error turned into a reply."""
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served here; expected http.")
        asked = Asked(scope, receive)
        route = asked.path
        method, handler = self._routes.get(route, ("", self._other))
        if not method or scope["method"] not in ALLOWED[method]:
            route, handler = "other", self._other  # never a path that the client chose
        found = Observed(route=route, live=self.server.slots.champion, begin=time.perf_counter())
        try:
            reply = await handler(asked, found)
        except ServingError as error:
            status = _status(error)
            reply = Reply(_failure(error), status, headers=RETRY_AFTER if status in {429, 503} else ())
        except ClientGoneError:
            reply = Reply(b"", 400)  # nobody is there to read it
        except Exception as error:  # the message may hold a student's data: log only the kind and the place
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            log.error("%s in %s", type(error).__name__, ", ".join(f"{f.name}:{f.lineno}" for f in frames))
            reply = _told("The request could not be answered; see the server's log.", 500)
        found.status = reply.status
        found.seconds = time.perf_counter() - found.begin
        self._observer.soon(found)
        bundle = found.live.bundle
        if bundle is None:
            await reply.send(send)
        else:
            await reply.send(send, (RELEASE, bundle.version.encode()))

    async def _predict(self, asked: Asked, found: Observed) -> Reply:
        body = found.body = await _body(asked, found)
        found.student = asked.header(STUDENT)
        slots = self.server.slots
        found.former = slots.former
        text = await _by_slots(slots, found.student, found, partial(_answer_one, body))
        if found.slot == "champion":
            found.shadow = slots.shadow
        return Reply(text)

    async def _predict_batch(self, asked: Asked, found: Observed) -> Reply:
        body = found.body = await _body(asked, found)
        found.student = asked.header(STUDENT)
        slots = self.server.slots
        found.former = slots.former
        return Reply(await _by_slots(slots, found.student, found, partial(_answer_list, body)))

    async def _version(self, asked: Asked, found: Observed) -> Reply:
        return Reply(version_info(self.server).model_dump_json().encode())

    async def _card(self, asked: Asked, found: Observed) -> Reply:
        return Reply(_loaded(found.live).card.encode(), kind=b"text/markdown; charset=utf-8")

    async def _grading(self, asked: Asked, found: Observed) -> Reply:
        if not _grades(found.live):
            return await self._other(asked, found)
        return Reply(grading_info(found.live).model_dump_json().encode())

    async def _override(self, asked: Asked, found: Observed) -> Reply:
        if not _grades(found.live):
            return await self._other(asked, found)
        check_origin(asked)
        body = await asked.body(found.live.body_bytes, found.live.timeout_s)
        live = found.live = self.server.slots.champion
        if live.overrides is None:
            raise NotReadyError(
                "This server stores no overrides: it was given no folder for them (HOMEROOM_SERVE_OVERRIDES)."
            )
        stored, is_new = await live.overrides.store(body)
        told = Stored(release=_loaded(live).version, id=stored, is_new=is_new)
        return Reply(told.model_dump_json().encode(), 201 if is_new else 200)

    async def _openapi(self, asked: Asked, found: Observed) -> Reply:
        spec = document(found.live.bundle)
        root = asked.scope.get("root_path", "") or "/"
        return Reply(json.dumps({**spec, "servers": [{"url": root}]}).encode())

    async def _other(self, asked: Asked, found: Observed) -> Reply:
        """Return 405 where the path is one of ours and the method is not, otherwise 404."""
        allowed, _ = self._routes.get(asked.path, ("", None))
        if not allowed or asked.scope["method"] in ALLOWED[allowed]:  # of a grading release alone
            return _told("There is nothing here; /v1/openapi.json lists what there is.", 404)
        allow = (b"allow", allowed.encode())
        return _told(f"This takes {allowed} and no other method.", 405, (allow,))


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


async def _body(asked: Asked, found: Observed) -> bytes:
    """Return the body; the time that counts begins once it is there."""
    body = await asked.body(found.live.body_bytes, found.live.timeout_s)
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


def _told(error: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(Failure(error=error, status=status).model_dump_json().encode(), status, headers=headers)


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
