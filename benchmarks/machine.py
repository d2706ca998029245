"""The machine that a measurement names."""

import platform


def processor_name() -> str:
    """Return the processor's name, where the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
