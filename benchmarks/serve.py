"""Requests per second, latency and CPU time per request of one serving worker, asked over keep-alive connections.

    python benchmarks/serve.py --connections 16 --requests 4000

Without --release it serves a GRU with random weights (64 wide, 100 items, 50 skills) in a bundle of its own. Client and
server run on loopback and share the machine: the CPU time of the server's processes is the steadier figure.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from components.bundle import write_bundle_manifest  # noqa: E402  # after the path is set
from components.monitoring.names import REFERENCE  # noqa: E402
from components.monitoring.reference import Reference, reference_of  # noqa: E402
from components.monitoring.signals import signals_of  # noqa: E402
from serving.bundle import Bundle, load_bundle  # noqa: E402
from serving.run import start  # noqa: E402

WIDTH = 64
ITEMS, SKILLS, MAX_SKILLS, MAX_STEPS = 100, 50, 4, 200


def gru_model(seed: int = 0) -> bytes:
    """Return a GRU over embedded items, summed skills and responses, as ONNX, with random weights."""
    source = np.random.default_rng(seed)

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(source.normal(0, 0.1, shape).astype(np.float32), name)

    weights = [
        weight("item_table", ITEMS + 2, WIDTH),
        weight("skill_table", SKILLS + 2, WIDTH),
        weight("w", 1, 3 * WIDTH, WIDTH + 1),
        weight("r", 1, 3 * WIDTH, WIDTH),
        weight("b", 1, 6 * WIDTH),
        weight("head", WIDTH, 1),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
        numpy_helper.from_array(np.array([1], np.int64), "one"),
    ]
    nodes = [
        helper.make_node("Gather", ["item_table", "items"], ["item_emb"]),
        helper.make_node("Gather", ["skill_table", "skills"], ["skill_embs"]),
        helper.make_node("ReduceSum", ["skill_embs", "two"], ["skill_emb"], keepdims=0),
        helper.make_node("Add", ["item_emb", "skill_emb"], ["emb"]),
        helper.make_node("Unsqueeze", ["responses", "two"], ["response"]),
        helper.make_node("Concat", ["emb", "response"], ["x"], axis=2),
        helper.make_node("Transpose", ["x"], ["x_time_first"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["x_time_first", "w", "r", "b"], ["states"], hidden_size=WIDTH, linear_before_reset=1),
        helper.make_node("Squeeze", ["states", "one"], ["hidden_time_first"]),
        helper.make_node("Transpose", ["hidden_time_first"], ["hidden"], perm=[1, 0, 2]),
        helper.make_node("MatMul", ["hidden", "head"], ["logit"]),
        helper.make_node("Squeeze", ["logit", "two"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info("items", TensorProto.INT64, ["batch", "steps"]),
        helper.make_tensor_value_info("skills", TensorProto.INT64, ["batch", "steps", MAX_SKILLS]),
        helper.make_tensor_value_info("responses", TensorProto.FLOAT, ["batch", "steps"]),
    ]
    output = helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", "steps"])
    graph = helper.make_graph(nodes, "gru", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    body: bytes = model.SerializeToString()
    return body


def write_release(folder: Path, seed: int = 0) -> None:
    """Write a knowledge-tracing bundle around the GRU of a seed; golden answers and reference are the model's own."""
    codec = (ROOT / "flows" / "knowledge_tracing" / "codec.py").read_bytes()
    vocabulary = {
        "codec": "knowledge_tracing",
        "version": 1,
        "items": [f"i{i}" for i in range(ITEMS)],
        "skills": [f"s{i}" for i in range(SKILLS)],
        "max_skills": MAX_SKILLS,
        "max_len_steps": MAX_STEPS,
    }
    folder.mkdir(parents=True)
    (folder / "codec.py").write_bytes(codec)
    (folder / "codec.json").write_text(json.dumps(vocabulary))
    (folder / "model.onnx").write_bytes(gru_model(seed))
    (folder / "card.md").write_text("# Benchmark\n")
    first = {"predictions": [], "steps_used": 0, "flags": []}  # replaced below, once the bundle can be loaded
    for answers in ([first], None):
        if answers is None:
            loaded = load_bundle(folder)
            requests = list(loaded.codec.golden_requests(8, 1))
            golden = {
                "requests": [loaded.requests.plain(r) for r in requests],
                "answers": [loaded.answers.plain(loaded.answer([r])[0]) for r in requests],
            }
            (folder / REFERENCE).write_text(json.dumps(reference(loaded, 500).to_json()))
        else:
            golden = {"requests": [{"candidates": [{"item": "i0"}]}], "answers": answers}
        (folder / "golden.json").write_text(json.dumps(golden))
        write_bundle_manifest(folder, "knowledge_tracing", ["probability"], 1e-5, None)


def reference(bundle: Bundle, count: int) -> Reference:
    """Return how the signals of so many random requests lie, each of a student of its own: a service counts by it."""
    found: dict[str, list[float]] = {}
    for text in bodies(count, 50):
        request = bundle.requests.read(text)
        answer = bundle.answers.plain(bundle.answer([request])[0])
        for name, value in signals_of(bundle.codec, request, answer).items():
            found.setdefault(name, []).append(value)
    signals = {name: reference_of(np.array(values), np.arange(len(values))) for name, values in found.items()}
    known = {name: one for name, one in signals.items() if one is not None}
    return Reference(split="random", requests=count, students=count, signals=known)


def bodies(count: int, steps: int) -> list[bytes]:
    """Return request bodies with `steps` random answers and one candidate each."""
    source = np.random.default_rng(2)

    def step() -> dict[str, Any]:
        return {"item": f"i{source.integers(ITEMS)}", "skills": [f"s{source.integers(SKILLS)}"]}

    made = []
    for _ in range(count):
        history = [{**step(), "correct": int(source.integers(2))} for _ in range(steps)]
        made.append(json.dumps({"history": history, "candidates": [step()]}).encode())
    return made


async def one_connection(host: str, port: int, texts: list[bytes], times: list[float], statuses: list[int]) -> None:
    """Send the requests one after the other over one connection; a 429 or 503 without Retry-After is negative."""
    reader, writer = await asyncio.open_connection(host, port)
    for text in texts:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(text)}"
        begin = time.perf_counter()
        writer.write(head.encode() + b"\r\n\r\n" + text)
        header = await reader.readuntil(b"\r\n\r\n")
        lines = header.decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
        await reader.readexactly(length)
        times.append(time.perf_counter() - begin)
        status = int(lines[0].split()[1])
        is_told = any(line.startswith("retry-after:") for line in lines)
        statuses.append(status if status not in {429, 503} or is_told else -status)
    writer.close()
    await writer.wait_closed()


async def load(host: str, port: int, connections: int, texts: list[bytes]) -> tuple[float, list[float], list[int]]:
    """Return wall seconds, latencies and statuses of sending all texts over so many connections."""
    times: list[float] = []
    statuses: list[int] = []
    begin = time.perf_counter()
    parts = [texts[i::connections] for i in range(connections)]
    await asyncio.gather(*(one_connection(host, port, part, times, statuses) for part in parts))
    return time.perf_counter() - begin, times, statuses


def cpu_seconds(root: psutil.Process) -> float:
    """Return user and system seconds of a process and all below it."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        spent = process.cpu_times()
        total += spent.user + spent.system
    return total


def memory_mb(root: psutil.Process) -> float:
    """Return the memory that a process and all below it use and share with nobody, MB."""
    return float(sum(one.memory_full_info().uss for one in [root, *root.children(recursive=True)])) / 1e6


def main() -> None:
    """Measure and print one JSON line per round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, help="folder of a knowledge-tracing release")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=4000, help="per round")
    parser.add_argument("--steps", type=int, default=50, help="answers in each request's history")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, help="most requests that may wait, for a look at overload")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        release = chosen.release
        if release is None:
            release = Path(scratch) / "release"
            write_release(release)
        texts = bodies(min(chosen.requests, 200), chosen.steps)
        texts = [texts[i % len(texts)] for i in range(chosen.requests)]
        waiting = {} if chosen.waiting is None else {"HOMEROOM_SERVE_WAITING": str(chosen.waiting)}
        with start(release, environment=waiting) as server:
            host, port = server.url.removeprefix("http://").split(":")
            asyncio.run(load(host, int(port), chosen.connections, texts[:200]))  # warm
            root = psutil.Process(server.process.pid)
            for _ in range(chosen.rounds):
                before = cpu_seconds(root)
                wall, times, statuses = asyncio.run(load(host, int(port), chosen.connections, texts))
                cpu = cpu_seconds(root) - before
                cuts = statistics.quantiles(times, n=100)
                found = {
                    "machine": f"{platform.machine()}, {psutil.cpu_count()} CPUs",
                    "connections": chosen.connections,
                    "steps": chosen.steps,
                    "requests": len(times),
                    "statuses": {str(status): count for status, count in sorted(Counter(statuses).items())},
                    "requests_per_s": round(len(times) / wall, 1),
                    "p50_ms": round(cuts[49] * 1e3, 2),
                    "p95_ms": round(cuts[94] * 1e3, 2),
                    "p99_ms": round(cuts[98] * 1e3, 2),
                    "server_cpu_ms_per_request": round(cpu / len(times) * 1e3, 3),
                    "server_memory_mb": round(memory_mb(root), 1),
                }
                print(json.dumps(found))


if __name__ == "__main__":
    main()
