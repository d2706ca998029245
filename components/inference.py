"""ONNX Runtime with its telemetry off: the one place that imports it and builds sessions.

From 1.31 on, its import alone writes an identifier of the device and a database of events below the user's cache
folder, and uploads the latter. `disable_telemetry_events` comes too late for that; only the environment variable, set
before the import, prevents it (the runtime's Privacy.md, "Disabling Telemetry").
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime

TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"
PROVIDERS = ("CPUExecutionProvider",)
ERRORS_ONLY = 3


def import_runtime() -> Any:  # Any: onnxruntime ships no types
    """Return the module `onnxruntime`, which then tells nobody that it is used; nor do child processes."""
    os.environ[TELEMETRY_OFF] = "1"
    import onnxruntime  # late: half a second; and after the variable

    onnxruntime.disable_telemetry_events()  # for the case that somebody else imported it before
    return onnxruntime


def open_session(model: bytes | Path, threads: int = 1) -> "onnxruntime.InferenceSession":
    """Return a session on the CPU.

    Args:
        model: the bytes of an ONNX file, or its path (which external weights need).
        threads: within one run; 1 is best for small models and many workers.
    """
    runtime = import_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # For every new shape of the inputs a memory pattern would be kept for good: a server's memory would never be flat.
    options.enable_mem_pattern = False
    options.log_severity_level = ERRORS_ONLY
    return runtime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=list(PROVIDERS)
    )
