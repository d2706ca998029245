"""The batcher: one bounded queue, one worker thread; all that waits goes into the next batch, nobody waits on purpose.

Answers are those of `components.app.answer_requests`. One request's failure is its own: it is encoded and decoded by
itself, and when a run of the model fails its rows are run again one by one.
"""

import asyncio
import contextlib
import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.app import Codec
from serving.errors import AnswerTimeoutError, BadRequestError, ModelError, OverloadedError

log = logging.getLogger("homeroom.serving")
Outputs = Mapping[str, npt.NDArray[Any]]  # Any: each array has its own dtype
RunModel = Callable[[dict[str, npt.NDArray[Any]]], Outputs]

RATIO = 2
"""Rows share a run when the longest is at most this many times the shortest ..."""
SMALL = 64
"""... or all are this small (array elements), where a run costs more than padding does."""
RUN_ELEMENTS = 1_000_000
"""Most array elements in one run after padding, whatever the number of rows."""


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way: where its answer goes, and what was made of it so far."""

    request: Any
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Any]"
    rows: Sequence[Any] = ()
    outputs: list[Outputs | None] = field(default_factory=list)
    open_rows: int = 0
    settled: bool = False


@dataclass(slots=True, frozen=True)
class Place:
    """One row of one job, with its size."""

    job: Job
    index: int
    size: int


class Batcher:
    """Answers requests of any number of event loops with one model in one thread.

    Args:
        codec: encodes, batches, decodes.
        run_model: padded inputs by name -> outputs by name, the batch axis first.
        max_rows: most rows in one run of the model, and how many are gathered for a batch.
        max_waiting: most requests that may wait; one more is refused.
    """

    def __init__(self, codec: Codec, run_model: RunModel, *, max_rows: int = 64, max_waiting: int = 256) -> None:
        self._codec = codec
        self._run_model = run_model
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._dropping = False
        self._thread = threading.Thread(target=self._work, name="homeroom-batcher", daemon=True)
        self._thread.start()

    @property
    def max_waiting(self) -> int:
        """Most requests that may wait."""
        return self._max_waiting

    @property
    def waiting(self) -> int:
        """How many requests wait now."""
        return len(self._queue)

    async def answer(self, request: Any, timeout_s: float) -> Any:  # Any: the codec's Request and Answer
        """Return the answer to one request.

        Raises:
            BadRequestError: the codec says that the request makes no sense.
            ModelError: codec or model failed on it.
            OverloadedError: the queue is full, or the batcher is closing.
            AnswerTimeoutError: it took longer than `timeout_s`; if it was still waiting, its place is free at once.
        """
        future = self.submit(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            self._leave(future)
            if isinstance(error, AnswerTimeoutError):
                raise
            raise AnswerTimeoutError(f"No answer within {timeout_s:g} s; ask again later.") from None
        except asyncio.CancelledError:  # the client is gone
            self._leave(future)
            raise

    def submit(self, request: Any) -> "asyncio.Future[Any]":
        """Queue a request and return the future of its answer, on the running event loop. Cancelling it is allowed.

        Raises:
            OverloadedError: the queue is full, or the batcher is closing.
        """
        loop = asyncio.get_running_loop()
        job = Job(request=request, loop=loop, future=loop.create_future())
        with self._changed:
            if self._closing:
                raise OverloadedError("The server is stopping; ask another one, or again later.")
            if len(self._queue) >= self._max_waiting:
                raise OverloadedError(f"{self._max_waiting} requests are waiting already; ask again later.")
            self._queue.append(job)
            self._changed.notify()
        return job.future

    def _leave(self, future: "asyncio.Future[Any]") -> None:
        """Take a request out of the queue whose answer nobody wants any more, so that another can have its place."""
        for job in list(self._queue):
            if job.future is future:
                with contextlib.suppress(ValueError, IndexError):  # the worker thread took it in the meantime
                    self._queue.remove(job)
                return

    def close(self, drain_s: float = 10.0) -> bool:
        """Refuse new requests, answer those that wait, and end the thread; return whether all were answered.

        What is still waiting after `drain_s` seconds is refused with OverloadedError.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(drain_s)
        if not self._thread.is_alive():
            return True
        with self._changed:
            self._dropping = True
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify()
        _deliver((job, OverloadedError("The server stopped before it came to this request.")) for job in left)
        self._thread.join(1.0)
        return False

    # -- the worker thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
            jobs = self._take()
            try:
                self._answer(jobs)
            except Exception as error:  # whatever it was, nobody may be left waiting
                _note(error)
                _deliver((job, ModelError("The answer could not be made.")) for job in jobs if not job.settled)

    def _take(self) -> list[Job]:
        """Take and encode what is waiting, up to `max_rows` rows; at least one request."""
        jobs: list[Job] = []
        refused: list[tuple[Job, Any]] = []
        rows = 0
        while rows < self._max_rows and not self._dropping:
            try:
                job = self._queue.popleft()
            except IndexError:
                break
            if job.future.cancelled():
                continue
            try:
                job.rows = self._codec.encode(job.request)
                if not job.rows:
                    raise TypeError("no rows")
            except ValueError as error:
                refused.append((job, BadRequestError(str(error))))
            except Exception as error:  # the codec's own bug harms this request only
                _note(error)
                refused.append((job, ModelError("The codec could not encode the request.")))
            else:
                job.outputs = [None] * len(job.rows)
                job.open_rows = len(job.rows)
                rows += job.open_rows
                jobs.append(job)
        _deliver(refused)
        return jobs

    def _answer(self, jobs: Sequence[Job]) -> None:
        places = [Place(job, i, _size(row)) for job in jobs for i, row in enumerate(job.rows)]
        for run in plan(places, self._max_rows):
            outputs = self._outputs(run)
            done: list[tuple[Job, Any]] = []
            for place, output in zip(run, outputs, strict=True):
                job = place.job
                if job.settled:
                    continue
                if isinstance(output, ModelError):
                    job.settled = True
                    done.append((job, output))
                    continue
                job.outputs[place.index] = output
                job.open_rows -= 1
                if job.open_rows == 0:
                    job.settled = True
                    done.append((job, self._decode(job)))
            _deliver(done)

    def _outputs(self, run: Sequence[Place]) -> list[Outputs | ModelError]:
        """Return the outputs of each row; after a failed run each row is tried alone."""
        rows = [place.job.rows[place.index] for place in run]
        try:
            arrays = self._run_model(self._codec.batch(rows))
            return [{name: array[i] for name, array in arrays.items()} for i in range(len(rows))]
        except Exception as error:
            _note(error)
            if len(rows) == 1:
                return [error if isinstance(error, ModelError) else ModelError("The model could not compute.")]
        return [output for place in run for output in self._outputs([place])]

    def _decode(self, job: Job) -> Any:  # Any: the codec's Answer, or the error in its place
        try:
            return self._codec.decode(job.request, job.rows, [o for o in job.outputs if o is not None])
        except Exception as error:
            _note(error)
            return ModelError("The codec could not decode the model's output.")


def plan(places: Iterable[Place], max_rows: int) -> list[list[Place]]:
    """Return the rows in runs of like sizes, short ones first, so that one long row does not make all others long."""
    runs: list[list[Place]] = []
    for place in sorted(places, key=lambda p: p.size):
        run = runs[-1] if runs else None
        if (
            run is None
            or len(run) >= max_rows
            or place.size > max(SMALL, RATIO * run[0].size)
            or place.size * (len(run) + 1) > RUN_ELEMENTS
        ):
            runs.append([place])
        else:
            run.append(place)
    return runs


def _size(row: object) -> int:
    """Return how many array elements a row holds: a measure of its length that any codec's rows have."""
    if isinstance(row, np.ndarray):
        return row.size
    if isinstance(row, Mapping):
        return sum(_size(v) for v in row.values())
    if isinstance(row, tuple | list):
        return sum(_size(v) for v in row)
    names = getattr(type(row), "__dataclass_fields__", None)
    return sum(_size(getattr(row, name)) for name in names) if names else 0


def _deliver(results: Iterable[tuple[Job, Any]]) -> None:
    """Give results to their event loops, one call per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job, Any]]] = {}
    for job, result in results:
        job.settled = True
        by_loop.setdefault(job.loop, []).append((job, result))
    for loop, mine in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, mine)
        except RuntimeError:
            log.warning("%d answers came after their event loop was closed", len(mine))


def _settle(results: Sequence[tuple[Job, Any]]) -> None:
    for job, result in results:
        if job.future.done():
            continue  # timed out or cancelled
        if isinstance(result, Exception):
            job.future.set_exception(result)
        else:
            job.future.set_result(result)


def _note(error: Exception) -> None:
    """Log what kind of error happened and where; never its message, which may hold a student's data."""
    where = traceback.extract_tb(error.__traceback__)
    last = " <- ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(where[-4:]))
    log.error("%s while answering, in %s", type(error).__name__, last)
