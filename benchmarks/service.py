"""CPU time per request of the service with all its features, beside BentoML's own async `@api` and plain starlette.

    python -m benchmarks.service --requests 4000 --rounds 5

All answer the same requests (50 steps, one candidate) with the same knowledge-tracing model, a GRU with random weights,
in ONNX Runtime with one thread. The servers run at the same time, each in its own processes; the rounds take turns
between them, so that what else the machine does meets all alike. CPU time is the server's, of all its processes. Then
each is sent requests at a steady rate, for latencies: only these need an idle machine.

- `homeroom`: a release that follows the pointer log, with keys, rates, strict reading, limits, status, metrics, counts.
- `homeroom, canary`: besides, a challenger answers half of the students, so that two models take turns.
- `homeroom, canary and shadow`: besides, a shadow answers a copy of what the champion answered, until it is too busy.
- `bentoml @api`: an async method of a BentoML service as it comes, with pydantic's types, metrics and access log.
- `starlette`: starlette and ONNX Runtime under uvicorn, with the same codec and no checks: what there is at least.
- `litserve`: where it is installed, or with `--litserve-python` another interpreter that has it besides: its packages
  would give BentoML another event loop.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serve import bodies, cpu_seconds, write_release
from components.artifacts import Lineage, Ref, Release
from components.bundle import write_bundle_manifest
from components.store import Store
from serving.access.clients import Client
from serving.access.file import edited
from serving.access.keys import new_key, now_utc
from serving.registry import Challenger, Change, PointerLog, Slot
from serving.run import Following, free_port, start

ROOT = Path(__file__).resolve().parent.parent
COMMON = """
import json
import sys
from pathlib import Path

sys.path.insert(0, {root!r})
from serving.bundle import load_bundle

bundle = load_bundle(Path({release!r}))
"""
PLAIN = (
    COMMON
    + """
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
import uvicorn

kinds = sys.modules[type(bundle.codec).__module__]


async def predict(request):
    value = json.loads(await request.body())
    asked = kinds.Request(
        candidates=tuple(kinds.Candidate(**c) for c in value["candidates"]),
        history=tuple(kinds.Step(**s) for s in value["history"]),
    )
    answer = bundle.answer([asked])[0]
    return Response(json.dumps({{"predictions": [{{"probability": p.probability}} for p in answer.predictions]}}))


app = Starlette(routes=[Route("/v1/predict", predict, methods=["POST"])])
if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port={port}, access_log=False, log_level="warning")
"""
)
BENTO = (
    COMMON
    + """
import bentoml
from pydantic import BaseModel

kinds = sys.modules[type(bundle.codec).__module__]


class StepIn(BaseModel):
    correct: float
    item: str | None = None
    skills: list[str] = []


class CandidateIn(BaseModel):
    item: str | None = None
    skills: list[str] = []


class Out(BaseModel):
    probability: list[float]


@bentoml.service(name="own_api")
class Own:
    @bentoml.api(route="/v1/predict")
    async def predict(self, candidates: list[CandidateIn], history: list[StepIn]) -> Out:
        asked = kinds.Request(
            candidates=tuple(kinds.Candidate(item=c.item, skills=tuple(c.skills)) for c in candidates),
            history=tuple(kinds.Step(correct=s.correct, item=s.item, skills=tuple(s.skills)) for s in history),
        )
        return Out(probability=[p.probability for p in bundle.answer([asked])[0].predictions])
"""
)
LIT = (
    COMMON
    + """
import litserve

kinds = sys.modules[type(bundle.codec).__module__]


class Api(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return kinds.Request(
            candidates=tuple(kinds.Candidate(**c) for c in request["candidates"]),
            history=tuple(kinds.Step(**s) for s in request["history"]),
        )

    def predict(self, x):
        return bundle.answer([x])[0]

    def encode_response(self, output):
        return {{"probability": [p.probability for p in output.predictions]}}


if __name__ == "__main__":
    litserve.LitServer(Api(api_path="/v1/predict"), accelerator="cpu").run(port={port}, generate_client_file=False)
"""
)


@contextlib.contextmanager
def process(script: str, command: list[str], folder: Path, name: str, port: int, release: Path) -> Iterator[int]:
    """Run a server's script until it listens; give its process number."""
    file = folder / f"{name}.py"
    file.write_text(script.format(root=str(ROOT), release=str(release), port=port))
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(folder / f"{name}-home")}
    with (folder / f"{name}.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{name} did not start:\n{(folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield server.pid
    finally:
        family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def following(folder: Path, release: Path, *, canary: bool = False, shadow: bool = False) -> Following:
    """Make a store in which the release serves, and perhaps another one is its canary at 50 %, and its shadow."""
    store = Store(folder)
    slots = []
    for number in range(2):
        with store.scratch() as scratch:
            copy = scratch / "bundle"
            shutil.copytree(release, copy)
            (copy / "card.md").write_text(f"# Benchmark {number}\n")
            version = write_bundle_manifest(copy, "knowledge_tracing", ["probability"], 1e-5, None)
            draft = Release(
                ref=Ref(uri="", sha256="", bytes=0, media_type=""),
                lineage=Lineage(),
                application="knowledge_tracing",
                version=version,
                verdict="pass",
            )
            slots.append(Slot(version=version, artifact=store.publish(draft, copy).sha256))
    one, other = slots
    PointerLog(store, "knowledge_tracing").append(
        Change(
            action="canary",
            by="benchmark",
            reason="benchmark",
            champion=one,
            challenger=Challenger(version=other.version, artifact=other.artifact, percent=50) if canary else None,
            shadow=other if shadow else None,
        ),
        expected=0,
    )
    return Following(str(folder), "knowledge_tracing")


async def ask(port: int, connections: int, texts: list[bytes], key: str) -> tuple[list[float], list[int]]:
    """Send all texts over so many keep-alive connections; return latencies and statuses."""
    times: list[float] = []
    statuses: list[int] = []

    async def one(part: list[tuple[int, bytes]]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number, text in part:
            head = (
                f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {key}\r\n"
                f"Homeroom-Student: s{number % 500}\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            begin = time.perf_counter()
            writer.write(head.encode() + text)
            header = await reader.readuntil(b"\r\n\r\n")
            lines = header.decode().lower().split("\r\n")
            length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
            await reader.readexactly(length)
            times.append(time.perf_counter() - begin)
            statuses.append(int(lines[0].split()[1]))
        writer.close()
        await writer.wait_closed()

    numbered = list(enumerate(texts))
    await asyncio.gather(*(one(numbered[i::connections]) for i in range(connections)))
    return times, statuses


async def at_rate(port: int, per_s: float, seconds: float, texts: list[bytes], key: str) -> list[float]:
    """Send so many requests per second, whether answered or not; return latencies from when each was due.

    A request that has to wait for a connection waits on the server's account.
    """
    idle: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(32):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    times: list[float] = []

    async def one(due: float, text: bytes) -> None:
        reader, writer = connection = await idle.get()
        head = (
            "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {key}\r\nContent-Length: {len(text)}"
        )
        writer.write(head.encode() + b"\r\n\r\n" + text)
        header = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in header.split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(length)
        times.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    begin = time.perf_counter()
    tasks = []
    for number in range(int(per_s * seconds)):
        due = begin + number / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due, texts[number % len(texts)])))
    await asyncio.gather(*tasks)
    while not idle.empty():
        idle.get_nowait()[1].close()
    return times


def main() -> None:
    """Measure and print one JSON line per server."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=2000, help="per round and server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second of the second measurement")
    parser.add_argument("--litserve-python", default=sys.executable, help="interpreter that has litserve")
    parser.add_argument("--rate-s", type=float, default=15.0, help="how long it takes")
    chosen = parser.parse_args()
    some = bodies(200, chosen.steps)
    texts = [some[i % len(some)] for i in range(chosen.requests)]
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        release = folder / "release"
        write_release(release)
        client = Client(id="benchmark", roles=frozenset({"grade"}), rate=1e6, burst=1_000_000)
        with edited(folder / "access.json") as keys:
            key, record = new_key(client, now_utc())
            keys.append(record)
        ports: dict[str, int] = {}
        pids: dict[str, int] = {}
        ours = {
            "homeroom": following(folder / "a", release),
            "homeroom, canary": following(folder / "b", release, canary=True),
            "homeroom, canary and shadow": following(folder / "c", release, canary=True, shadow=True),
        }
        for name, served in ours.items():
            server = stack.enter_context(
                start(served, environment={"HOMEROOM_SERVE_KEYS": str(folder / "access.json")})
            )
            ports[name], pids[name] = int(server.url.rpartition(":")[2]), server.process.pid
        others = {
            "bentoml @api": (BENTO, [sys.executable, "-m", "bentoml", "serve", "bento_api:Own", "--port"]),
            "starlette": (PLAIN, [sys.executable, "plain_app.py"]),
        }
        if chosen.litserve_python != sys.executable or importlib.util.find_spec("litserve") is not None:
            others["litserve"] = (LIT, [chosen.litserve_python, "lit_api.py"])
        files = {"bentoml @api": "bento_api", "starlette": "plain_app", "litserve": "lit_api"}
        for name, (script, command) in others.items():
            port = free_port()
            file = files[name]
            if name == "bentoml @api":
                command = [*command, str(port), "--host", "127.0.0.1"]
            pids[name] = stack.enter_context(process(script, command, folder, file, port, release))
            ports[name] = port
        cpu: dict[str, list[float]] = {name: [] for name in ports}
        times: dict[str, list[float]] = {name: [] for name in ports}
        wrong = dict.fromkeys(ports, 0)
        for port in ports.values():
            for _ in range(50):
                _, statuses = asyncio.run(ask(port, 4, texts[:100], key))  # warm, and ready
                if all(status == 200 for status in statuses):
                    break
                time.sleep(0.2)
        for _ in range(chosen.rounds):
            for name, port in ports.items():
                root = psutil.Process(pids[name])
                before = cpu_seconds(root)
                found, statuses = asyncio.run(ask(port, chosen.connections, texts, key))
                cpu[name].append((cpu_seconds(root) - before) / len(texts) * 1e3)
                times[name] += found
                wrong[name] += sum(status != 200 for status in statuses)
        base = statistics.median(cpu["bentoml @api"])
        for name in ports:
            calm = statistics.quantiles(
                asyncio.run(at_rate(ports[name], chosen.rate, chosen.rate_s, texts, key)), n=100
            )
            cuts = statistics.quantiles(times[name], n=100)
            print(
                json.dumps(
                    {
                        "server": name,
                        "machine": f"{platform.machine()}, {psutil.cpu_count()} CPUs",
                        "connections": chosen.connections,
                        "steps": chosen.steps,
                        "requests": len(times[name]),
                        "not_200": wrong[name],
                        "cpu_ms_per_request": round(statistics.median(cpu[name]), 3),
                        "of_bentoml_api": round(statistics.median(cpu[name]) / base, 3),
                        "p50_ms": round(cuts[49] * 1e3, 2),
                        "p99_ms": round(cuts[98] * 1e3, 2),
                        f"p50_at_{chosen.rate:g}_per_s_ms": round(calm[49] * 1e3, 2),
                        f"p99_at_{chosen.rate:g}_per_s_ms": round(calm[98] * 1e3, 2),
                    }
                )
            )


if __name__ == "__main__":
    main()
