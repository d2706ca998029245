"""How a training process ended that left no result: the signal or exit code, what is likely behind it, what to do."""

import signal

GOES_ON = "Run the same command again: it goes on from the last checkpoint, and finished stages are not repeated."
OUT_OF_MEMORY = (
    "The likely cause is that the machine ran out of memory (`dmesg` or the container's events tell). Lower "
    "train.batch_steps, close other programs or take a machine with more, then run the same command again: it goes on "
    "from the last checkpoint."
)
MISTAKE = (
    "This is a fault in native code (a library, a driver or the hardware), not in the data. Run the same command "
    "again: it goes on from the last checkpoint. If it comes back, run `homeroom doctor`."
)
REMEDIES = {
    "SIGKILL": OUT_OF_MEMORY,
    "SIGTERM": f"Somebody or the system asked it to stop. {GOES_ON}",
    "SIGINT": f"Somebody stopped it. {GOES_ON}",
    "SIGHUP": f"Its terminal was closed. {GOES_ON}",
    "SIGXCPU": f"It used more processor time than this account may. Raise the limit. {GOES_ON}",
    "SIGBUS": "A file it reads was cut off, or a disk (also /dev/shm) is full. Free some room. " + GOES_ON,
    "SIGSEGV": MISTAKE,
    "SIGABRT": MISTAKE,
    "SIGILL": MISTAKE,
    "SIGFPE": MISTAKE,
}


def ending(code: int) -> str:
    """Return how a process ended and what to do.

    Args:
        code: as `subprocess` gives it: negative for a signal. Shells and containers say 128 + signal instead.
    """
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {code} and left no result. {GOES_ON}"
    return f"was killed by {name} and left no result. {REMEDIES.get(name, GOES_ON)}"
