"""A district over some weeks: what its source delivers, what goes wrong, and clients that never stop asking."""

import contextlib
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


@dataclass(frozen=True)
class Asked:
    """One request of a client."""

    sent: float
    received: float
    status: int
    """0 where the connection failed."""
    release: str


@dataclass(frozen=True)
class Reign:
    """A release that serves: from when at the earliest, and from when on nobody else does."""

    release: str
    begin: float
    complete: float


@dataclass
class Load:
    """What clients saw."""

    asked: list[Asked] = field(default_factory=list)

    @property
    def failures(self) -> list[int]:
        return [one.status for one in self.asked if one.status != 200]

    def strays(self, reigns: Sequence[Reign]) -> list[Asked]:
        """Return the answers of a release that did not serve when it was asked."""
        nexts = [reign.complete for reign in reigns[1:]] + [float("inf")]
        return [
            one
            for one in self.asked
            if not any(
                one.release == reign.release and one.received >= reign.begin and one.sent <= over
                for reign, over in zip(reigns, nexts, strict=True)
            )
        ]

    def seen(self) -> set[str]:
        return {one.release for one in self.asked}


@contextmanager
def asking(url: str, requests: Sequence[dict[str, Any]], clients: int, pause_s: float) -> Iterator[Load]:
    """Let clients ask again and again until the end of the block."""
    load, over = Load(), threading.Event()

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            for request in cycle(requests):
                if over.wait(pause_s):
                    return
                sent, status, release = time.monotonic(), 0, ""
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    answer = client.post(f"{url}/v1/predict", content=json.dumps(request))
                    status, release = answer.status_code, answer.json().get("release", "")
                load.asked.append(Asked(sent, time.monotonic(), status, release))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()
