"""A district over some weeks: what its source delivers, what goes wrong, and clients that never stop asking."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import numpy as np
import polars as pl

from components.simulate.config import SimulateConfig
from components.simulate.model import simulate_answers
from components.simulate.tables import answers_table
from serving.canary import HEADER

STUDENTS = 200
"""New students of a week."""
CROWD = 1000
"""Students whose logs are never delivered, and who ask the service; a window of the watch needs about half of them."""
REQUESTS = 3000
BIASED_GROUP = "b"


class District:
    """Delivers a file a week into one folder, each with students of its own in one and the same school.

    Args:
        folder: for the files.
        weeks: how many will be delivered.
    """

    def __init__(self, folder: Path, weeks: int) -> None:
        config = SimulateConfig(
            students=STUDENTS * weeks + CROWD,
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
        self._weeks = weeks
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

    def crowd(self) -> "Crowd":
        """Return the requests of students who are in no file, as a tutoring system sends them; drawn answer by answer.

        Like those that a release's reference is made of: an answer that a student is about to give, and all before it.
        """
        rows = self._answers.filter(pl.col("week") > self._weeks).sort("student", maintain_order=True)
        skills = rows["skills"].str.split(";").to_list()
        steps = list(zip(rows["item"].to_list(), skills, rows["correct"].to_list(), strict=True))
        students = rows["student"].to_list()
        first = {name: at for at, name in reversed(list(enumerate(students)))}
        begins = np.array([first[name] for name in students])
        drawn = self._source.choice(np.flatnonzero(np.arange(len(begins)) > begins), REQUESTS, replace=False)
        coins = self._source.integers(0, 2, len(begins))
        usual: list[tuple[str, str]] = []
        strict: list[tuple[str, str]] = []
        for at in drawn.tolist():
            own = range(int(begins[at]), at)
            item, skills_of, _ = steps[at]
            for asked, marks in ((usual, [steps[i][2] for i in own]), (strict, [steps[i][2] * coins[i] for i in own])):
                history = [
                    {"item": steps[i][0], "skills": steps[i][1], "correct": float(mark)}
                    for i, mark in zip(own, marks, strict=True)
                ]
                body = {"candidates": [{"item": item, "skills": skills_of}], "history": history}
                asked.append((students[at], json.dumps(body)))
        return Crowd(usual, strict)

    def _of(self, week: int) -> pl.DataFrame:
        return self._answers.filter(pl.col("week") == week).drop("week")

    def _write(self, week: int, rows: pl.DataFrame) -> Path:
        path = self.folder / f"week{week}.parquet"
        rows.write_parquet(path)
        return path


@dataclass
class Crowd:
    """Many students' requests: (pseudonym, body)."""

    usual: Sequence[tuple[str, str]]
    strict: Sequence[tuple[str, str]]
    """The same, with half of the right answers in the histories marked wrong."""
    is_strict: bool = False

    def request(self, number: int) -> tuple[str, str]:
        """Return one of them; another for each number, in turns."""
        chosen = self.strict if self.is_strict else self.usual
        return chosen[number % len(chosen)]


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

    def overlaps(self, starts: Sequence[tuple[str, float]]) -> list[float]:
        """Return for each release but the first how long after its entry in the log the one before it still answered.

        Args:
            starts: release and time of its entry, oldest first.
        """
        found = []
        until = [at for _, at in starts[2:]] + [float("inf")]
        for (former, _), (_, since), over in zip(starts, starts[1:], until, strict=False):
            last = [one.received for one in self.asked if one.release == former and since < one.received < over]
            found.append(max(last, default=since) - since)
        return found

    def seen(self) -> set[str]:
        return {one.release for one in self.asked}


@contextmanager
def asking(url: str, crowd: Crowd, clients: int, pause_s: float) -> Iterator[Load]:
    """Let clients ask again and again until the end of the block, each for its share of the students."""
    load, over = Load(), threading.Event()

    def ask(first: int) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            for number in count(first, clients):
                if over.wait(pause_s):
                    return
                student, body = crowd.request(number)
                sent, status, release = time.monotonic(), 0, ""
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    answer = client.post(f"{url}/v1/predict", content=body, headers={HEADER: student})
                    status, release = answer.status_code, answer.json().get("release", "")
                load.asked.append(Asked(sent, time.monotonic(), status, release))

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()
