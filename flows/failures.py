"""What a command that failed says: one message, an exit code, and the same as JSON; nobody's data in any of them."""

import errno
import os
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.errors import INTERNAL, NoRoomError, PipelineError, StoreError, TrainingFailedError

SHOW = "HOMEROOM_TRACEBACK"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FULL_IN_WORDS = ("(os error 28)", "(os error 122)", "(os error 27)", "No space left on device", "Disk quota exceeded")
"""How libraries that pass no number on say the same."""
OUTSIDE = frozenset({"prefect", "httpx", "httpcore"})
"""Packages whose errors are about Prefect's server."""
HERE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure as the command line tells it."""

    kind: str
    """Name of the error's class."""
    exit_code: int
    message: str


class UnforeseenError(PipelineError):
    """An error that nobody foresaw, without its text: that may quote students' data, and must reach no server or log.

    Attributes:
        failure: how the command line tells it.
        original: the error itself, for whoever asks for its traceback.
    """

    def __init__(self, original: Exception) -> None:
        self.failure = failure_of(original)
        self.original = original
        super().__init__(self.failure.message)

    def __reduce__(self) -> tuple[type[PipelineError], tuple[str]]:
        return PipelineError, (self.failure.message,)  # pickled, it goes elsewhere: without the original


class RunTimeoutError(PipelineError, TimeoutError):
    """A run took longer than its limit."""

    exit_code = TrainingFailedError.exit_code


@contextmanager
def text_withheld() -> Iterator[None]:
    """Let no text of an unforeseen error out: Prefect writes what its tasks and flows raise to its server and log."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in OUTSIDE:
            raise
        raise UnforeseenError(error) from None


def failure_of(error: BaseException) -> Failure:
    """Return how to tell an error.

    A full disk or memory is told as such whatever it is wrapped in. Of an error that nobody foresaw only its kind and
    place are told: its text may quote data.
    """
    if isinstance(error, UnforeseenError):
        return error.failure
    if not isinstance(error, NoRoomError) and _is_no_room(error):
        message = f"{error}\n{_room()}" if isinstance(error, PipelineError) else _room()
        return Failure(kind=NoRoomError.__name__, exit_code=NoRoomError.exit_code, message=message)
    if isinstance(error, PipelineError):
        return Failure(kind=type(error).__name__, exit_code=error.exit_code, message=str(error))
    if any(type(one).__module__.partition(".")[0] in OUTSIDE for one in _chain(error)):
        return Failure(kind=type(error).__name__, exit_code=StoreError.exit_code, message=_without_prefect(error))
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(
            kind=type(error).__name__,
            exit_code=StoreError.exit_code,
            message=f"{error.filename}: {error.strerror}. Check the path, who owns it, and that it may be written.",
        )
    return Failure(kind=type(error).__name__, exit_code=INTERNAL, message=_internal(error))


def traceback_wanted() -> bool:
    """Return whether the user asks for the traceback of a fault in homeroom."""
    return os.environ.get(SHOW, "") not in {"", "0"}


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _is_no_room(error: BaseException) -> bool:
    return any(
        isinstance(one, MemoryError)
        or (isinstance(one, OSError) and one.errno in FULL)
        or any(words in str(one) for words in FULL_IN_WORDS)
        for one in _chain(error)
    )


def _room() -> str:
    """Say how much room there is where homeroom writes."""
    import tempfile  # late, as everything that only a failure needs

    from flows.settings import Settings

    settings = Settings()
    places = {"HOMEROOM_CACHE": str(settings.cache), "TMPDIR": tempfile.gettempdir()}
    if "://" not in settings.store:
        places = {"HOMEROOM_STORE": settings.store, **places}
    lines = []
    for name, folder in places.items():
        at = Path(folder).absolute()
        while not at.exists():
            at = at.parent
        usage = shutil.disk_usage(at)
        lines.append(f"  - {name} ({folder}): {usage.free / 1e6:,.1f} MB free of {usage.total / 1e6:,.1f} MB")
    return (
        "There is no room left (a full disk, a quota, or too little memory). Free at this moment:\n"
        + "\n".join(lines)
        + "\nFree some room or name a larger disk in these variables, then run the same command again: finished "
        "stages are not repeated, and nothing half-written is used."
    )


def _without_prefect(error: BaseException) -> str:
    url = os.environ.get("PREFECT_API_URL", "")
    where = f"the Prefect server at {url}" if url else "a temporary Prefect server"
    return (
        f"The run could not be done with {where} ({type(error).__name__}). Check it with `homeroom doctor`, or run the "
        "same command with --no-prefect, which needs no server."
    )


def _internal(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(HERE) and "site-packages" not in f.filename]
    last = (own or frames)[-1:]
    where = f" in {Path(last[0].filename).name}, line {last[0].lineno} ({last[0].name})" if last else ""
    return (
        f"A fault in homeroom: {type(error).__name__}{where}. Its text and traceback may quote students' data and are "
        f"not shown; {SHOW}=1 before the command shows them. Please report this line."
    )
