"""The one progress display of a run: a bar on a terminal, a line per stage elsewhere; always on standard error."""

import sys
import time
from types import TracebackType
from typing import Self

import click
from tqdm import tqdm

from components.stage import StageEvent


class Progress:
    """Shows the stages of a run; pass `observe` and `say` to whatever runs them.

    Args:
        stages: names of the stages to come, in order.
    """

    def __init__(self, stages: tuple[str, ...]) -> None:
        self._stages = stages
        self._terminal = sys.stderr.isatty()
        self._bar: tqdm | None = None
        self._now = ""

    def __enter__(self) -> Self:
        if self._terminal:
            self._bar = tqdm(total=len(self._stages), unit="stage", bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def observe(self, event: StageEvent) -> None:
        """Show what happened to a stage."""
        if event.status == "started":
            self._now = event.stage
            self._describe(event.stage)
            return
        if event.status == "skipped":
            self._line(f"{event.stage:<11} skipped: {event.reason}")
        elif event.status == "finished":
            self._line(f"{event.stage:<11} {event.seconds:6.1f} s  (ran: {event.reason})")
        else:
            self._line(f"{event.stage:<11} would run: {event.reason}")
        if self._bar is not None:
            self._bar.update(1)

    def say(self, line: str) -> None:
        """Show one line of progress inside a stage; a warning stays."""
        if self._bar is not None and line.startswith("warning: "):
            self._line(line)
        elif self._bar is not None:
            self._describe(f"{self._now}: {line}")
        else:
            click.echo(f"  {time.strftime('%H:%M:%S')} {line}", err=True)

    def _describe(self, text: str) -> None:
        if self._bar is not None:
            self._bar.set_description(text)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)
