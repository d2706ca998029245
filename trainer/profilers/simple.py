"""How long each action took, and how often it ran."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from trainer.profilers.profiler import Profiler


class SimpleProfiler(Profiler):
    """Reports the mean and total duration of each action.

    Args:
        dirpath: folder of the report.
        filename: of the report; without it the report is printed.
        extended: report calls and shares too.

    Attributes:
        current_actions: when each running action began, in seconds of a clock that only differences mean something of.
        recorded_durations: the durations of each action, in seconds.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None, extended: bool = True) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, list[float]] = defaultdict(list)
        self.extended = extended
        self.start_time = time.perf_counter()

    def start(self, action_name: str) -> None:
        """Begin to measure an action.

        Raises:
            ValueError: it is running already.
        """
        if action_name in self.current_actions:
            raise ValueError(f"Action {action_name} has started already. Stop it first, or use another name.")
        self.current_actions[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """End the measurement of an action.

        Raises:
            ValueError: it is not running.
        """
        end = time.perf_counter()
        if action_name not in self.current_actions:
            raise ValueError(f"Action {action_name} was never started. Start it first, or correct the name.")
        self.recorded_durations[action_name].append(end - self.current_actions.pop(action_name))

    def summary(self) -> str:
        """Return the table of all actions, those that took longest first."""
        stage = f"{self._stage.upper()} " if self._stage is not None else ""
        title = f"{stage}Profiler Report{os.linesep}"
        if not self.recorded_durations:
            return title + os.linesep
        totals = {action: math.fsum(durations) for action, durations in self.recorded_durations.items()}
        counts = {action: len(durations) for action, durations in self.recorded_durations.items()}
        rows = [["Action", "Mean duration (s)"]]
        if self.extended:
            elapsed = time.perf_counter() - self.start_time
            rows[0] += ["Num calls", "Total time (s)", "Percentage %"]
            rows.append(["Total", "-", str(sum(counts.values())), f"{elapsed:.5}", "100 %"])
            for action in sorted(totals, key=totals.__getitem__, reverse=True):
                mean, share = totals[action] / counts[action], 100 * totals[action] / elapsed
                rows.append([action, f"{mean:.5}", str(counts[action]), f"{totals[action]:.5}", f"{share:.5}"])
        else:
            rows[0] += ["Total time (s)"]
            means = {action: totals[action] / counts[action] for action in totals}
            for action in sorted(means, key=means.__getitem__, reverse=True):
                rows.append([action, f"{means[action]:.5}", f"{totals[action]:.5}"])
        return title + _table(rows) + os.linesep


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["|  " + "  |  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) + "  |"
             for row in rows]  # fmt: skip
    rule = "-" * len(lines[0])
    ruled = [rule, lines[0], rule, *lines[1:], rule]
    if rows[1][0] == "Total" and len(rows) > 2:
        ruled.insert(4, rule)
    return os.linesep.join(ruled)
