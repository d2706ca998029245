"""The machine that a measurement names."""

import platform
import resource


def processor_name() -> str:
    """Return the processor's name, where the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"


def peak_memory_mb() -> float:
    """Return the most resident memory that this process has had, in MiB.

    Not `ru_maxrss` where the system tells more: that begins with the size of the process which started this one.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1_024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
