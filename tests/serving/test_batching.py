"""The batcher: answers equal single ones, overload is refused at once, one bad request harms nobody, nothing hangs."""

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from components.app import answer_requests
from serving.batching import RUN_ELEMENTS, Batcher, Job, Place, plan
from serving.bundle import Bundle
from serving.errors import AnswerTimeoutError, BadRequestError, ModelError, OverloadedError, ServingError
from tests.serving.bundles import probability_of, request_of

TIMEOUT_S = 20.0


class Slow:
    """A model that waits until it is told to go on, and counts."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.go = threading.Event()
        self.started = threading.Event()
        self.rows: list[int] = []

    def __call__(self, inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        self.started.set()
        assert self.go.wait(TIMEOUT_S)
        self.rows.append(len(inputs["items"]))
        return self.bundle.session.run(inputs)


def read(bundle: Bundle, steps: int, candidates: int = 1, *, correct: float = 1.0) -> Any:
    return bundle.requests.read_plain(request_of(steps, candidates, correct=correct))


async def started(model: Slow) -> None:
    await asyncio.to_thread(model.started.wait, TIMEOUT_S)


def test_batched_answers_equal_single_answers(tracing: Bundle) -> None:
    requests = [*tracing.codec.golden_requests(60, seed=11), *(read(tracing, s, 1 + s % 3) for s in range(0, 60, 7))]
    alone = [answer_requests(tracing.codec, tracing.session.run, [r])[0] for r in requests]
    runs: list[int] = []

    def run(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        runs.append(len(inputs["items"]))
        return tracing.session.run(inputs)

    batcher = Batcher(tracing.codec, run, max_rows=16)

    async def ask() -> Sequence[Any]:
        return await asyncio.gather(*(batcher.answer(r, TIMEOUT_S) for r in requests))

    together = asyncio.run(ask())
    assert batcher.close()
    assert max(runs) > 1, "nothing was batched"
    assert max(runs) <= 16
    for one, other in zip(alone, together, strict=True):
        assert one.steps_used == other.steps_used
        assert one.flags == other.flags
        for a, b in zip(one.predictions, other.predictions, strict=True):
            assert a.flags == b.flags
            assert abs(a.probability - b.probability) <= 1e-6


def test_many_threads_with_loops_of_their_own_all_get_their_own_answers(tracing: Bundle) -> None:
    batcher = Batcher(tracing.codec, tracing.session.run)
    wrong: list[str] = []

    async def ask(thread: int) -> None:
        for round_ in range(5):
            steps = [(thread * 7 + round_ * 3 + i) % 30 for i in range(8)]
            answers = await asyncio.gather(*(batcher.answer(read(tracing, s), TIMEOUT_S) for s in steps))
            for s, answer in zip(steps, answers, strict=True):
                if abs(answer.predictions[0].probability - probability_of(s)) > 1e-6:
                    wrong.append(f"{thread} {s}")

    threads = [threading.Thread(target=lambda n=n: asyncio.run(ask(n))) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    assert batcher.close()
    assert wrong == []


def test_one_request_with_more_rows_than_a_run_may_have_is_answered_whole(tracing: Bundle) -> None:
    model = Slow(tracing)
    model.go.set()
    batcher = Batcher(tracing.codec, model, max_rows=8)
    answer = asyncio.run(batcher.answer(read(tracing, 3, 30), TIMEOUT_S))
    batcher.close()
    assert model.rows == [8, 8, 8, 6]
    assert [p.probability for p in answer.predictions] == pytest.approx([probability_of(3)] * 30, abs=1e-6)


def test_what_waits_goes_into_one_batch_and_a_full_queue_refuses_at_once(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model, max_rows=64, max_waiting=10)

    async def ask() -> tuple[list[Any], float]:
        first = asyncio.create_task(batcher.answer(read(tracing, 1), TIMEOUT_S))
        await asyncio.sleep(0)
        await started(model)
        waiting = [asyncio.create_task(batcher.answer(read(tracing, 2), TIMEOUT_S)) for _ in range(25)]
        await asyncio.sleep(0)
        at = time.monotonic()
        refused = await asyncio.gather(*waiting[10:], return_exceptions=True)
        took = time.monotonic() - at
        model.go.set()
        return [*await asyncio.gather(first, *waiting[:10]), *refused], took

    results, took = asyncio.run(ask())
    assert batcher.close()
    assert took < 1.0, "a refusal must not wait for the model"
    assert [type(r) for r in results[11:]] == [OverloadedError] * 15
    assert all(not isinstance(r, Exception) for r in results[:11])
    assert model.rows == [1, 10]


def test_a_request_that_the_codec_refuses_harms_nobody_in_its_batch(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model)
    bad = tracing.requests.read_plain({"candidates": []})
    worse = read(tracing, 1, correct=7.0)

    async def ask() -> list[Any]:
        first = asyncio.create_task(batcher.answer(read(tracing, 0), TIMEOUT_S))
        await asyncio.sleep(0)
        await started(model)
        tasks = [
            asyncio.create_task(batcher.answer(r, TIMEOUT_S)) for r in (read(tracing, 1), bad, worse, read(tracing, 2))
        ]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    results = asyncio.run(ask())
    batcher.close()
    assert [type(r).__name__ for r in results] == ["Answer", "Answer", "BadRequestError", "BadRequestError", "Answer"]
    assert "candidates is empty" in str(results[2])
    assert results[4].predictions[0].probability == pytest.approx(probability_of(2), abs=1e-6)
    assert model.rows == [1, 2]


def test_a_failing_run_is_repeated_row_by_row_and_only_the_guilty_row_fails(
    tracing: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    hold = threading.Event()
    seen: list[int] = []

    def run(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        assert hold.wait(TIMEOUT_S)
        seen.append(len(inputs["items"]))
        if (inputs["responses"] == 0.25).any():  # the mark of the guilty request
            raise RuntimeError("a name of a student")
        return tracing.session.run(inputs)

    batcher = Batcher(tracing.codec, run)
    requests = [read(tracing, 4), read(tracing, 4), read(tracing, 4, 2, correct=0.25), read(tracing, 4)]

    async def ask() -> list[Any]:
        first = asyncio.create_task(batcher.answer(read(tracing, 0), TIMEOUT_S))
        await asyncio.sleep(0.05)
        tasks = [asyncio.create_task(batcher.answer(r, TIMEOUT_S)) for r in requests]
        await asyncio.sleep(0.05)
        hold.set()
        return await asyncio.gather(first, *tasks, return_exceptions=True)

    results = asyncio.run(ask())
    batcher.close()
    assert [type(r).__name__ for r in results] == ["Answer", "Answer", "Answer", "ModelError", "Answer"]
    assert sorted(seen) == [1, 1, 1, 1, 1, 1, 5]
    assert results[4].predictions[0].probability == pytest.approx(probability_of(4), abs=1e-6)
    assert "a name of a student" not in caplog.text
    assert "RuntimeError while answering, in run:" in caplog.text


def test_a_codec_with_a_bug_harms_only_the_requests_that_meet_it(tracing: Bundle) -> None:
    class Buggy:
        def __getattr__(self, name: str) -> Any:
            return getattr(tracing.codec, name)

        def encode(self, request: Any) -> Any:
            if len(request.history) == 5:
                raise KeyError("a name of a student")
            return [] if len(request.history) == 6 else tracing.codec.encode(request)

        def decode(self, request: Any, rows: Any, outputs: Any) -> Any:
            if len(request.history) == 7:
                raise ZeroDivisionError
            return tracing.codec.decode(request, rows, outputs)

    batcher = Batcher(Buggy(), tracing.session.run)  # type: ignore[arg-type]  # a codec by delegation

    async def ask() -> list[Any]:
        tasks = [batcher.answer(read(tracing, s), TIMEOUT_S) for s in (4, 5, 6, 7, 8)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(ask())
    assert [type(r).__name__ for r in results] == ["Answer", "ModelError", "ModelError", "ModelError", "Answer"]
    assert "student" not in str(results[1])
    assert batcher.close()


def test_a_request_that_waits_too_long_times_out_and_is_not_computed(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model)

    async def ask() -> Any:
        first = asyncio.create_task(batcher.answer(read(tracing, 1), TIMEOUT_S))
        await asyncio.sleep(0)
        await started(model)
        late = [asyncio.create_task(batcher.answer(read(tracing, 2), 0.05)) for _ in range(3)]
        results = await asyncio.gather(*late, return_exceptions=True)
        model.go.set()
        await first
        after = await batcher.answer(read(tracing, 3), TIMEOUT_S)
        return results, after

    results, after = asyncio.run(ask())
    batcher.close()
    assert [type(r) for r in results] == [AnswerTimeoutError] * 3
    assert after.predictions[0].probability == pytest.approx(probability_of(3), abs=1e-6)
    assert model.rows == [1, 1], "the three that timed out were computed all the same"


def test_the_place_of_a_request_that_timed_out_or_was_cancelled_is_free_at_once(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model, max_waiting=2)

    async def ask() -> list[Any]:
        first = asyncio.create_task(batcher.answer(read(tracing, 1), TIMEOUT_S))
        await asyncio.sleep(0)
        await started(model)
        late = asyncio.create_task(batcher.answer(read(tracing, 2), 0.05))
        gone = asyncio.create_task(batcher.answer(read(tracing, 2), TIMEOUT_S))
        await asyncio.sleep(0)
        assert batcher.waiting == 2
        with pytest.raises(OverloadedError):
            await batcher.answer(read(tracing, 3), TIMEOUT_S)
        gone.cancel()
        await asyncio.gather(late, gone, return_exceptions=True)
        assert batcher.waiting == 0, "the model is still at the first"
        others = [asyncio.create_task(batcher.answer(read(tracing, 3), TIMEOUT_S)) for _ in range(2)]
        await asyncio.sleep(0)
        model.go.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(ask())
    batcher.close()
    assert [a.predictions[0].probability for a in answers] == pytest.approx(
        [probability_of(1), probability_of(3), probability_of(3)], abs=1e-6
    )


def test_closing_answers_what_waits_and_refuses_what_comes(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model)

    async def ask() -> list[Any]:
        tasks = [asyncio.create_task(batcher.answer(read(tracing, s), TIMEOUT_S)) for s in (1, 2, 3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close, TIMEOUT_S))
        await asyncio.sleep(0.05)
        with pytest.raises(OverloadedError, match="stopping"):
            await batcher.answer(read(tracing, 1), TIMEOUT_S)
        model.go.set()
        assert await closing
        return await asyncio.gather(*tasks)

    answers = asyncio.run(ask())
    assert [a.steps_used for a in answers] == [1, 2, 3]


def test_closing_with_a_stuck_model_gives_up_and_refuses_what_waits(tracing: Bundle) -> None:
    model = Slow(tracing)
    batcher = Batcher(tracing.codec, model, max_rows=1)

    async def ask() -> list[Any]:
        tasks = [asyncio.create_task(batcher.answer(read(tracing, s), 3.0)) for s in (1, 2, 3)]
        await asyncio.sleep(0)
        await started(model)
        assert not await asyncio.to_thread(batcher.close, 0.1)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(ask())
    model.go.set()
    assert [type(r) for r in results] == [AnswerTimeoutError, OverloadedError, OverloadedError]


def test_a_storm_is_answered_or_refused_and_nothing_hangs(tracing: Bundle) -> None:
    batcher = Batcher(tracing.codec, tracing.session.run, max_rows=16, max_waiting=20)
    source = np.random.default_rng(5)
    kinds: dict[str, int] = {}

    async def one(steps: int, patience: float) -> None:
        try:
            answer = await batcher.answer(read(tracing, steps), patience)
        except ServingError as error:
            kinds[type(error).__name__] = kinds.get(type(error).__name__, 0) + 1
        else:
            assert abs(answer.predictions[0].probability - probability_of(steps)) <= 1e-6
            kinds["Answer"] = kinds.get("Answer", 0) + 1

    async def ask() -> None:
        for _ in range(20):
            steps, patience = source.integers(0, 39, 50), source.choice([1e-4, 5.0], 50)
            await asyncio.gather(*(one(int(s), float(p)) for s, p in zip(steps, patience, strict=True)))

    asyncio.run(asyncio.wait_for(ask(), 60))
    assert batcher.close()
    assert sum(kinds.values()) == 1000
    assert kinds["Answer"] > 0
    assert kinds["OverloadedError"] > 0


def test_one_long_row_does_not_share_a_run_with_short_ones(tracing: Bundle) -> None:
    rows: list[tuple[int, int]] = []

    def run(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        rows.append(inputs["items"].shape)
        return tracing.session.run(inputs)

    hold = Slow(tracing)
    batcher = Batcher(tracing.codec, lambda inputs: run(inputs) if hold.go.is_set() else hold(inputs))

    async def ask() -> None:
        first = asyncio.create_task(batcher.answer(read(tracing, 0), TIMEOUT_S))
        await asyncio.sleep(0)
        await started(hold)
        tasks = [asyncio.create_task(batcher.answer(read(tracing, s), TIMEOUT_S)) for s in (39, 2, 3, 39, 1)]
        await asyncio.sleep(0)
        hold.go.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(ask())
    batcher.close()
    assert rows == [(3, 4), (2, 40)]


def test_the_plan_keeps_every_row_once_and_bounds_padding() -> None:
    source = np.random.default_rng(1)
    job = Job(request=None, loop=None, future=None)  # type: ignore[arg-type]  # the plan looks at sizes only
    places = [Place(job, i, int(size)) for i, size in enumerate(source.integers(1, 200_000, 300))]
    runs = plan(places, 32)
    assert sorted(p.index for run in runs for p in run) == list(range(300))
    for run in runs:
        assert len(run) <= 32
        longest, shortest = max(p.size for p in run), min(p.size for p in run)
        assert longest <= max(64, 2 * shortest)
        assert len(run) == 1 or longest * len(run) <= RUN_ELEMENTS
    assert plan([], 32) == []


def test_refusals_are_the_errors_that_clients_are_told() -> None:
    assert (OverloadedError.status, AnswerTimeoutError.status, ModelError.status) == (503, 504, 500)
    assert BadRequestError("x").status_here == 400
