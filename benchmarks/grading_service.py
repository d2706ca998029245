"""A grading release behind its service: the same scores as offline, how long one essay takes, a hundred at once.

    HOMEROOM_DATA=DATA python -m benchmarks.grading_service [--config kernel] [--fold 0] [--essays 1000]

A whole run on a published fold of ASAP-AES, from the raw file to a signed release, which `bentoml serve` then answers
with in one worker. Essays of the test split go to it one at a time over one connection and, in another pass, a hundred
in a request; each answer is compared with what the run's evaluation predicted for that essay. Client and server run on
loopback and share the machine.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import psutil

from benchmarks.machine import processor_name
from benchmarks.serve import cpu_seconds
from benchmarks.writing_sets import FOLDS, data_folder
from components.schema import PREDICTIONS
from components.writing.schema import RESPONSES
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from serving.run import start

AT_ONCE = 100
WARM = 20
LIMIT_S = 120.0
MOST_APART = 1e-5
"""Points of the rubric between the score before rounding as served and offline."""
MOST_P50_MS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What one way of asking gave."""

    seconds: tuple[float, ...]
    """Of each request."""
    cpu_s: float
    """Of the server's processes, in all."""
    answers: tuple[dict[str, Any], ...]  # Any: parsed JSON


def asap_request(config: str, fold: int) -> RunRequest:
    """Return the run on a published fold, with its three lists of ids."""
    root = data_folder() / "asap-aes"
    ids = root / "nea_folds" / f"fold_{fold}"
    return RunRequest(
        application="essay_grading",
        data=(str(root / "training_set_rel3.tsv.gz"), str(ids / "train_ids.txt")),
        valid_data=(str(ids / "dev_ids.txt"),),
        test_data=(str(ids / "test_ids.txt"),),
        config=config,
    )


def ask(client: httpx.Client, server: psutil.Process, path: str, bodies: Sequence[Any]) -> Passed:
    """Send the bodies one after the other."""
    seconds, answers = [], []
    before = cpu_seconds(server)
    for body in bodies:
        begin = time.perf_counter()
        answer = client.post(path, json=body)
        seconds.append(time.perf_counter() - begin)
        answer.raise_for_status()
        found = answer.json()
        answers += [one["answer"] for one in found["results"]] if "results" in found else [found["answer"]]
    return Passed(seconds=tuple(seconds), cpu_s=cpu_seconds(server) - before, answers=tuple(answers))


def apart(offline: pl.DataFrame, answers: Sequence[dict[str, Any]]) -> tuple[int, int, float]:
    """Return how many abstentions and rounded scores differ, and the largest difference before rounding, in points."""
    abstained = scores = 0
    worst = 0.0
    for row, answer in zip(offline.iter_rows(named=True), answers, strict=True):
        reason = answer["abstained"]
        if (reason is None) != (row["abstained"] is None):
            abstained += 1
        elif reason is None:
            scores += answer["score"] != row["rounded"]
            worst = max(worst, abs(answer["raw"] - row["prediction"]))
    return abstained, scores, worst


def main() -> int:
    """Measure and print; the exit status says whether the goals were reached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", default="kernel", help="a configuration of essay_grading")
    parser.add_argument("--fold", type=int, default=0, choices=range(FOLDS))
    parser.add_argument("--essays", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        settings = Settings(store=str(home / "store"), cache=home / "cache", keys=home / "keys")
        outcome = run_request(asap_request(options.config, options.fold), settings).outcome
        store = settings.open_store()
        texts = pl.read_parquet(store.folder(outcome.logs) / RESPONSES, columns=["response", "prompt", "text"])
        offline = (
            pl.read_parquet(store.folder(outcome.evaluation) / PREDICTIONS)
            .join(texts, on=["response", "prompt"], how="inner", maintain_order="left")
            .sample(options.essays, seed=0, shuffle=True)
        )
        plain = [{"prompt": row["prompt"], "text": row["text"]} for row in offline.iter_rows(named=True)]
        explained = [{**body, "explain": True} for body in plain]
        lists = [plain[at : at + AT_ONCE] for at in range(0, len(plain), AT_ONCE)]
        with start(store.folder(outcome.release), key_file=settings.release_key_file()) as service:
            server = psutil.Process(service.process.pid)
            with httpx.Client(base_url=service.url, timeout=LIMIT_S) as client:
                ask(client, server, "/v1/predict", explained[:WARM])
                single = ask(client, server, "/v1/predict", plain)
                feedback = ask(client, server, "/v1/predict", explained)
                bulk = ask(client, server, "/v1/predict/batch", lists)
    return report(options.config, offline, {"one essay": single, "one with feedback": feedback, "100 essays": bulk})


def report(config: str, offline: pl.DataFrame, passes: dict[str, Passed]) -> int:
    """Print the table and return how many goals were missed."""
    sys.stdout.write(f"{processor_name()}, {config} grader, {offline.height} essays\n")
    missed = 0
    for name, passed in passes.items():
        cuts = statistics.quantiles(passed.seconds, n=100, method="inclusive")
        each = passed.cpu_s / offline.height * 1e3
        sys.stdout.write(
            f"{name:18} p50 {cuts[49] * 1e3:8.1f} ms  p95 {cuts[94] * 1e3:8.1f} ms a request, "
            f"{each:.1f} ms of server CPU an essay\n"
        )
        abstained, scores, worst = apart(offline, passed.answers)
        kept = not abstained and not scores and worst <= MOST_APART
        missed += not kept
        sys.stdout.write(
            f"  against offline: {abstained} abstentions and {scores} scores differ, raw at most {worst:.1e} points"
            f"{'' if kept else '   MISSED'}\n"
        )
    p50 = statistics.median(passes["one essay"].seconds) * 1e3
    if config == "kernel":
        kept = p50 <= MOST_P50_MS
        missed += not kept
        sys.stdout.write(
            f"one essay, median {p50:.1f} ms (goal at most {MOST_P50_MS:g}){'' if kept else '   MISSED'}\n"
        )
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
