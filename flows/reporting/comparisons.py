"""Before and after: the release against the one that serves, and mitigation against none, on the same students."""

from collections.abc import Sequence
from dataclasses import dataclass

from flows.reporting.contents import Contents, Plain
from flows.reporting.estimates import Estimate, estimate_of, number
from flows.reporting.figures import Figure, Gallery
from flows.reporting.limits import findings_of
from flows.reporting.rows import Lines, Row
from flows.reporting.words import titled


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a comparison's table."""

    subject: str
    measure: str
    before: Estimate
    after: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison: of two releases, or of a model with and without mitigation."""

    title: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]
    lines: tuple[Line, ...]


def comparisons_of(contents: Contents, gallery: Gallery) -> list[Comparison]:
    """Return the comparison with the champion, from the gate's findings, and those that the summary has."""
    found = []
    champion = [one for one in findings_of(contents) if one.get("check") == "non_inferiority"]
    if champion:
        found.append(_champion(champion, gallery))
    return [*found, *(_pair(one, gallery) for one in contents.summary.get("comparisons") or [])]


def _champion(findings: Sequence[Plain], gallery: Gallery) -> Comparison:
    rows, limits = [], set()
    for finding in findings:
        its = {name: finding.get(name) for name in ("value", "low", "high")}
        subject = str(finding.get("subject") or "all")
        name = titled(str(finding.get("measure") or ""))
        rows.append(Row(name=name if subject == "all" else f"{name}, {subject}", found=(estimate_of(its),)))
        limit = number(finding.get("limit"))
        if limit is not None:
            limits.add(-abs(limit))
    figures: tuple[Figure, ...] = ()
    if any(row.found[0].value is not None for row in rows):
        figures = (
            gallery.figure(
                "forest:forest",
                "This release less the one that serves",
                "Paired differences on the same held-out students, with intervals; above 0 this release is better.",
                tuple(rows),
                lines=Lines(zero=True, limits=tuple(sorted(limits))),
                axis="difference",
                caption="Right of 0 this release is better. Dotted: as much worse as it may be.",
            ),
        )
    return Comparison(
        title="Against the release that serves",
        sentences=tuple(str(finding.get("reason", "")) for finding in findings),
        figures=figures,
        lines=(),
    )


def _pair(found: Plain, gallery: Gallery) -> Comparison:
    before, after = str(found.get("before", "before")), str(found.get("after", "after"))
    lines = tuple(
        Line(
            subject=str(row.get("subject", "all")),
            measure=str(row.get("measure", "")),
            before=estimate_of(row.get("before")),
            after=estimate_of(row.get("after")),
            difference=estimate_of(row.get("difference")),
        )
        for row in found.get("rows", [])
    )
    title = str(found.get("title", "Before and after"))
    figures = []
    for measure in dict.fromkeys(line.measure for line in lines):
        own = [line for line in lines if line.measure == measure]
        figures.append(
            gallery.figure(
                "forest:forest",
                f"{titled(measure)}: {before}, {after}",
                f"{titled(measure)} with intervals, {before} beside {after}. {title}.",
                tuple(Row(name=line.subject, found=(line.before, line.after)) for line in own),
                series=(before, after),
                axis=titled(measure),
            )
        )
    said = str(found.get("sentence", ""))
    return Comparison(title=title, sentences=(said,) if said else (), figures=tuple(figures), lines=lines)
