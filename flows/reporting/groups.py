"""The groups: a forest plot for each measure of each attribute, the ROC curves of pairs, and reliability by group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.reporting.contents import Contents, Plain
from flows.reporting.estimates import Estimate, estimate_of, number, shown
from flows.reporting.figures import Figure, Gallery
from flows.reporting.performance import plain_bins
from flows.reporting.rows import Lines, Row
from flows.reporting.words import SIGNED, capital, titled

MOST_PAIRS = 6
"""So many pairs of an attribute have their curves drawn, those with the largest ABROCA; the table has all."""
MOST_RELIABILITY = 9
"""So many groups of an attribute have a reliability curve, the largest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One pair of groups in the table of ABROCA."""

    first: str
    second: str
    abroca: Estimate
    p: float | None
    resamples: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute's part of the section."""

    name: str
    title: str
    found: Plain
    """Its entry in `groups.json`."""
    judged: tuple[Figure, ...]
    """Forest plots of the measures that have a limit, and of the headline metric."""
    others: tuple[Figure, ...]
    pairs: tuple[Pair, ...]
    roc: tuple[Figure, ...]
    reliability: tuple[Figure, ...]
    undrawn_groups: int
    """Groups whose reliability is not drawn."""
    summary: tuple[tuple[str, Estimate], ...]


def attributes_of(contents: Contents, gallery: Gallery) -> list[Attribute]:
    """Return the attributes in the order of the report."""
    return [_attribute(name, found, contents, gallery) for name, found in contents.groups.get("attributes", {}).items()]


def _attribute(name: str, found: Plain, contents: Contents, gallery: Gallery) -> Attribute:
    title = name.replace("_", " ")
    limits: Plain = contents.groups.get("limits", {})
    measures = [m for m in contents.groups.get("measures", {}) if any(m in g["measures"] for g in found["groups"])]
    first = [m for m in measures if m in limits or m == contents.headline]
    rest = [m for m in measures if m not in first]
    reliability, undrawn = _reliability(title, found, contents, gallery)
    pairs = tuple(
        sorted(_pairs(found), key=lambda pair: -(pair.abroca.value if pair.abroca.value is not None else -1.0))
    )
    summary = tuple((titled(measure), estimate_of(its)) for measure, its in found.get("summary", {}).items())
    return Attribute(
        name=name,
        title=title,
        found=found,
        judged=tuple(_forest(title, measure, found, contents, gallery) for measure in first),
        others=tuple(_forest(title, measure, found, contents, gallery) for measure in rest),
        pairs=pairs,
        roc=_roc(title, found, pairs, gallery),
        reliability=reliability,
        undrawn_groups=undrawn,
        summary=summary,
    )


def _forest(title: str, measure: str, found: Plain, contents: Contents, gallery: Gallery) -> Figure:
    rows = tuple(
        Row(name=str(group["group"]), found=(estimate_of(group["measures"].get(measure)),)) for group in found["groups"]
    )
    departures = found.get("departures", {}).get(measure, {})
    limit = number(departures.get("limit"))
    lines = Lines(
        overall=None if measure in SIGNED else number(contents.metrics.get("metrics", {}).get(measure)),
        zero=measure in SIGNED,
        limits=(-limit, limit) if limit else (),
    )
    word = titled(measure)
    return gallery.figure(
        "forest:forest",
        f"{capital(word)} by {title}",
        f"{capital(word)} of {len(rows)} groups of {title} with intervals. {_gap(found, measure)}",
        rows,
        lines=lines,
        caption=_gap(found, measure) + (f" Dotted: the limit, {limit:g} either way." if limit else ""),
    )


def _gap(found: Plain, measure: str) -> str:
    gap = found.get("gaps", {}).get(measure)
    if gap is None:
        return ""
    if gap.get("status") != "ok":
        return f"Gap {estimate_of(gap).words}."
    limit = number(gap.get("limit"))
    value, low, high = (shown(number(gap.get(name))) for name in ("value", "low", "high"))
    between = f"{gap.get('higher')} over {gap.get('lower')}, {low} to {high}"
    return f"Widest gap {value} ({between})" + (f"; limit {limit:g}." if limit else ".")


def _pairs(found: Plain) -> Sequence[Pair]:
    pairs = []
    for pair in found.get("pairs", []):
        abroca: Mapping[str, Any] = pair.get("abroca") or {}
        resamples = number(abroca.get("resamples"))
        pairs.append(
            Pair(
                first=str(pair["first"]),
                second=str(pair["second"]),
                abroca=estimate_of(abroca),
                p=number(abroca.get("p_holm", abroca.get("p"))),
                resamples=None if resamples is None else int(resamples),
            )
        )
    return pairs


def _roc(title: str, found: Plain, pairs: Sequence[Pair], gallery: Gallery) -> tuple[Figure, ...]:
    curves = {str(g["group"]): (g.get("curves") or {}).get("roc") for g in found["groups"]}
    figures: list[Figure] = []
    for pair in pairs:
        first, second = curves.get(pair.first), curves.get(pair.second)
        if len(figures) == MOST_PAIRS or pair.abroca.value is None or not first or not second:
            continue
        said = abroca_sentence(pair)
        figures.append(
            gallery.figure(
                "roc:roc_pair",
                f"ABROCA {shown(pair.abroca.value)}",
                f"ROC curves of two groups of {title}, {pair.first} and {pair.second}, and the area between. {said}",
                tuple(tuple(point) for point in first),
                tuple(tuple(point) for point in second),
                (pair.first, pair.second),
                caption=f"{pair.first} and {pair.second}. {said}",
            )
        )
    return tuple(figures)


def abroca_sentence(pair: Pair) -> str:
    """Return ABROCA of a pair, its interval and its test, in words."""
    found = pair.abroca
    if found.value is None:
        return f"ABROCA {found.words}."
    text = f"ABROCA {shown(found.value)}"
    if found.has_interval:
        text += f" ({shown(found.low)} to {shown(found.high)})"
    if pair.p is not None:
        text += f", randomisation test p {probability(pair.p, pair.resamples)}"
    return f"{text}."


def probability(p: float, resamples: int | None) -> str:
    """Return `= .012`, or `< .001` where so many shuffles can say no more."""
    least = 1.0 / (resamples + 1) if resamples else 0.001
    return f"= {p:.3f}" if p > least or p >= 0.0005 else f"< {max(least, 0.0005):.3f}"


def _reliability(title: str, found: Plain, contents: Contents, gallery: Gallery) -> tuple[tuple[Figure, ...], int]:
    overall: Plain = contents.metrics.get("curves") or {}
    there = [g for g in found["groups"] if (g.get("curves") or {}).get("reliability")]
    most = sorted(there, key=lambda group: -(group.get("students") or 0))[:MOST_RELIABILITY]
    figures = tuple(
        gallery.figure(
            "reliability:reliability",
            str(group["group"]),
            f"Reliability, {title} {group['group']}: share of right answers by the probability given, the curve of all "
            "students behind.",
            plain_bins(group["curves"]["reliability"]),
            tuple(group["curves"]["distribution"]) if group["curves"].get("distribution") else None,
            beside=plain_bins(overall.get("reliability") or []),
            beside_shares=tuple(overall["distribution"]) if overall.get("distribution") else None,
            caption=f"{group.get('students') or 0:,} students. Grey: all students.",
        )
        for group in there
        if group in most
    )
    return figures, len(there) - len(figures)
