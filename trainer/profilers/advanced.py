"""Which functions an action spent its time in, by Python's own profiler."""

from __future__ import annotations

import cProfile
import io
import os
import pstats
from collections import defaultdict
from pathlib import Path
from typing import Any

from trainer.errors import MisconfigurationException, four_parts
from trainer.profilers.profiler import Profiler


class AdvancedProfiler(Profiler):
    """Reports the functions of each action with calls and times (cProfile). Slow: for short runs.

    Python has one profiler at a time, so while an action inside another one runs, the outer one is not measured.

    Args:
        dirpath: folder of the report and of the raw results.
        filename: of the report; without it the report is printed.
        line_count_restriction: functions to report of each action: a number of them (int) or a share (0.0 to 1.0).
        dump_stats: write the raw results too, one `.prof` file for each action, for pstats or snakeviz.
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ) -> None:
        super().__init__(dirpath=dirpath, filename=filename)
        self.profiled_actions: dict[str, cProfile.Profile] = defaultdict(cProfile.Profile)
        self.line_count_restriction = line_count_restriction
        self.dump_stats = dump_stats
        self._running: list[str] = []

    def start(self, action_name: str) -> None:
        """Begin to measure an action; the one that runs is paused."""
        if self._running:
            self.profiled_actions[self._running[-1]].disable()
        self._running.append(action_name)
        self.profiled_actions[action_name].enable()

    def stop(self, action_name: str) -> None:
        """End the measurement of an action; the one around it goes on.

        Raises:
            ValueError: it was never started.
        """
        profile = self.profiled_actions.get(action_name)
        if profile is None:
            raise ValueError(f"Action {action_name} was never started. Start it first, or correct the name.")
        profile.disable()
        if action_name in self._running:
            self._running.remove(action_name)
            if self._running:
                self.profiled_actions[self._running[-1]].enable()

    def summary(self) -> str:
        """Return the functions of each action, those that took longest first; write raw results if asked to."""
        reports = {}
        for action, profile in self.profiled_actions.items():
            if self.dump_stats:
                self._dump(action, profile)
            text = io.StringIO()
            stats = pstats.Stats(profile, stream=text).strip_dirs().sort_stats("cumulative")
            stats.print_stats(self.line_count_restriction)
            reports[action] = text.getvalue()
        return self._stats_to_str(reports)

    def _dump(self, action: str, profile: cProfile.Profile) -> None:
        if not self.dirpath:
            raise MisconfigurationException(
                four_parts("`dump_stats=True` has no folder to write to.", got=self.dirpath, expected="a `dirpath`",
                           remedy="Pass one, or let a trainer with a log_dir use the profiler.")
            )  # fmt: skip
        os.makedirs(self.dirpath, exist_ok=True)
        profile.dump_stats(os.path.join(self.dirpath, self._prepare_filename(action_name=action, extension=".prof")))

    def teardown(self, stage: str | None) -> None:
        """End a run: forget what was measured."""
        super().teardown(stage=stage)
        for profile in self.profiled_actions.values():
            profile.disable()
        self.profiled_actions.clear()
        self._running.clear()

    def __getstate__(self) -> dict[str, Any]:
        # Python's profiler cannot be copied.
        return {**super().__getstate__(), "profiled_actions": defaultdict(cProfile.Profile), "_running": []}
