"""Twenty exchanges of the release under load, and how long a rollback takes until all workers answer by it.

    python -m benchmarks.swap --requests 50000 --swaps 20 --workers 2

Two releases of the benchmark's knowledge-tracing model (`benchmarks/serve.py`) take turns while keep-alive connections
ask without a pause. Every answer must be 200 and of a release that was live when it was asked or became so before it
was answered; its numbers must be those that this release gives to the request.
"""

import argparse
import asyncio
import json
import platform
import shutil
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serve import bodies, cpu_seconds, memory_mb, write_release
from components.artifacts import Lineage, Ref, Release
from components.bundle import write_bundle_manifest
from components.store import Store
from serving.bundle import load_bundle
from serving.registry import Change, PointerLog, Slot
from serving.run import Following, ServerProcess, start

APPLICATION = "knowledge_tracing"
CLOSE = 1e-5


def releases(folder: Path, store: Store) -> tuple[list[Slot], list[Path]]:
    """Publish two releases whose models differ; return them and their folders."""
    slots, folders = [], []
    for seed in range(2):
        made = folder / f"release-{seed}"
        write_release(made, seed)
        with store.scratch() as scratch:
            copy = scratch / "bundle"
            shutil.copytree(made, copy)
            version = write_bundle_manifest(copy, APPLICATION, ["probability"], 1e-5, None)
            draft = Release(
                ref=Ref(uri="", sha256="", bytes=0, media_type=""),
                lineage=Lineage(),
                application=APPLICATION,
                version=version,
                verdict="pass",
            )
            slots.append(Slot(version=version, artifact=store.publish(draft, copy).sha256))
        folders.append(made)
    return slots, folders


class Load:
    """Asks without a pause, and checks every answer."""

    def __init__(self, port: int, texts: list[bytes], expected: dict[str, list[float]]) -> None:
        self.port, self.texts, self.expected = port, texts, expected
        self.live: list[tuple[float, str]] = []
        """When a release was promoted, and which."""
        self.times: list[float] = []
        self.failed: list[str] = []
        self.not_live = 0
        self.wrong = 0
        self.ending = False

    async def connection(self, first: int, step: int) -> None:
        """Ask every `step`-th request from `first` on over one connection, again and again, until the end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        number = first
        while not self.ending:
            which = number % len(self.texts)
            text = self.texts[which]
            begin = time.perf_counter()
            writer.write(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text) + text
            )
            try:
                header = await reader.readuntil(b"\r\n\r\n")
                lines = header.decode().lower().split("\r\n")
                length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
                body = await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed.append(type(error).__name__)
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                continue
            end = time.perf_counter()
            self.times.append(end - begin)
            status = lines[0].split()[1]
            if status != "200":
                self.failed.append(status)
            else:
                self.check(json.loads(body), which, begin, end)
            number += step
        writer.close()
        await writer.wait_closed()

    def check(self, value: Any, which: int, begin: float, end: float) -> None:
        """Count an answer of a release that was not live, or that is not that release's."""
        release = value["release"]
        # Live while it was asked: the one promoted last before it began, those since, and for as long as workers take
        # to see a new entry (at most 5 s) the one before.
        live = {version for at, version in self.live if begin - 5.0 <= at <= end}
        before = [version for at, version in self.live if at <= begin - 5.0]
        self.not_live += release not in live | set(before[-1:])
        found = value["answer"]["predictions"][0]["probability"]
        self.wrong += abs(found - self.expected[release][which]) > CLOSE


async def until_live(server: ServerProcess, entry: int) -> float:
    """Return the seconds until all workers answer by an entry, as their status files say."""
    begin = time.perf_counter()
    while any(one.entry != entry for one in server.workers()):
        await asyncio.sleep(0.02)
    return time.perf_counter() - begin


async def run(chosen: argparse.Namespace, server: ServerProcess, log: PointerLog, slots: list[Slot], load: Load) -> Any:
    """Swap while it is asked; return the seconds that swaps and rollbacks took."""
    seconds: dict[str, list[float]] = {"promote": [], "rollback": []}
    load.live.append((time.perf_counter(), slots[0].version))
    tasks = [asyncio.create_task(load.connection(n, chosen.connections)) for n in range(chosen.connections)]
    for swap in range(chosen.swaps):
        while len(load.times) < (swap + 1) * chosen.requests / (chosen.swaps + 1):
            await asyncio.sleep(0.02)
        action: Any = "promote" if swap % 2 == 0 else "rollback"
        slot = slots[(swap + 1) % 2]
        load.live.append((time.perf_counter(), slot.version))
        last = log.latest()
        assert last is not None
        change = Change(action=action, by="benchmark", reason=f"swap {swap}", champion=slot)
        state = log.append(change, expected=last.number)
        seconds[action].append(await until_live(server, state.number))
    while len(load.times) < chosen.requests:
        await asyncio.sleep(0.02)
    load.ending = True
    await asyncio.gather(*tasks)
    return seconds


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = Store(folder / "store")
        slots, folders = releases(folder, store)
        texts = bodies(100, chosen.steps)
        expected = {}
        for slot, made in zip(slots, folders, strict=True):
            bundle = load_bundle(made)
            answers = [bundle.answer([bundle.requests.read(text)])[0] for text in texts]
            expected[slot.version] = [answer.predictions[0].probability for answer in answers]
        log = PointerLog(store, APPLICATION)
        log.append(Change(action="promote", by="benchmark", reason="first", champion=slots[0]), expected=0)
        with start(Following(str(folder / "store"), APPLICATION), workers=chosen.workers) as server:
            load = Load(int(server.url.rpartition(":")[2]), texts, expected)
            root = psutil.Process(server.process.pid)
            cpu, memory = cpu_seconds(root), memory_mb(root)
            begin = time.perf_counter()
            seconds = asyncio.run(run(chosen, server, log, slots, load))
            wall = time.perf_counter() - begin
            cuts = statistics.quantiles(load.times, n=1000)
            found = {
                "machine": f"{platform.machine()}, {psutil.cpu_count()} CPUs",
                "workers": chosen.workers,
                "connections": chosen.connections,
                "requests": len(load.times),
                "swaps": chosen.swaps,
                "failed": len(load.failed),
                "failed_as": dict(Counter(load.failed)),
                "not_live": load.not_live,
                "wrong_numbers": load.wrong,
                "promote_s_max": round(max(seconds["promote"]), 2),
                "rollback_s_max": round(max(seconds["rollback"], default=0.0), 2),
                "requests_per_s": round(len(load.times) / wall, 1),
                "p50_ms": round(cuts[499] * 1e3, 2),
                "p99_ms": round(cuts[989] * 1e3, 2),
                "p999_ms": round(cuts[998] * 1e3, 2),
                "cpu_ms_per_request": round((cpu_seconds(root) - cpu) / len(load.times) * 1e3, 3),
                "memory_mb_before": round(memory, 1),
                "memory_mb_after": round(memory_mb(root), 1),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
