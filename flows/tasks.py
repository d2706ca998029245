"""Stages as Prefect tasks, and the flow that every application runs as; the only place that turns stages into tasks.

Prefect gives scheduling, retries, time limits and the web view. Skipping is the stage runner's, so Prefect's own
caching is off. Retries only where the outside world is involved.
"""

# ruff: noqa: E402  # the first statement must come before Prefect is imported, also from a user's own flow
from flows.privacy import refuse_tracking

refuse_tracking()

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.task_engine import TaskRunTimeoutError

from components.artifacts import Artifact
from components.errors import ArtifactMissingError, ConfigError, DigestMismatchError
from components.stage import Runner, StageEvent, spec_of
from flows import crashes
from flows.artifacts import publish_report
from flows.failures import RunTimeoutError, UnforeseenError, text_withheld
from flows.forks import leave_prefect_to_the_parent
from flows.guard import guard_temporary_server
from flows.operations import run_request
from flows.pipeline import Call
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary

leave_prefect_to_the_parent()
A = TypeVar("A", bound=Artifact)

RETRIES = {"ingest": 2, "deploy": 2}
"""Stages that read or write the outside world; the others fail the same way again."""
RETRY_DELAY_S = 5
TIMEOUT_S = {"train": 24 * 3600}
DEFAULT_TIMEOUT_S = 4 * 3600
GOES_ON = (
    "The same request goes on from there; where a run needs longer, raise run_timeout_s of homeroom.toml "
    "(HOMEROOM_RUN_TIMEOUT_S)."
)
SERVER_BACK_S = 60.0
"""How long a finished run waits for a Prefect server that went away, to report to it."""
SERVER_ANSWER_S = 5.0
SLOT_S = 90.0
"""How long the slot of a run that was killed stays taken; Prefect's own 300 s would be what the next training waits."""


class TaskRunner:
    """Calls each stage as a Prefect task, with a stage Runner inside: `run(ingest, raw, config.ingest)`."""

    def __init__(self, runner: Runner, train_limit: str | None = None, timeout_s: float | None = None) -> None:
        self._runner = runner
        self._train_limit = train_limit
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s

    def __call__(self, function: Callable[..., A], /, *args: Any) -> A:  # Any: handles and configurations of any kind
        """Run one stage as a task of the flow that is running."""
        name = spec_of(function).name
        runner = self._runner
        limit = self._train_limit if name == "train" else None
        most_s = TIMEOUT_S.get(name, DEFAULT_TIMEOUT_S)
        left_s = self._left_s(most_s)

        # A closure, so that handles, configurations and keys never become task parameters that a server keeps.
        @task(
            name=name,
            retries=RETRIES.get(name, 0),
            retry_delay_seconds=RETRY_DELAY_S,
            retry_condition_fn=_is_worth_retrying,
            timeout_seconds=left_s,
            cache_policy=NO_CACHE,
            persist_result=False,
        )
        def stage_task() -> A:
            with _slot(limit), text_withheld():
                return runner(function, *args)

        try:
            return stage_task()
        except TaskRunTimeoutError:
            what = f"its limit, {most_s:g} s"
            if left_s < most_s:
                what = f"what was left of the run's limit, {self._timeout_s:g} s"
            raise RunTimeoutError(f"Stage {name} took longer than {what}. {GOES_ON}") from None

    def _left_s(self, most_s: float) -> float:
        """Return how long the next stage may take: its own limit, or what is left of the run's.

        Not a limit of the flow: it would take the alarm by which Prefect 3.8.8 ends what a task waits for, so that the
        stages' own limits would no longer end a training.

        Raises:
            RunTimeoutError: nothing is left.
        """
        if self._end is None:
            return most_s
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise RunTimeoutError(f"The run took longer than its limit of {self._timeout_s:g} s. {GOES_ON}")
        return min(most_s, left_s)


@contextlib.contextmanager
def _slot(limit: str | None) -> Iterator[None]:
    """Hold a slot of a limit at Prefect's server, waiting until one is free; no limit named, nothing is held.

    Raises:
        ConfigError: the server has no such limit. Prefect would let the work pass in silence.
    """
    if limit is None:
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            # A server that goes away for a while must not end a training.
            held.enter_context(
                concurrency(limit, strict=True, lease_duration=SLOT_S, raise_on_lease_renewal_failure=False)
            )
        except ConcurrencySlotAcquisitionError:
            raise ConfigError(
                f"Prefect's server gives no slot of {limit!r}, which HOMEROOM_TRAIN_LIMIT names; expected a limit that "
                "exists. `homeroom up` makes it; or unset HOMEROOM_TRAIN_LIMIT."
            ) from None
        yield


def _is_worth_retrying(task: Any, task_run: Any, state: State[Any]) -> bool:  # Any: Prefect's own, not looked at
    """Return whether the outside world failed; wrong data or a wrong configuration stay wrong."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, UnforeseenError):
        error = error.original
    # A stage that took too long (an OSError, as Python's TimeoutError is) would do so again.
    wrong = ArtifactMissingError | DigestMismatchError | TaskRunTimeoutError
    return isinstance(error, OSError) and not isinstance(error, wrong)


def as_tasks(runner: Runner, train_limit: str | None = None, timeout_s: float | None = None) -> Call:
    """Return a Call that runs stages as Prefect tasks; for flows of your own.

    Args:
        runner: runs the stages.
        train_limit: name of a limit at Prefect's server that training takes a slot of.
        timeout_s: how long all stages together may take, from now on.
    """
    return TaskRunner(runner, train_limit, timeout_s)


@flow(name="homeroom", log_prints=False, persist_result=False)
def application_flow(
    application: str,
    data: list[str],
    test_data: list[str] | None = None,
    config: str = "small",
    overrides: list[str] | None = None,
    refresh: list[str] | None = None,
    valid_data: list[str] | None = None,
    teacher_overrides: list[str] | None = None,
    reason: str = "",
) -> dict[str, Any]:  # Any: the run's summary, plain JSON
    """Run an application from raw logs to a release; the parameters are those of `homeroom run`."""
    request = RunRequest(
        application=application,
        data=tuple(data),
        test_data=tuple(test_data or ()),
        valid_data=tuple(valid_data or ()),
        teacher_overrides=tuple(teacher_overrides or ()),
        config=config,
        overrides=tuple(overrides or ()),
        refresh=tuple(refresh or ()),
        reason=reason,
    )
    with text_withheld():
        return run_as_tasks(request, Settings()).to_json()


def run_as_tasks(
    request: RunRequest,
    settings: Settings,
    *,
    observe: Callable[[StageEvent], None] = lambda event: None,
    say: Callable[[str], None] = lambda line: None,
) -> RunSummary:
    """Run a request inside the flow that is running, each stage a task; the server hears that the run lives."""
    context = FlowRunContext.get()
    flow_run = "" if context is None or context.flow_run is None else str(context.flow_run.id)
    _look_after_crashes(settings, say)  # before the first heartbeat, which the automation must hear
    with crashes.heartbeats():
        wrap = functools.partial(as_tasks, train_limit=settings.train_limit, timeout_s=settings.run_timeout_s)
        summary = run_request(request, settings, wrap=wrap, observe=observe, say=say, flow_run=flow_run)
        if flow_run:
            publish_report(summary, say)
        return summary


def _look_after_crashes(settings: Settings, say: Callable[[str], None]) -> None:
    """See that dead runs are marked Crashed, now and from now on; a server that refuses stops no run."""
    try:
        marked = crashes.mark_dead_runs(settings.open_store())
        if crashes.has_lasting_server():
            crashes.install(only_missing=True)
    except Exception as error:  # whatever Prefect or the way to it raises; the run needs none of it
        say(f"Prefect's server did not let dead runs be marked ({type(error).__name__}); see `homeroom doctor`")
    else:
        if marked:
            say(f"marked {marked} run(s) Crashed in Prefect: their processes are gone")


def run_as_flow(
    request: RunRequest,
    settings: Settings,
    *,
    observe: Callable[[StageEvent], None],
    say: Callable[[str], None],
) -> RunSummary:
    """Run a request as a flow of its own in this process.

    Stages need no server while they run. So a run whose server goes away is finished all the same, and says so.

    Raises:
        ConfigError: Prefect's server went away before the first stage.
    """
    ended: list[RunSummary | Exception] = []
    with contextlib.ExitStack() as until_reported:

        @flow(name="homeroom", flow_run_name=request.application, log_prints=False, persist_result=False)
        def here() -> RunSummary:
            try:
                with text_withheld():
                    summary = run_as_tasks(request, settings, observe=observe, say=say)
            except Exception as error:
                ended.append(error)
                raise
            else:
                ended.append(summary)
                return summary
            finally:
                if not _server_answers(say):
                    # Prefect would try for two minutes more, first to report the end and then to report its failure,
                    # and then at each of the events that wait.
                    until_reported.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))
                    crashes.drop_events()

        if not crashes.has_lasting_server():
            guard_temporary_server()
        try:
            return here()
        except httpx.TransportError as error:
            if not ended:
                raise ConfigError(
                    f"Prefect's server went away before the run began ({type(error).__name__}). Start it again "
                    "(`prefect server start`), unset PREFECT_API_URL, or run without it: --no-prefect."
                ) from error
            if isinstance(ended[0], Exception):
                raise ended[0] from None
            crashes.drop_events()
            say("Prefect's server went away; the run is finished and recorded in the store, but not in Prefect")
            return ended[0]


def _server_answers(say: Callable[[str], None]) -> bool:
    """Return whether the server of the flow that is running answers, waiting a while for one that may come back."""
    context = FlowRunContext.get()
    if context is None or context.client is None:
        return True
    lasting = crashes.has_lasting_server()
    end = time.monotonic() + (SERVER_BACK_S if lasting else 0.0)
    url = f"{str(context.client.api_url).rstrip('/')}/health"
    told = False
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=SERVER_ANSWER_S).is_success:
                return True
        if time.monotonic() >= end:
            return False
        if not told:
            say(f"Prefect's server does not answer; waiting up to {SERVER_BACK_S:.0f} s to report to it")
            told = True
        time.sleep(1.0)
