"""Start-up: imports, help, and a second run that finds everything done, as whole processes.

    python benchmarks/startup.py [--rounds 5] [--json]

Prefect's own start-up is a flow that does nothing, in turn with the second run as a flow; their difference is ours.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMITS_S = {
    "import components.artifacts": 0.5,
    "homeroom --help": 0.5,
    "second run without Prefect": 0.5,
    "second run with Prefect, beyond an empty flow": 3.0,
}
EMPTY_FLOW = "from prefect import flow\n@flow\ndef empty(): return 1\nempty()"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        medians = measure(Path(home), arguments.rounds)
    if arguments.json:
        print(json.dumps(medians, indent=1))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, limit in LIMITS_S.items():
        print(f"{name:<46} {medians[name]:6.2f} s  (limit {limit} s)")
    print(f"{'(an empty Prefect flow)':<46} {medians['an empty Prefect flow']:6.2f} s")


def measure(home: Path, rounds: int) -> dict[str, float]:
    """Return medians of wall seconds of whole processes."""
    environment = {
        **os.environ,
        "HOMEROOM_STORE": str(home / "store"),
        "HOMEROOM_KEYS": str(home / "keys"),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    environment.pop("PREFECT_API_URL", None)
    homeroom = [sys.executable, "-m", "flows"]
    logs = str(home / "district.parquet")
    run = [*homeroom, "run", "knowledge_tracing", "--data", logs, "--set", "train.max_epochs=1"]

    def seconds(command: list[str]) -> float:
        clock = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
        return time.perf_counter() - clock

    seconds([*homeroom, "simulate", "--out", logs, "--set", "students=600"])
    seconds([*run, "--no-prefect"])
    seconds([sys.executable, "-c", EMPTY_FLOW])  # makes Prefect's database
    commands = {
        "import components.artifacts": [sys.executable, "-c", "import components.artifacts"],
        "homeroom --help": [*homeroom, "--help"],
        "second run without Prefect": [*run, "--no-prefect"],
        "an empty Prefect flow": [sys.executable, "-c", EMPTY_FLOW],
        "second run with Prefect": run,
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    beyond = [b - a for a, b in zip(times["an empty Prefect flow"], times["second run with Prefect"], strict=True)]
    return {
        **{name: statistics.median(values) for name, values in times.items()},
        "second run with Prefect, beyond an empty flow": statistics.median(beyond),
    }


if __name__ == "__main__":
    main()
