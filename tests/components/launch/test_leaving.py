"""How processes with threads of torch's end: as Python does, but for taking modules apart."""

import subprocess
import sys

SCRIPT = """
import atexit, threading, time
from components.launch.leaving import code_of, leave

class Kept:
    def __del__(self):
        print("taken apart", flush=True)

kept = Kept()
atexit.register(lambda: print("exit function"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("main", end=" ")
try:
    raise SystemExit({what})
except SystemExit as end:
    leave(code_of(end))
"""


def test_threads_and_exit_functions_run_and_nothing_is_taken_apart() -> None:
    for what, code, error in (("None", 0, ""), ("143", 143, ""), ("'no room'", 1, "no room\n")):
        command = [sys.executable, "-c", SCRIPT.format(what=what)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (code, error)
        assert done.stdout.split("\n") == ["main thread", "exit function", ""]
