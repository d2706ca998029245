"""What the processes of the tests' jobs run: `rank_job MODE [RANK]`."""

import atexit
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

RANK = int(os.environ["RANK"])
ATTEMPT = int(os.environ["TORCHELASTIC_RESTART_COUNT"])


def say(text: str) -> None:
    sys.stdout.write(f"rank {RANK} of {os.environ['WORLD_SIZE']}, attempt {ATTEMPT}: {text}\n")
    sys.stdout.flush()


def raise_here() -> None:
    raise ZeroDivisionError(f"rank {RANK} divided by zero")


def together(failing: int, kill: bool) -> None:
    """Exchange tensors until one process fails; the others' connections break."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    for step in range(1000):
        dist.all_reduce(torch.ones(1))
        if step == 20 and failing == RANK:
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise_here()


def stubborn() -> None:
    """Outlive SIGTERM, with a child that does so too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    Path(os.environ["JOB_PIDS"], f"{os.getpid()}").touch()
    Path(os.environ["JOB_PIDS"], f"{child.pid}").touch()
    say("started")
    time.sleep(600)


def end_when_asked(alone: bool) -> None:
    """End at notice as the trainer does, together with the others or because an exchange broke."""
    from trainer.errors import SIGTERMException

    def end(*_: object) -> None:
        raise SIGTERMException() if alone else SIGTERMException.of_all_processes()

    signal.signal(signal.SIGTERM, end)
    say("started")
    time.sleep(600)


def abort_at_the_end() -> None:
    """Raise, and be aborted while the interpreter ends, as a thread of a process group can do."""
    atexit.register(os.abort)
    raise_here()


def main() -> None:
    mode, rank = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else -1
    if mode == "print":
        say(os.environ.get("JOB_WORD", "nothing"))
        say(f"fresh store {os.environ.get('TORCH_DISABLE_SHARE_RDZV_TCP_STORE')}")
        say(f"waits {os.environ.get('TRAINER_TIMEOUT_S')} s")
    elif mode == "raise":
        if rank == RANK:
            raise_here()
        time.sleep(600)
    elif mode == "abort":
        if rank == RANK:
            abort_at_the_end()
        time.sleep(600)
    elif mode == "exit":
        if rank == RANK:
            sys.exit(7)
        time.sleep(600)
    elif mode in ("raise-together", "kill-together"):
        together(rank, kill=mode == "kill-together")
    elif mode == "kill-once":
        if rank == RANK and ATTEMPT == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5 if ATTEMPT else 600)
        say("done")
    elif mode == "stubborn":
        stubborn()
    elif mode in ("end-together", "end-alone"):
        end_when_asked(alone=mode == "end-alone" and rank == RANK)


if __name__ == "__main__":
    main()
