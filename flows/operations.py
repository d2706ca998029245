"""What the command line and the flows do: run a request, decide on its release, and keep a record of the run."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.app import Application, load_application
from components.artifacts import Artifact, RawFiles
from components.chain import Chain
from components.errors import ConfigError
from components.ingest.collect import collect
from components.stage import Runner, StageEvent
from components.store import Store
from components.upkeep import leases
from flows.notices import tell
from flows.pipeline import Call, run_pipeline
from flows.promotion import promote_if_better
from flows.request import RunRequest
from flows.runs import forget_continued, tell_of_dead_runs
from flows.settings import Settings
from flows.summary import RunSummary


def make_runner(
    settings: Settings,
    application: Application,
    store: Store,
    *,
    refresh: tuple[str, ...] = (),
    dry: bool = False,
    observe: Callable[[StageEvent], None] = lambda event: None,
    say: Callable[[str], None] = lambda line: None,
) -> Runner:
    """Return a stage runner with this installation's store and keys."""
    return Runner(
        store,
        application,
        pseudonym_key=settings.read_pseudonym_key(),
        signing_key=settings.read_signing_key(),
        refresh=refresh,
        dry=dry,
        observe=observe,
        say=say,
    )


def run_request(
    request: RunRequest,
    settings: Settings,
    *,
    wrap: Callable[[Runner], Call] = lambda runner: runner,
    observe: Callable[[StageEvent], None] = lambda event: None,
    say: Callable[[str], None] = lambda line: None,
    flow_run: str = "",
) -> RunSummary:
    """Run an application from raw files to a release, promote the release if it may, and record the run.

    While it runs it holds a lease on the store (`components.upkeep.leases`): others see that it lives, or that it died.

    Args:
        request: what to run.
        settings: where and with whose keys.
        wrap: turns the stage runner into what calls stages, e.g. as Prefect tasks.
        observe: called with every event of a stage.
        say: shows one line of progress.
        flow_run: the id of Prefect's flow run, where there is one.

    Raises:
        PipelineError: anything that is wrong with the data, the configuration, the store or the result.
    """
    from flows.report import write_report  # late: a template engine is not needed to find that nothing changed

    clock = time.perf_counter()
    request = request.absolute()  # what is recorded must mean the same in another folder
    application = load_application(request.application)
    config = application.configuration(request.config, request.overrides)
    store = settings.open_store()
    run = new_run_id()
    tell_of_dead_runs(store, request, say)
    with leases.held(
        store, run=run, application=application.name, request=request.to_json(), flow_run=flow_run
    ) as lease:
        events: list[StageEvent] = []

        def note(event: StageEvent) -> None:
            if event.status != "started":
                events.append(event)
            lease.observe(event)
            observe(event)

        known = set(_decided(store, application.name))
        runner = make_runner(settings, application, store, refresh=request.refresh, observe=note, say=say)
        raw = collect_of(store, request, application.kind)
        outcome = run_pipeline(wrap(runner), application.kind, raw, config)
        decision = promote_if_better(
            store,
            application,
            outcome,
            signing_key=settings.trusted_keys(),
            config=config.deploy,
            by=f"run {run}",
        )
        folder = (store.local_root or store.cache) / "runs" / run
        summary = RunSummary(
            run=run,
            request=request,
            store=store.url,
            outcome=outcome,
            decision=decision,
            stages=tuple(events),
            seconds=time.perf_counter() - clock,
            report=str(folder / "report.html"),
            scores=_read(store, outcome.evaluation, "metrics.json"),
            groups=_read(store, outcome.fairness, "groups.json"),
        )
        write_report(summary, store, folder, earlier=_latest_report(store, application.name))
        store.write_record(f"runs/{application.name}/{run}.json", summary.to_json())
        if f"{decision.version}/{decision.decided}" not in known:  # else it stands as it did, and was told then
            tell(settings, application.name, decision.status, decision.version, decision.reason, say)
    forget_continued(store, request)
    return summary


def collect_of(store: Store, request: RunRequest, chain: Chain, *, record: bool = True) -> RawFiles:
    """Return a handle on the raw files of a request, teachers' overrides among them.

    Raises:
        ConfigError: overrides are given for data that have none.
        PipelineError: what `collect` raises.
    """
    if request.teacher_overrides and not chain.takes_overrides:
        raise ConfigError(
            f"--overrides was given {len(request.teacher_overrides)} time(s), but {request.application} learns from "
            f"{chain.title}, which have no scores that teachers override. Leave it out."
        )
    data, test_data, valid_data = request.data, request.test_data, request.valid_data
    return collect(store, data, test_data, valid_data, overrides=request.teacher_overrides, record=record)


def new_run_id() -> str:
    """Return an id for a run that starts now; ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def _decided(store: Store, application: str) -> list[str]:
    """Return version and time of all decisions on an application's releases."""
    paths = store.list_records(f"releases/{application}/decisions")
    return ["/".join(path.removesuffix(".json").split("/")[-2:]) for path in paths]


def _read(store: Store, artifact: Artifact, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((store.folder(artifact) / name).read_text(encoding="utf-8"))
    return found


def _latest_report(store: Store, application: str) -> Path | None:
    """Return the folder of the report of the application's latest finished run, which may be on another machine."""
    names = store.list_records(f"runs/{application}")
    record = store.read_record(names[-1]) if names else None
    return Path(record["report"]).parent if isinstance(record, dict) and record.get("report") else None


def latest_request(store: Store, application: str) -> RunRequest | None:
    """Return what the application's latest finished run was asked, or None."""
    names = store.list_records(f"runs/{application}")
    record = store.read_record(names[-1]) if names else None
    return RunRequest.from_json(record["request"]) if record else None
