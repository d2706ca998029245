"""A flow's process in the tests: submits the job of a file and waits for it."""

import sys
from pathlib import Path

from components.launch.local import LocalLauncher
from components.launch.spec import LaunchSpec

if __name__ == "__main__":
    LocalLauncher().submit(LaunchSpec.from_json(Path(sys.argv[1]).read_text())).wait()
