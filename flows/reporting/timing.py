"""Time and cost of each stage: seconds on the wall and of the processors, as recorded when its result was made."""

from dataclasses import dataclass

from flows.reporting.contents import Contents
from flows.reporting.estimates import number

STATUS = {"finished": "ran", "skipped": "result was there"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One line of the table."""

    stage: str
    status: str
    wall_s: float | None
    """To make the result, in this run or in an earlier one; None where nobody recorded it."""
    cpu_s: float | None
    share: float | None
    """Of the longest stage, for a bar."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The section."""

    stages: tuple[StageTime, ...]
    run_s: float
    wall_s: float
    """To make all results, whenever that was."""
    cpu_s: float | None
    """None where some stage has none recorded."""


def times_of(contents: Contents) -> Times:
    """Return the section."""
    stages = contents.summary.get("stages", [])
    walls = [_wall(stage) for stage in stages]
    longest = max((wall for wall in walls if wall is not None), default=0.0)
    lines = tuple(
        StageTime(
            stage=stage["stage"],
            status=STATUS.get(stage["status"], stage["status"]),
            wall_s=wall,
            cpu_s=number(stage.get("made_cpu_s")),
            share=wall / longest if wall is not None and longest else None,
            reason=stage.get("reason", ""),
        )
        for stage, wall in zip(stages, walls, strict=True)
    )
    cpus = [line.cpu_s for line in lines]
    return Times(
        stages=lines,
        run_s=float(contents.summary.get("seconds", 0.0)),
        wall_s=sum(wall for wall in walls if wall is not None),
        cpu_s=sum(cpu for cpu in cpus if cpu is not None) if cpus and None not in cpus else None,
    )


def _wall(stage: dict[str, object]) -> float | None:
    made = number(stage.get("made_s"))
    return made if made is not None or stage["status"] != "finished" else number(stage.get("seconds"))
