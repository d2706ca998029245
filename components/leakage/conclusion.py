"""The end of the leakage stage for every kind of data: its report is published, told, and may stop the run."""

from collections.abc import Sequence
from typing import Literal

from components.artifacts import LeakageReport
from components.errors import GateStoppedError
from components.leakage.findings import Check, write_report
from components.stage import PENDING, Work


def concluded(work: Work, checks: Sequence[Check], on_fail: Literal["stop", "flag"]) -> LeakageReport:
    """Publish what the checks found and return the artifact.

    Args:
        work: of the stage.
        checks: all that were made.
        on_fail: what the verdict `fail` leads to.

    Raises:
        GateStoppedError: the verdict is `fail` and `on_fail` is `stop`; the report is in the store all the same.
    """
    out = work.output()
    verdict, reasons = write_report(out, checks)
    done = work.publish(LeakageReport(ref=PENDING, lineage=work.lineage, verdict=verdict, reasons=reasons), out)
    for line in reasons:
        work.say(f"leakage: {line}")
    if verdict == "fail" and on_fail == "stop":
        raise GateStoppedError(
            f"Held-out data were seen in training: {'; '.join(reasons)}. Report {done.sha256[:12]} is in the store. "
            "Mend the data or how they are split, or change the limits of [leakage]; on_fail = 'flag' goes on all the "
            "same, and the release's report says so."
        )
    return done
