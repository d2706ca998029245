"""What was found: the goals, a table, and errors of sections that failed."""

from __future__ import annotations

import math
import platform
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.gpu.device import is_cuda

Found = dict[str, Any]
GOALS = {
    "bert_share": 0.40,
    "dkt_interactions_per_s": 25e6,
    "busy": 0.95,
    "syncs_per_step": 0.0,
    "parity": 1e-3,
}


def guarded(run: Callable[[], Found]) -> Found:
    """Return what `run` returns, or its error."""
    try:
        return run()
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-2000:]}


def machine() -> Found:
    """Return what this ran on."""
    found: Found = {"python": platform.python_version(), "torch": torch.__version__, "system": platform.platform()}
    if is_cuda():
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda}
        found["cudnn"] = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # as above
    return found


def table(found: Found) -> str:
    """Return the results as a table, with the goals."""
    rows = [("what", "found", "goal"), ("---", "---:", "---:")]

    def add(what: str, value: object, goal: str = "", form: str = "{:.3g}") -> None:
        rows.append((what, form.format(value) if isinstance(value, int | float) else "-", goal))

    floors, bert, dkt = (found.get(name, {}) for name in ("floors", "bert", "dkt"))
    for name in ("bf16_tflops", "fp32_tflops", "tf32_tflops", "bf16_tflops_of_a_layer"):
        add(name.replace("_", " "), floors.get(name), form="{:.4g}")
    add("copies on the device, GB/s", floors.get("copy_gb_per_s"))
    add("copies from the host, GB/s", floors.get("from_host_gb_per_s"))
    how = f"{bert.get('essays')} essays{', compiled' if bert.get('compiled') else ''}"
    add(f"essay scorer ({how}), TFLOP/s", bert.get("tflops"), form="{:.4g}")
    add("share of the bf16 rate", bert.get("bert_share"), "0.40")
    add("peak memory, GiB", bert.get("peak_gib"))
    add(f"knowledge tracing ({dkt.get('windows')} windows), million interactions/s",
        dkt.get("dkt_interactions_per_s", math.nan) / 1e6, "25")  # fmt: skip
    add("AUC of small batches", dkt.get("auc_of_small_batches"), form="{:.4f}")
    add("AUC reached", dkt.get("auc"), f"{dkt.get('auc_of_the_truth', math.nan):.4f} is the truth's", "{:.4f}")
    add("peak memory, GiB", dkt.get("peak_gib"))
    for name, one in found.get("trace", {}).items():
        if isinstance(one, dict) and "error" not in one:
            add(f"{name}: busy", one["busy"], "0.95")
            add(f"{name}: waits for the device a step", one["syncs_per_step"], "0")
            add(f"{name}: `item` a step", one["items_per_step"], "0")
    for name, one in found.get("parity", {}).items():
        if isinstance(one, dict):
            add(f"parity with the CPU: {name}", one["largest_difference"], "0.001" if "32" in name else "")
    for name, one in found.get("overhead", {}).items():
        if isinstance(one, dict) and "error" not in one:
            add(f"overhead: {name}, us a step ({one['bare_us']:.0f} bare)", one["step_us"], form="{:.0f}")
            add(f"overhead: {name}, ratio", one["ratio"])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    errors = [f"\n{name} failed: {one['error']}" for name, one in walk(found) if "error" in one]
    return "\n".join([*lines, *errors])


def walk(found: Found, path: str = "") -> Iterator[tuple[str, Found]]:
    """Yield every dict in the results with the way to it."""
    yield path or "all", found
    for name, value in found.items():
        inner = value if isinstance(value, list) else [value]
        for one in inner:
            if isinstance(one, dict):
                yield from walk(one, f"{path}/{name}" if path else name)
