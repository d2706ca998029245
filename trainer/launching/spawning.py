"""Running a function in several processes of this machine, started by torch.multiprocessing, and never leaving one."""

from __future__ import annotations

import contextlib
import gc
import io
import multiprocessing.connection
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import torch
import torch.multiprocessing
from torch import Tensor
from torch._C._distributed_c10d import TCPStore  # torch.distributed hides it from type checkers
from torch.multiprocessing.spawn import ProcessRaisedException

from trainer.errors import MisconfigurationException, RankFailedError, SIGTERMException, four_parts
from trainer.launching.environments import LAUNCHED_VARIABLE
from trainer.launching.launchers import PARENT_VARIABLE, REPORT_VARIABLE, guard_child, report_failure
from trainer.seed import capture_rng, restore_rng
from trainer.types import PlainState

StartMethod: TypeAlias = Literal["popen", "spawn", "fork", "forkserver"]
"""How further processes begin: with the script again, with a new interpreter, or as copies of this process."""

_POLL_S = 0.1
_GRACE_S = 5.0


class ProcessFailedError(RankFailedError, ProcessRaisedException):
    """A process that was started for the run failed; its traceback is in the message.

    It is also what `torch.multiprocessing` raises in this case, for code that expects that.
    """

    def __init__(self, message: str, rank: int = 0, pid: int = 0) -> None:
        ProcessRaisedException.__init__(self, message, rank, pid)


def check_start_method(method: str) -> None:
    """Refuse a start method that this system does not have.

    Raises:
        ValueError: it is unknown, or not available here.
    """
    known = ["popen", *torch.multiprocessing.get_all_start_methods()]
    if method not in known:
        raise ValueError(f"The start method {method!r} is not available on this platform. Available: {known}.")


def run_in_processes(work: Callable[[], Any], processes: int, method: str, parts: dict[str, Any]) -> list[Any]:
    """Call `work` in each of `processes` new processes at once, and return what they return, by rank.

    Each finds its place in the environment variables, as after torchrun, and has the random generators of this
    process. With "spawn", everything is pickled once; tensors are copied. The first failure ends all within seconds.

    Args:
        work: what to call.
        processes: how many.
        method: "spawn", "fork" or "forkserver".
        parts: what `work` holds, by name, for the message where something cannot be pickled.

    Raises:
        ProcessFailedError: one of them failed; the message has the first one's traceback.
        SIGTERMException: this process was asked to end, and so did they.
        MisconfigurationException: something cannot be pickled.
        RuntimeError: processes cannot be started here.
    """
    _check_place(method)
    payload: Any = work if method == "fork" else _pickled(work, parts)
    if method == "fork":
        import_module("torch._dynamo")  # DistributedDataParallel imports it, for seconds; here it is done once
    folder = Path(tempfile.mkdtemp(prefix="trainer-"))
    server = TCPStore("127.0.0.1", 0, processes, is_master=True, wait_for_workers=False)
    context: Any = torch.multiprocessing.get_context(method)  # torch and Python leave its parts untyped
    globals_ = pickle.dumps(_Globals.captured())
    running = _Running(folder, [])
    try:
        with _sigterm_passed_on(running), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)  # from Python 3.12 on
            for rank in range(processes):
                place = _Place(rank, processes, server.port, folder, method, globals_)
                process = context.Process(target=_work, args=(payload, place), name=f"rank-{rank}")
                running.processes.append(process)
                process.start()
            del payload
            running.wait()
        return [_read(folder / f"result-{rank}.pkl", rank) for rank in range(processes)]
    finally:
        running.kill()
        del server  # tracebacks would keep it, and its thread
        shutil.rmtree(folder, ignore_errors=True)


def _check_place(method: str) -> None:
    if method == "fork" and torch.distributed.is_initialized():
        from trainer.strategies.ddp import leave_group

        leave_group()  # an earlier run's, in which this process is alone; a copy of it would be taken for the new one
    if method in ("fork", "forkserver") and (torch.cuda.is_initialized() or torch.cuda._is_in_bad_fork()):  # type: ignore[no-untyped-call]  # torch leaves it untyped
        raise RuntimeError(
            "A copy of this process could not use CUDA, as CUDA is in use here already. Got "
            f"start_method={method!r}; expected a process that has made no CUDA tensor and called nothing of "
            "`torch.cuda`. Restart the notebook's kernel, or pass strategy='ddp_spawn' in a script."
        )
    if getattr(torch.multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "The script that starts processes is run again in each of them, and its top level starts processes. Got a "
            "script without a guard; expected `if __name__ == '__main__':` around what is not a definition. Add it."
        )


@dataclass(frozen=True, slots=True)
class _Globals:
    """Settings of this process that a new interpreter would not have."""

    deterministic: bool
    warns_only: bool
    benchmark: bool
    dtype: torch.dtype
    matmul_precision: str
    rng: PlainState

    @classmethod
    def captured(cls) -> _Globals:
        return cls(
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.benchmark,
            torch.get_default_dtype(),
            torch.get_float32_matmul_precision(),
            {name: state for name, state in capture_rng().items() if name != "cuda"},
        )

    def restore(self) -> None:
        if self.deterministic:  # setting it, even to False, imports torch's compiler
            torch.use_deterministic_algorithms(True, warn_only=self.warns_only)
        torch.backends.cudnn.benchmark = self.benchmark
        torch.set_default_dtype(self.dtype)
        torch.set_float32_matmul_precision(self.matmul_precision)
        restore_rng(self.rng)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a new process stands, and whom it reports to."""

    rank: int
    processes: int
    port: int
    folder: Path
    method: str
    globals_: bytes

    def variables(self) -> dict[str, str]:
        return {
            LAUNCHED_VARIABLE: "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.port),
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.rank),
            "WORLD_SIZE": str(self.processes),
            "LOCAL_WORLD_SIZE": str(self.processes),
            REPORT_VARIABLE: str(self.folder / f"rank-{self.rank}.txt"),
            PARENT_VARIABLE: str(os.getppid()),  # of a fork server, where there is one
        }


# In the new process


def _work(payload: Any, place: _Place) -> None:
    """Call the work and leave its result in the folder."""
    os.setpgid(0, 0)  # killed as a whole, with workers of its own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a copied process has the handler of the first
    if place.method == "fork":
        # What was copied is never collected: objects with threads, which are not there, would wait for them or abort.
        gc.freeze()
    os.environ.update(place.variables())
    guard_child()
    _limit_threads(place)
    failed = True
    try:
        pickle.loads(place.globals_).restore()
        work = pickle.loads(payload) if isinstance(payload, bytes) else payload
        result = work()
        _write(place.folder / f"result-{place.rank}.pkl", result)
        failed = False
    except BaseException as error:
        report_failure(error)
        if isinstance(error, SIGTERMException):
            (place.folder / "terminated").touch()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if failed:
            os._exit(1)  # threads of the process group may wait for others
    from trainer.strategies.ddp import leave_group

    leave_group()


def _limit_threads(place: _Place) -> None:
    if place.method == "fork":
        # The threads of the copied process are not there: whatever would use them waits for ever.
        torch.set_num_threads(1)
    elif "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // place.processes))


class CPUPickler(pickle.Pickler):
    """Copies tensors into the stream; those of a device as tensors of the CPU."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, protocol=4)

    def reducer_override(self, obj: Any) -> Any:
        """Return how to pickle `obj`, where that is special."""
        if isinstance(obj, Tensor) and obj.device.type not in ("cpu", "meta"):
            return obj.detach().cpu().__reduce_ex__(4)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return NotImplemented


def _write(path: Path, result: Any) -> None:
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        CPUPickler(file).dump(result)
    os.replace(part, path)


# In the process that started them


class ScriptUnpickler(pickle.Unpickler):
    """Reads objects of classes of the script, whose module has another name in a new interpreter."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Return the class or function of this name."""
        return super().find_class("__main__" if module_name == "__mp_main__" else module_name, global_name)


def _read(path: Path, rank: int) -> Any:
    if not path.exists():
        raise ProcessFailedError(f"Rank {rank} ended without a result and without an error: it called exit.")
    with open(path, "rb") as file:
        return ScriptUnpickler(file).load()


def _pickled(work: Any, parts: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    try:
        pickle.Pickler(buffer, protocol=4).dump(work)
    except Exception as error:
        name, reason = next(_unpicklable(parts), ("what is to run", error))
        raise MisconfigurationException(
            four_parts(
                "A new process cannot be given what cannot be pickled.",
                got=f"{name}: {reason}",
                expected="a module, callbacks and loaders of classes from the top level of a file, without lambdas, "
                "open files or locks in them",
                remedy="Move the class or function there, or pass strategy='ddp', which runs the script again.",
            )
        ) from error
    return buffer.getvalue()


def _unpicklable(parts: dict[str, Any]) -> Iterator[tuple[str, Exception]]:
    for name, part in parts.items():
        try:
            pickle.Pickler(io.BytesIO(), protocol=4).dump(part)
        except Exception as error:
            yield name, error


class _Running:
    """The processes that were started, until they end."""

    def __init__(self, folder: Path, processes: list[Any]) -> None:
        self.folder = folder
        self.processes = processes
        self.is_terminated = False

    def wait(self) -> None:
        """Return when all have ended well.

        Raises:
            ProcessFailedError: one did not.
            SIGTERMException: they were asked to end.
        """
        try:
            while (alive := self._sentinels()) and not self._has_failure():
                multiprocessing.connection.wait(alive, timeout=_POLL_S)
        except KeyboardInterrupt:
            self.signal(signal.SIGINT)
            self._wait_for_hooks()
            raise
        if not self._has_failure():
            return
        self._wait_for_hooks()
        rank, detail = self._first_failure()
        self.kill()
        if self.is_terminated or (self.folder / "terminated").exists():
            raise SIGTERMException()
        pid = self.processes[rank].pid or 0
        raise ProcessFailedError(f"Rank {rank} failed first; the run was ended. Its traceback:\n{detail}", rank, pid)

    def _sentinels(self) -> list[int]:
        return [process.sentinel for process in self.processes if process.is_alive()]

    def _wait_for_hooks(self) -> None:
        """Let those that failed run their hooks."""
        deadline = time.monotonic() + _GRACE_S
        while time.monotonic() < deadline and (alive := self._sentinels()):
            multiprocessing.connection.wait(alive, timeout=_POLL_S)

    def _reports(self) -> list[Path]:
        return sorted(self.folder.glob("rank-*.txt"), key=lambda path: path.stat().st_mtime_ns)

    def _has_failure(self) -> bool:
        return bool(self._reports()) or any(process.exitcode not in (None, 0) for process in self.processes)

    def _first_failure(self) -> tuple[int, str]:
        # What was killed wrote nothing, and what the others wrote afterwards is about the lost connection.
        killed = [rank for rank, process in enumerate(self.processes) if (process.exitcode or 0) < 0]
        for rank in killed:
            if not (self.folder / f"rank-{rank}.txt").exists():
                number = -self.processes[rank].exitcode
                return rank, f"It was killed by signal {number} ({signal.strsignal(number)}).\n"
        for report in self._reports():
            return int(report.stem.removeprefix("rank-")), report.read_text()
        rank = next(rank for rank, process in enumerate(self.processes) if process.exitcode not in (None, 0))
        return rank, f"It wrote nothing here; see its output above. Exit code: {self.processes[rank].exitcode}.\n"

    def signal(self, number: int) -> None:
        """Send a signal to all that still run."""
        for process in self.processes:
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, number)

    def terminate(self) -> None:
        """Ask all to end after their batch."""
        self.signal(signal.SIGKILL if self.is_terminated else signal.SIGTERM)  # whoever asks twice waits no longer
        self.is_terminated = True

    def kill(self) -> None:
        """End what still runs, with its own workers."""
        if not any(process.pid is not None and process.is_alive() for process in self.processes):
            return
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and any(process.is_alive() for process in self.processes):
            time.sleep(_POLL_S / 2)
        for process in self.processes:
            if process.pid is not None and process.is_alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGKILL)
                process.join(_GRACE_S)


@contextlib.contextmanager
def _sigterm_passed_on(running: _Running) -> Iterator[None]:
    """Let SIGTERM go to the processes inside the block: they finish their batch, and the run ends everywhere."""
    try:
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda number, _: running.terminate())
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
