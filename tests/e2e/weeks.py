"""A district over some weeks: what its source delivers, what goes wrong, and clients that never stop asking."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl

from components.simulate.config import SimulateConfig
from components.simulate.model import simulate_answers
from components.simulate.tables import answers_table

STUDENTS = 200
"""New students of a week."""
BIASED_GROUP = "b"
PAUSE_S = 0.02


class District:
    """Delivers a file a week into one folder, each with students of its own in one and the same school.

    Args:
        folder: for the files.
        weeks: how many will be delivered.
    """

    def __init__(self, folder: Path, weeks: int) -> None:
        config = SimulateConfig(
            students=STUDENTS * weeks,
            items=60,
            answers_min=20,
            answers_max=40,
            ability_sd=2.0,
            difficulty_sd=2.0,
            seed=8,
        )
        answers = answers_table(config, simulate_answers(config))
        students = answers["student"].unique(maintain_order=True)
        number = pl.DataFrame({"student": students, "week": np.arange(len(students)) // STUDENTS + 1})
        self._answers = answers.join(number, on="student", maintain_order="left")
        self._source = np.random.default_rng(0)
        self.folder = folder
        folder.mkdir()

    def deliver(self, week: int) -> Path:
        """Write the week's file as it should be."""
        return self._write(week, self._of(week))

    def deliver_biased(self, week: int) -> None:
        """Deliver this week and all before it with the marks of one group drawn by chance: a fault of the source."""
        for one in range(1, week + 1):
            rows = self._of(one)
            coins = pl.Series(self._source.integers(0, 2, rows.height))
            spoilt = pl.when(pl.col("group_group") == BIASED_GROUP).then(coins).otherwise(pl.col("correct"))
            self._write(one, rows.with_columns(spoilt.cast(rows.schema["correct"]).alias("correct")))

    def deliver_drifted(self, week: int) -> None:
        """Deliver this week with half of the right answers marked wrong, as under a stricter rule for everybody."""
        rows = self._of(week)
        strict = pl.col("correct") * pl.Series(self._source.integers(0, 2, rows.height))
        self._write(week, rows.with_columns(strict.cast(rows.schema["correct"]).alias("correct")))

    def deliver_nothing(self, week: int) -> None:
        """Deliver a file with a header and no rows."""
        self._write(week, self._of(week).head(0))

    def deliver_corrupt(self, week: int) -> None:
        """Deliver half of the file, as a broken upload leaves it."""
        path = self.deliver(week)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def _of(self, week: int) -> pl.DataFrame:
        return self._answers.filter(pl.col("week") == week).drop("week")

    def _write(self, week: int, rows: pl.DataFrame) -> Path:
        path = self.folder / f"week{week}.parquet"
        rows.write_parquet(path)
        return path


@dataclass
class Load:
    """What clients saw."""

    answers: list[tuple[float, int, str]] = field(default_factory=list)
    """Time, status and release of each answer; status 0 where the connection failed."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, status: int, release: str) -> None:
        with self.lock:
            self.answers.append((time.monotonic(), status, release))

    @property
    def failures(self) -> list[int]:
        return [status for _, status, _ in self.answers if status != 200]

    def releases(self) -> list[str]:
        """Return the releases in the order in which they answered, repeats left out."""
        out: list[str] = []
        for _, status, release in self.answers:
            if status == 200 and release not in out[-1:]:
                out.append(release)
        return out

    def wait_for(self, release: str, seconds: float) -> float:
        """Return how long it took until a client was answered by this release."""
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            with self.lock:
                if self.answers and self.answers[-1][2] == release:
                    return time.monotonic() - begin
            time.sleep(0.02)
        raise AssertionError(f"no answer of {release} within {seconds} s")


@contextmanager
def asking(url: str, requests: Sequence[dict[str, Any]]) -> Iterator[Load]:
    """Let one client ask again and again; it stops at the end of the block."""
    load, over = Load(), threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            for request in cycle(requests):
                if over.wait(PAUSE_S):
                    return
                try:
                    answer = client.post(f"{url}/v1/predict", content=json.dumps(request))
                    load.add(answer.status_code, answer.json().get("release", ""))
                except (httpx.HTTPError, ValueError):
                    load.add(0, "")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield load
    finally:
        over.set()
        thread.join()
