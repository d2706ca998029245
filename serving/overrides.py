"""Taking teachers' overrides over HTTP: read strictly, checked against the release's rubrics, stored before the answer.

Pseudonyms are made here, as ingest makes them: a student's own id never reaches the disk. Nothing of an override is
ever logged or repeated in an error.
"""

import asyncio
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.app import GradingCodec
from components.bundle import VERSION_DIGITS
from components.errors import StoreError
from components.overrides import Journal, Override
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from serving.asgi import Asked
from serving.bundle import Bundle
from serving.errors import BadRequestError, NotReadyError
from serving.requests import Reader

LONGEST_TEXT = 200_000
"""Characters; what grading reads at most."""
LONGEST_REASON = 2_000
LONGEST_NAME = 200
CLOSE = 1e-6
"""What a score may be off a point of the rubric, in steps: decimals are not exact."""
_ID = re.compile(r"[0-9A-Za-z-]{16,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """A teacher's score in the place of the machine's, and why; it is stored with the text for the next training."""

    id: str
    """Chosen by the client, 16 to 64 letters, digits and `-` at random; sending again with the same id is safe."""
    release: str
    """Version of the release that gave the machine's score, as the answer said it: `<application>-<12 hex digits>`."""
    prompt: str
    text: str
    """The whole response, as it was graded."""
    machine_score: float | None = None
    """What the machine said; null where it abstained."""
    score: float
    """The teacher's: a score that the prompt's rubric has."""
    reason: str
    teacher: str
    """Name or id of the person who decides."""
    student: str | None = None
    """The student's id as the training data have it; only its keyed pseudonym is stored."""
    response: str | None = None
    """The response's id as the training data have it, likewise: the score then takes the place of that response's."""


class Overrides:
    """Stores corrections of one release's scores.

    Args:
        journal: where to.
        bundle: the release, whose codec is a `GradingCodec`.
        key: makes pseudonyms; None: ids of students and responses are refused.
    """

    def __init__(self, journal: Journal, bundle: Bundle, key: SecretKey | None) -> None:
        assert isinstance(bundle.codec, GradingCodec)
        self._journal = journal
        self._application = bundle.manifest.application
        self._version = re.compile(rf"{re.escape(self._application)}-[0-9a-f]{{{VERSION_DIGITS}}}")
        self._rubrics = {prompt["prompt"]: prompt for prompt in bundle.codec.grading_prompts()}
        self._key = key
        self._reader: Reader[Correction] = Reader(Correction)

    @property
    def takes_ids(self) -> bool:
        """Whether ids can be kept, as pseudonyms."""
        return self._key is not None

    async def store(self, body: bytes) -> tuple[str, bool]:
        """Store the correction in a JSON body; return its id, and whether it is new. It is on the disk then.

        Raises:
            BadRequestError: it cannot be read or makes no sense.
            NotReadyError: it could not be written.
        """
        correction = self._reader.read(body)
        self._check(correction)
        override = self._override(correction)
        try:
            return override.id, await asyncio.to_thread(self._journal.append, override)
        except StoreError as error:
            raise NotReadyError(str(error)) from error

    def close(self) -> None:
        """Let the file go."""
        self._journal.close()

    def _check(self, given: Correction) -> None:
        problems: list[tuple[str, str]] = []
        if not _ID.fullmatch(given.id):
            problems.append(("id", "expected 16 to 64 letters, digits and `-`, chosen at random"))
        # It becomes a label of metrics and a name in records; which releases there are, the reader of these knows.
        if not self._version.fullmatch(given.release):
            rule = "expected the version of the release that gave the score: the application's name, `-`, 12 hex digits"
            problems.append(("release", rule))
        limits = {"text": LONGEST_TEXT, "reason": LONGEST_REASON, "teacher": LONGEST_NAME}
        for name, most in limits.items():
            value = getattr(given, name)
            if not value.strip() or len(value) > most:
                problems.append((name, f"expected 1 to {most} characters, not all of them blanks"))
        for name in ("student", "response"):
            value = getattr(given, name)
            if value is None:
                continue
            if self._key is None:
                problems.append((name, "this server has no key for pseudonyms, so no id may be sent; leave it out"))
            elif not value.strip() or len(value) > LONGEST_NAME:
                problems.append((name, f"expected 1 to {LONGEST_NAME} characters; leave it out where there is none"))
        rubric = self._rubrics.get(given.prompt)
        if rubric is None:
            problems.append(("prompt", "is none that this release grades; GET /v1/grading lists them"))
        elif not _is_on(rubric, given.score):
            low, high, step = (f"{rubric[name]:g}" for name in ("low", "high", "step"))
            problems.append(("score", f"expected a score of the rubric: {low} to {high} in steps of {step}"))
        if problems:
            raise BadRequestError("The override cannot be stored.", tuple(problems))

    def _override(self, given: Correction) -> Override:
        names: dict[str, str] = {}
        if self._key is not None:
            for kind, value in (("student", given.student), ("response", given.response)):
                if value is not None:
                    (names[kind],) = pseudonyms(self._key, [value.strip()], kind)
        return Override(
            id=given.id,
            made_utc=datetime.now(UTC).isoformat(timespec="milliseconds"),
            application=self._application,
            release=given.release,
            prompt=given.prompt,
            # What no file can hold as UTF-8, half of a pair of surrogates, is no character.
            text=_storable(given.text),
            machine_score=given.machine_score,
            score=given.score,
            reason=_storable(given.reason.strip()),
            teacher=_storable(given.teacher.strip()),
            student=names.get("student"),
            response=names.get("response"),
            pseudonym_key_id=self._key.id if names and self._key is not None else None,
        )


def check_origin(request: Asked) -> None:
    """Refuse what another site has a teacher's browser send: it must be JSON, and not from elsewhere.

    Raises:
        BadRequestError: 415 or 403.
    """
    kind = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequestError("The content-type must be application/json; send it so.", status=415)
    if request.header(b"sec-fetch-site") not in {None, "same-origin", "none"}:
        raise BadRequestError("Another site sent this; overrides are taken from the service's own page.", status=403)


def _is_on(rubric: Any, score: float) -> bool:  # Any: plain JSON of one prompt
    low, high, step = float(rubric["low"]), float(rubric["high"]), float(rubric["step"])
    steps = (score - low) / step
    return math.isfinite(score) and low - CLOSE <= score <= high + CLOSE and abs(steps - round(steps)) <= CLOSE


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
