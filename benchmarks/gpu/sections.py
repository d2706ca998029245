"""All sections, one after the other, each by itself."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import benchmarks.gpu
from benchmarks.gpu.device import clear
from benchmarks.gpu.essays import measure_bert
from benchmarks.gpu.floors import measure_floors
from benchmarks.gpu.overhead import measure_overhead
from benchmarks.gpu.parity import measure_parity
from benchmarks.gpu.results import GOALS, Found, guarded, machine, table, walk
from benchmarks.gpu.sizes import SMALL, Sizes
from benchmarks.gpu.traces import measure_trace
from benchmarks.gpu.tracing import Students, measure_dkt, simulate

SECTIONS = ("floors", "bert", "dkt", "trace", "parity", "overhead")


def measure(sizes: Sizes, sections: Iterable[str], *, compiles: bool, keep: Callable[[Found], None]) -> Found:
    """Run the sections, giving `keep` everything found so far after each."""
    found: Found = {"machine": machine(), "goals": GOALS}
    chosen = list(sections)
    made: list[Students] = []

    def students() -> Students:
        if not made:
            made.append(simulate(sizes))
        return made[0]

    runs: dict[str, Callable[[], Found]] = {
        "floors": lambda: measure_floors(sizes),
        "bert": lambda: measure_bert(sizes, found.get("floors", {}), compiles=compiles),
        "dkt": lambda: measure_dkt(sizes, students()),
        "trace": lambda: measure_trace(sizes, students(), found),
        "parity": lambda: measure_parity(sizes, students()),
        "overhead": lambda: measure_overhead(sizes),
    }
    for name in chosen:
        started = time.perf_counter()
        print(f"{name} ...", file=sys.stderr, flush=True)
        clear()
        found[name] = guarded(runs[name])
        found[name]["seconds"] = time.perf_counter() - started
        print(f"{name}: {found[name]['seconds']:.1f} s", file=sys.stderr, flush=True)
        keep(found)
    return found


def main() -> int:
    """Measure, print, and return 1 where a section failed."""
    parser = argparse.ArgumentParser(
        description=benchmarks.gpu.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sections", default=",".join(SECTIONS), help="some of them, by name")
    parser.add_argument("--output", type=Path, help="where the results go as JSON, after every section")
    parser.add_argument("--compile", action="store_true", help="run the essay scorer under torch.compile too")
    parser.add_argument("--small", action="store_true", help="check that it works, on any device")
    options = parser.parse_args()
    chosen = [name for name in options.sections.split(",") if name]
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are: {', '.join(SECTIONS)}")

    def keep(found: Found) -> None:
        if options.output is not None:
            options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")

    found = measure(SMALL if options.small else Sizes(), chosen, compiles=options.compile, keep=keep)
    print(json.dumps(found["machine"]))
    print(table(found))
    return int(any("error" in one for _, one in walk(found)))
