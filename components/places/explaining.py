"""What file systems raise, in words: the object, the cause, and what to do about it."""

import contextlib
import errno
import re
from collections.abc import Iterator

from components.errors import ArtifactMissingError, NoRoomError, StoreError
from components.places.unreachable import why_unreachable

_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
REMEDIES = {
    errno.EIO: "The disk or the connection to it is failing: look at the system's log and the disk's health, and copy "
    "the store to another disk before you go on.",
    errno.EROFS: "It lies on a disk that is mounted read-only: mount it for writing, or name another store.",
    errno.EREMOTEIO: "The server failed after several attempts: wait some minutes and run the same command again; if "
    "it stays so, whoever runs the server must look.",
    errno.EBUSY: "The server was too busy after several attempts: wait some minutes and run the same command again.",
}
FULL = (
    "The disk is full: free some room (`homeroom gc` shows what can go) and run the same command again; it goes on "
    "where this one ended, and nothing half-written is visible."
)
NO_RIGHTS = "It is not allowed: check who owns it, or the credentials (the AWS_* variables) and the bucket's policy."
NO_ANSWER = (
    "The server gave no answer in time: check the endpoint (AWS_ENDPOINT_URL) and the network, then run the same "
    "command again. HOMEROOM_S3_READ_S and HOMEROOM_S3_TOTAL_S set how long is waited."
)
NO_CONNECTION = (
    "The connection failed after several attempts: check the endpoint (AWS_ENDPOINT_URL) and the network, then run the "
    "same command again."
)
ELSE = "Check that the store exists, that it may be written, and that there is room (`homeroom doctor`)."


class CutShortError(OSError):
    """A transfer ended before all bytes had come; worth another attempt."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether a disk without room is behind `error`; polars and numpy raise errors without a number for it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in DISK_FULL
    return "(os error 28)" in str(error) or _SHORT_WRITE.search(str(error)) is not None


def remedy_for(error: BaseException) -> str:
    """Return the sentence or two that say what a user can do about `error`."""
    if is_disk_full(error):
        return FULL
    if isinstance(error, PermissionError):
        return NO_RIGHTS
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        return NO_ANSWER
    if names & {"HTTPClientError", "ClientConnectionError", "ClientPayloadError", "ConnectionError", "CutShortError"}:
        return NO_CONNECTION
    if isinstance(error, OSError) and error.errno in REMEDIES:
        return REMEDIES[error.errno]
    return ELSE


def reason_for(error: BaseException, otherwise: str = ELSE) -> str:
    """Return what is behind `error` and what to do, as sentences; `otherwise` where nothing better is known."""
    why = why_unreachable(error)
    found = remedy_for(error)
    # A right that is missing on a disk concerns writing too; a server says itself what it refuses.
    if why is not None and (found not in {NO_ANSWER, FULL, NO_RIGHTS} or "the server said" in why):
        return f"{why}."
    return f"{in_words(error)}. {otherwise if found == ELSE else found}"


def in_words(error: BaseException) -> str:
    """Return the kind and text of `error`; time-outs of fsspec have no text of their own."""
    return f"{type(error).__name__}: {str(error) or 'the time was up'}"


@contextlib.contextmanager
def explained(url: str, path: str, *, writing: bool = False) -> Iterator[None]:
    """Turn what a file system raises into a StoreError that names the object, the cause and the remedy.

    Args:
        url: the store's root.
        path: the object below it.
        writing: a name that is not found is then the root's, not the object's.
    """
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        if writing:  # the bucket or the folder above is missing, not the object
            raise StoreError(
                f"{path} could not be written: {url} does not exist ({error}). Make the bucket or folder, or correct "
                "the store's address."
            ) from error
        raise ArtifactMissingError(f"{path} is not in {url}. Run the stage that makes it again.") from error
    except Exception as error:  # whatever a remote file system raises is about this object
        kind = NoRoomError if is_disk_full(error) else StoreError
        raise kind(f"{path} in {url} could not be read or written: {reason_for(error)}") from error
