"""The report of a run: one HTML page for people, and all that it shows as JSON, in the run's own folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.store import Store
from flows.reporting.contents import Contents, read_contents
from flows.reporting.figures import FILE, Gallery, page_code, read_figures
from flows.summary import RunSummary

PAGE, DATA = "report.html", "summary.json"
OF_THE_RUN = frozenset({"run", "seconds", "report", "stages"})
"""Fields of `summary.json` that differ from run to run though nothing changed; of stages, what happened to them."""


def write_report(summary: RunSummary, store: Store, folder: Path, earlier: Path | None = None) -> None:
    """Write `report.html`, `summary.json` and `figures.json` into `folder`, which is there with all or not at all.

    Where an earlier report says the same, its page is taken as it is, and names the run that wrote it.

    Args:
        summary: of the finished run.
        store: has what the run made.
        folder: for the report; must not be there yet, or be empty.
        earlier: folder of an earlier report; its page, or figures that show the same, are taken from it.
    """
    contents = read_contents(summary, store)
    plain = contents.to_json()
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    if earlier is None or not _taken(earlier, plain, part):
        _write(contents, earlier, part)
    (part / DATA).write_text(json.dumps(plain, indent=1), encoding="utf-8")
    part.rename(folder)


def _write(contents: Contents, earlier: Path | None, part: Path) -> None:
    from flows.reporting.page import rendered  # late: a template engine is not needed to find that nothing changed

    gallery = Gallery(earlier=read_figures(earlier) if earlier is not None else {})
    (part / PAGE).write_text(rendered(contents, gallery), encoding="utf-8")
    (part / FILE).write_text(gallery.to_json(), encoding="utf-8")


def _taken(earlier: Path, plain: Mapping[str, Any], part: Path) -> bool:
    """Copy the earlier page and its figures where it says the same; return whether it does."""
    try:
        if json.loads((earlier / FILE).read_text(encoding="utf-8"))["page"] != page_code():
            return False
        before = json.loads((earlier / DATA).read_text(encoding="utf-8"))
        if _lasting(before) != _lasting(json.loads(json.dumps(plain))):
            return False
        for name in (PAGE, FILE):
            shutil.copyfile(earlier / name, part / name)
    except (OSError, ValueError, TypeError, KeyError):  # there is none, or not whole
        return False
    return True


def _lasting(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `summary.json` the page shows whichever run wrote it."""
    stages = [{**stage, "status": "", "reason": "", "seconds": 0.0} for stage in plain["stages"]]
    names = {stage["stage"] for stage in stages}
    # What no stage made, the list of raw files, is made anew by every run.
    lineage = [made if made["stage"] in names else {**made, "started_utc": ""} for made in plain["details"]["lineage"]]
    kept = {name: value for name, value in plain.items() if name not in OF_THE_RUN}
    return kept | {"stages": stages, "details": {**plain["details"], "lineage": lineage}}
