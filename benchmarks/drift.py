"""Is a drift found, and how often is one seen where there is none?

    python -m benchmarks.drift [--series 400]

Simulated students answer in sessions; what a student sends is alike (an intraclass correlation), signals are skewed,
discrete, rare or correlated, and the reference is itself a sample of students. Every series is a service of five
windows, watched by the code that `homeroom watch` runs: a shift is found when there is an alarm in them. Without a
shift, 200 windows in a row are watched. Beside it, what other effect sizes would have found in a window of the same
values at the same rate of false findings.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.machine import processor_name
from components.monitoring.counts import GROUPS, SignalCounts
from components.monitoring.reference import SignalReference, reference_of
from components.monitoring.windows import DriftLimits, Window, alarm, judged, stability_index

Floats = npt.NDArray[np.float64]
SIGNALS = ("normal", "skewed", "counts", "share", "rare", "heavy")
STEP = 100
"""Requests between two looks."""
MOST_REQUESTS = 60_000


@dataclass(frozen=True)
class Service:
    """How requests come.

    Attributes:
        per_student: requests of a student in a window, on average.
        alike: intraclass correlation of what a student sends.
        named: whether requests name their student.
        order: `mixed`, or `sessions`: a student's requests follow each other.
    """

    name: str
    per_student: float
    alike: float
    named: bool
    order: str = "mixed"


SERVICES = (
    Service("one request per student", 1, 0.0, True),
    Service("10 per student, alike 0.3", 10, 0.3, True),
    Service("30 per student, alike 0.6", 30, 0.6, True),
    Service("10 per student, alike 0.3, not named", 10, 0.3, False),
    Service("30 per student, alike 0.6, not named", 30, 0.6, False, "sessions"),
)


def latent(source: np.random.Generator, student: npt.NDArray[np.int64], alike: float) -> Floats:
    """Return (N, 6) standard normal, correlated 0.5 between signals and `alike` within a student."""
    width = len(SIGNALS)
    students = int(student.max()) + 1

    def draw(rows: int) -> Floats:
        return (source.standard_normal((rows, 1)) + source.standard_normal((rows, width))) * math.sqrt(0.5)

    found: Floats = math.sqrt(alike) * draw(students)[student] + math.sqrt(1 - alike) * draw(len(student))
    return found


def observed(normal: Floats, shift: float) -> dict[str, Floats]:
    """Return the signals of (N, 6) latent values; a shift is of each signal's own standard deviation, in its mean."""
    z = normal
    skewed = np.exp(0.8 * z[:, 1])
    skewed_sd = math.sqrt((math.exp(0.64) - 1) * math.exp(0.64))
    rare = 0.03 + shift * (0.105 - 0.03) / 0.3  # from 3 % to 10.5 %: 0.3 pooled standard deviations
    share = 1 / (1 + np.exp(-z[:, 3]))
    return {
        "normal": z[:, 0] + shift,
        "skewed": skewed + shift * skewed_sd,
        "counts": np.floor(3 * np.exp(0.5 * z[:, 2]) + shift * 2.0 + 0.5),
        "share": share + shift * 0.208,
        "rare": (z[:, 4] > -_quantile(rare)).astype(np.float64),
        "heavy": np.sign(z[:, 5]) * np.abs(z[:, 5]) ** 2 + shift * math.sqrt(3.0),
    }


def _quantile(share: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(share))


def reference(source: np.random.Generator, service: Service, students: int, values: int) -> dict[str, SignalReference]:
    """Return the reference from `values` held-out requests of `students` students."""
    student = source.integers(students, size=values)
    found = observed(latent(source, student, service.alike), 0.0)
    out = {name: reference_of(column, student) for name, column in found.items()}
    return {name: one for name, one in out.items() if one is not None}


def arriving(
    source: np.random.Generator, service: Service, shift: float
) -> Iterator[tuple[dict[str, Floats], npt.NDArray[np.int64]]]:
    """Yield STEP requests at a time: their signals, and the group of each one's student.

    Students come in waves; a wave is about as many requests as a window has.
    """
    while True:
        wave = 4_000
        students = max(20, int(wave / service.per_student))
        student = source.permutation(np.arange(wave) % students)
        if service.order == "sessions":
            student = np.sort(student)
        found = observed(latent(source, student, service.alike), shift)
        group = source.integers(GROUPS, size=students)[student]
        for at in range(0, wave, STEP):
            yield {name: column[at : at + STEP] for name, column in found.items()}, group[at : at + STEP]


def added(counts: SignalCounts, column: Floats, edges: Floats, group: npt.NDArray[np.int64] | None) -> SignalCounts:
    """Return counts with a block of values; the same as `SignalCounts.add` of each (a test compares)."""
    bins = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(counts.bins))
    at = ((counts.bins_total + np.arange(len(column))) // 16) % GROUPS if group is None else group
    block = SignalCounts(
        bins=bins.tolist(),
        numbers=np.bincount(at, minlength=GROUPS).tolist(),
        sums=np.bincount(at, weights=column, minlength=GROUPS).tolist(),
        squares=float((column**2).sum()),
        named=0 if group is None else len(column),
    )
    return counts.plus(block)


@dataclass
class Seen:
    """What watching one service gave.

    Attributes:
        alarms: by signal, how often one began.
        windows: of all signals, over the number of signals.
        findings: windows, over the number of signals, in which some signal showed something.
        requests: that were watched.
    """

    alarms: dict[str, int]
    windows: float
    findings: float
    requests: int


def watched(
    source: np.random.Generator,
    service: Service,
    shift: float,
    windows: int,
    limits: DriftLimits,
    *,
    students: int = 300,
    values: int = 2000,
) -> Seen:
    """Watch a service until every signal had so many windows."""
    known = reference(source, service, students, values)
    edges = {name: np.array(one.edges) for name, one in known.items()}
    empty = {name: SignalCounts(bins=[0] * len(one.counts)) for name, one in known.items()}
    current, recent = dict(empty), {name: list[Window]() for name in known}
    alarms = dict.fromkeys(known, 0)
    requests = 0
    for columns, group in arriving(source, service, shift):
        requests += len(group)
        for name, one in known.items():
            if len(recent[name]) == windows:
                continue
            current[name] = added(current[name], columns[name], edges[name], group if service.named else None)
            window = judged(name, current[name], one, len(known), limits)
            if window is not None:
                before = alarm(recent[name], limits)
                recent[name].append(window)
                current[name] = empty[name]
                alarms[name] += alarm(recent[name], limits) and not before
        if min(len(one) for one in recent.values()) == windows or requests >= MOST_REQUESTS * windows / 5:
            break
    ended = [window for one in recent.values() for window in one]
    return Seen(
        alarms=alarms,
        windows=len(ended) / len(known),
        findings=sum(bool(window.found) for window in ended),
        requests=requests,
    )


def shifted(service: Service, shift: float, limits: DriftLimits, series: int, seed: int) -> tuple[float, str, float]:
    """Return the share of series in which the shift of a signal is found within five windows of it.

    Of the signal where this is least: the share and its name; then the requests that five windows took on average.
    """
    found = [watched(np.random.default_rng([seed, s]), service, shift, 5, limits) for s in range(series)]
    shares = {name: sum(one.alarms.get(name, 0) > 0 for one in found) / series for name in SIGNALS}
    worst = min(shares, key=lambda name: shares[name])
    return shares[worst], worst, float(np.mean([one.requests for one in found]))


def false_alarms(
    service: Service, limits: DriftLimits, series: int, seed: int, windows: int = 20
) -> tuple[float, float]:
    """Return alarms of any signal in 200 windows without a shift, and findings in 100 windows."""
    found = [watched(np.random.default_rng([seed, s]), service, 0.0, windows, limits) for s in range(series)]
    total = sum(one.windows for one in found)
    alarms = sum(sum(one.alarms.values()) for one in found)
    return 200 * alarms / total, 100 * sum(one.findings for one in found) / total


def cliffs_delta(live: Floats, known: Floats) -> float:
    """Return P(live > known) - P(live < known) (Cliff 1993)."""
    ordered = np.sort(known)
    below, to = np.searchsorted(ordered, live, "left"), np.searchsorted(ordered, live, "right")
    return float((below + to).mean() / len(known) - 1.0)


def side_by_side(series: int, seed: int) -> dict[str, dict[str, float]]:
    """Return change -> effect size -> share found in one window of 400 values, 1 % false findings for each."""
    source = np.random.default_rng(seed)
    changes: dict[str, Callable[[Floats], Floats]] = {
        "normal, mean + 0.2 sd": lambda z: z + 0.2,
        "skewed, mean + 0.2 sd": lambda z: np.exp(0.8 * z) + 0.2 * 1.29,
        "heavy tails, mean + 0.2 sd": lambda z: np.sign(z) * z**2 + 0.2 * math.sqrt(3.0),
        "normal, sd x 1.3": lambda z: 1.3 * z,
        "a tenth of the values + 2 sd": lambda z: z + 2.0 * (np.arange(len(z)) % 10 == 0),
    }

    def same(z: Floats) -> Floats:
        return z

    usual: dict[str, Callable[[Floats], Floats]] = {
        "skewed, mean + 0.2 sd": lambda z: np.exp(0.8 * z),
        "heavy tails, mean + 0.2 sd": lambda z: np.sign(z) * z**2,
    }

    def measures(live: Floats, known: Floats) -> dict[str, float]:
        edges = np.quantile(known, np.arange(1, 10) / 10)
        bins = [np.bincount(np.searchsorted(edges, x), minlength=10).tolist() for x in (live, known)]
        pooled = math.sqrt((live.var(ddof=1) + known.var(ddof=1)) / 2)
        return {
            "mean difference": abs(live.mean() - known.mean()) / pooled,
            "Cliff's delta": abs(cliffs_delta(live, known)),
            "stability index": stability_index(*bins),
        }

    out = {}
    for name, change in changes.items():
        before = usual.get(name, same)
        draws = [
            (source.standard_normal(400), source.standard_normal(2000), source.standard_normal(400))
            for _ in range(series)
        ]
        null = [measures(before(a), before(b)) for a, b, _ in draws]
        moved = [measures(change(c), before(b)) for _, b, c in draws]
        limits = {key: float(np.quantile([one[key] for one in null], 0.99)) for key in null[0]}
        out[name] = {key: float(np.mean([one[key] > limits[key] for one in moved])) for key in limits}
    return out


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=400)
    series = parser.parse_args().series
    limits = DriftLimits()
    print(processor_name())
    print("\n| service | 0.3 sd found in 5 windows (the signal found least) | requests | 0.2 sd | ", end="")
    print("false alarms in 200 windows of six signals | single findings in 100 windows |\n|---|---|---|---|---|---|")
    for service in SERVICES:
        found, worst, requests = shifted(service, 0.3, limits, series, 1)
        less, _, _ = shifted(service, 0.2, limits, max(10, series // 4), 2)
        wrong, single = false_alarms(service, limits, max(8, series // 2), 3)
        row = f"{found:.1%} ({worst}) | {requests:.0f} | {less:.0%} | {wrong:.2f} | {single:.1f}"
        print(f"| {service.name} | {row} |", flush=True)
    for per_student, what in ((30, "taken as independent"),):
        naive = Service(f"{per_student} per student, alike 0.6, {what}", per_student, 0.6, False)
        wrong, single = false_alarms(naive, DriftLimits(per_student=1.0), max(8, series // 2), 4)
        print(f"| {naive.name} | | | | {wrong:.2f} | {single:.1f} |")
    print("\n| change | " + " | ".join(("mean difference", "Cliff's delta", "stability index")) + " |")
    print("|---|---|---|---|")
    for name, shares in side_by_side(series, 5).items():
        print(f"| {name} | " + " | ".join(f"{share:.0%}" for share in shares.values()) + " |")


if __name__ == "__main__":
    main()
