"""What the gate finds out about a packaged release: its data, its model's parity, and the golden requests, asked."""

import asyncio
import itertools
import json
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.bundle import read_bundle_manifest
from components.errors import PipelineError
from components.gate.decision import Finding
from components.signing import Key, key_lines, trusted, write_line
from components.store import Store
from flows.judging import error_finding
from flows.pipeline import Outcome

ASKED = 64
"""So many requests are asked for the latency at least, the golden ones in turn."""
PREDICT = "/predict"
PACKAGED = ("ingest", "export", "replay")
"""What is looked at; an error finding names one of these."""


def packaged_findings(
    store: Store,
    outcome: Outcome,
    *,
    signing_key: Key,
    config: Any,  # the application's configuration of a release
) -> list[Finding]:
    """Return the findings on the data contract, ONNX parity, replay and latency. Never raises: fails closed."""
    found: list[Finding] = []
    looks: dict[str, Callable[[], list[Finding]]] = {
        "ingest": lambda: [data_finding(store, outcome)],
        "export": lambda: [parity_finding(store, outcome)],
        "replay": lambda: replay_findings(store, outcome, signing_key, config),
    }
    for name, look in looks.items():
        try:
            found += look()
        except Exception as error:  # whatever is wrong, it is no pass
            said = f"{type(error).__name__}: {error}" if isinstance(error, PipelineError) else type(error).__name__
            found.append(error_finding(name, f"it cannot be judged ({said})"))
    return found


def data_finding(store: Store, outcome: Outcome) -> Finding:
    """Return whether the share of rows in quarantine is within `ingest.quarantine_limit`, from ingest's own report.

    Rows that were delivered before are no loss and count nowhere, as in ingest.
    """
    report = json.loads((store.folder(outcome.logs) / "report.json").read_text(encoding="utf-8"))
    limit = float(outcome.logs.lineage.config["quarantine_limit"])
    again = int(report.get("rows_duplicate", 0))
    rows, lost = int(report["rows_in"]) - again, int(report["rows_quarantined"]) - again
    share = lost / rows if rows > 0 else 1.0
    reasons = ", ".join(f"{reason} {count}" for reason, count in report["reasons"].items())
    return Finding(
        check="data",
        subject="all",
        measure="quarantined",
        value=share,
        limit=limit,
        outcome="pass" if share <= limit else "stop",
        reason=f"{lost} of {rows} rows are in quarantine ({share:.2%}), allowed are {limit:.2%}"
        + (f": {reasons}" if lost else ""),
    )


def parity_finding(store: Store, outcome: Outcome) -> Finding:
    """Return whether the exported models answer as torch does, from export's own comparisons."""
    report = json.loads((store.folder(outcome.onnx) / "parity.json").read_text(encoding="utf-8"))
    kinds = [("checks", "tolerance", "ONNX")]
    if outcome.onnx.int8_max_abs_error is not None:
        kinds.append(("int8_checks", "int8_tolerance", "8-bit"))
    said, worst, is_good = [], 0.0, True
    for checks, tolerance, name in kinds:
        errors = [float(one["max_abs_error"]) for one in report[checks]]
        limit = float(report[tolerance])
        is_good &= bool(errors) and all(error <= limit for error in errors)  # not a number is no pass
        finite = [error for error in errors if math.isfinite(error)]
        worst = max([worst, *finite]) if name == "ONNX" else worst
        said.append(
            f"{name} is at most {max(finite, default=0.0):.1e} from torch in {len(errors)} comparisons, allowed is "
            f"{limit:g}"
        )
    return Finding(
        check="parity",
        subject="all",
        measure="max_abs_error",
        value=worst,
        limit=float(report["tolerance"]),
        outcome="pass" if is_good else "stop",
        reason="; ".join(said),
    )


def replay_findings(
    store: Store,
    outcome: Outcome,
    signing_key: Key,
    config: Any,  # as above
) -> list[Finding]:
    """Return whether the packaged service gives the golden answers, and how fast."""
    way, budget_ms = config.replay, config.latency_budget_ms
    if way == "off":
        reason = "the golden requests were not asked of the packaged service (deploy.replay=off)"
        return [Finding(check="replay", subject="all", measure="golden", outcome="warn", reason=reason)]
    folder = store.folder(outcome.release)
    manifest = read_bundle_manifest(folder, signing_key)
    golden = json.loads(manifest.read("golden.json"))
    requests = list(golden["requests"])
    if not requests or len(requests) != len(golden["answers"]):
        raise PipelineError("golden.json has no requests, or not as many answers; make the release again.")
    if way == "service":
        with store.scratch() as scratch:
            write_line(scratch / "keys", *key_lines(trusted(signing_key)), mode=0o600)
            with _service(folder, scratch / "keys") as ask:
                answers, taken_ms = _run(_asked(ask, requests))
    else:
        answers, taken_ms = _in_process(folder, requests)
    return [
        _same(golden["answers"], answers, manifest.golden_tolerance, way),
        _fast(taken_ms, budget_ms, way),
    ]


Asked = tuple[list[tuple[int, Any]], list[float]]
"""Status and answer of each request, and how long each took, in milliseconds."""
Ask = Callable[[Any], Awaitable[tuple[int, Any]]]
"""Asks one request; returns the status and the parsed answer."""


def _run(asking: Coroutine[Any, Any, Asked]) -> Asked:
    """Run it in a thread of its own: whoever decides may have an event loop that is at work."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asking).result()


async def _asked(ask: Ask, requests: list[Any]) -> Asked:
    """Return the answers to all requests, and how long each of `ASKED` or more took, in milliseconds."""
    answers = [await ask(request) for request in requests]  # they warm it as well
    taken_ms = []
    for request in itertools.islice(itertools.cycle(requests), max(ASKED, len(requests))):
        clock = time.perf_counter()
        await ask(request)
        taken_ms.append(1e3 * (time.perf_counter() - clock))
    return answers, taken_ms


def _in_process(folder: Path, requests: list[Any]) -> Asked:
    """Ask the service's routes in this process, as a server's worker has them."""
    import httpx  # late: a run that has nothing to decide needs none of it

    from serving.http import Api
    from serving.live import go_live
    from serving.settings import ServiceSettings

    # Not what the environment says of the server that serves: only the limits are alike.
    settings = ServiceSettings(
        release=folder, release_key=None, serve_overrides=None, serve_gate_override=None, serve_pseudonym_key=None
    )
    live = go_live(settings)
    app = Api(live)

    async def run() -> Asked:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://replay") as client:

            async def ask(request: Any) -> tuple[int, Any]:
                response = await client.post(PREDICT, json=request)
                return response.status_code, response.json()

            return await _asked(ask, requests)

    try:
        return _run(run())
    finally:
        live.close()


@contextmanager
def _service(folder: Path, keys: Path) -> Iterator[Ask]:
    """Start a whole server from the release, and ask it over the loopback."""
    import httpx  # late, as above

    from serving.run import start

    with start(folder, key_file=keys) as server, httpx.Client(timeout=60.0, trust_env=False) as client:

        async def ask(request: Any) -> tuple[int, Any]:
            response = client.post(f"{server.url}/v1{PREDICT}", json=request)
            return response.status_code, response.json()

        yield ask


def _same(expected: list[Any], answers: list[tuple[int, Any]], tolerance: float, way: str) -> Finding:
    from serving.health import differences  # late, as above

    problems = []
    for number, (wanted, (status, answer)) in enumerate(zip(expected, answers, strict=True)):
        if status != 200:
            problems.append(f"golden request {number} was answered with status {status}")
            continue
        problems += [
            f"golden request {number}: {one}"
            for one in itertools.islice(differences(wanted, answer.get("answer"), tolerance), 1)
        ]
    where = "a server started from the release" if way == "service" else "the service's routes"
    return Finding(
        check="replay",
        subject="all",
        measure="golden",
        value=float(len(problems)),
        limit=0.0,
        outcome="stop" if problems else "pass",
        reason=f"{where} gave {len(answers) - len(problems)} of {len(answers)} golden answers"
        + (f"; {'; '.join(problems[:3])}" if problems else ""),
    )


def _fast(taken_ms: list[float], budget_ms: float, way: str) -> Finding:
    ordered = sorted(taken_ms)
    p95_ms = ordered[math.ceil(0.95 * len(ordered)) - 1]
    where = "over the loopback" if way == "service" else "in process"
    said = f"95 % of {len(ordered)} requests, one after the other {where}, took at most {p95_ms:.1f} ms"
    return Finding(
        check="latency",
        subject="all",
        measure="p95_ms",
        value=p95_ms,
        limit=budget_ms or None,
        outcome="pass" if budget_ms == 0 or p95_ms <= budget_ms else "stop",
        reason=f"{said}, allowed are {budget_ms:g} ms" if budget_ms else f"{said}; there is no limit",
    )
