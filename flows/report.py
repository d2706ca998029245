"""The report of a run: one HTML page for people, and all that it shows as JSON, in the run's own folder."""

import json
from pathlib import Path

from components.store import Store
from flows.reporting.contents import read_contents
from flows.reporting.figures import FILE, Gallery, read_figures
from flows.reporting.page import rendered
from flows.summary import RunSummary


def write_report(summary: RunSummary, store: Store, folder: Path, earlier: Path | None = None) -> None:
    """Write `report.html`, `summary.json` and `figures.json` into `folder`, which is there with all or not at all.

    Args:
        summary: of the finished run.
        store: has what the run made.
        folder: for the report; must not be there yet, or be empty.
        earlier: folder of an earlier report; figures that show the same are taken from it and not drawn again.
    """
    contents = read_contents(summary, store)
    gallery = Gallery(earlier=read_figures(earlier) if earlier is not None else {})
    page = rendered(contents, gallery)
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    (part / "report.html").write_text(page, encoding="utf-8")
    (part / "summary.json").write_text(json.dumps(contents.to_json(), indent=1), encoding="utf-8")
    (part / FILE).write_text(json.dumps(gallery.used), encoding="utf-8")
    part.rename(folder)
