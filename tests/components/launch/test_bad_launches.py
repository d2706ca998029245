"""Jobs that cannot run are refused with a message, and no process of theirs ends well."""

import json
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from components.errors import ConfigError
from components.launch.job import JobState, RankFailure
from components.launch.local import LocalLauncher
from components.launch.meeting import begin_run, check_store, host_store
from components.launch.notices import Notices
from components.train.agreement import constituents, differences
from components.train.job import Job
from tests.components.launch.elastic import logs, machines, make_spec, steps

EARLIER = RankFailure(rank=0, attempt=9, time_s=1.0, kind="EarlierError", detail="of a run that is over")


@pytest.mark.multiprocess
@pytest.mark.slow
@pytest.mark.parametrize(("settings", "kind", "said"), [
    ({"batch": 15}, "MisconfigurationException", r"15 samples cannot be shared equally by 2 processes"),
    ({"config_of_rank": True}, "ConfigError", r"Got others on rank 1 than on rank 0: configuration rate"),
])  # fmt: skip
def test_every_process_refuses(tmp_path: Path, settings: dict[str, object], kind: str, said: str) -> None:
    spec = make_spec(tmp_path, settings=settings, max_restarts=0)
    job = LocalLauncher().submit(spec)
    try:
        assert job.wait(150) is JobState.FAILED
        failure = job.failure()
    finally:
        job.cancel()
    assert failure is not None
    assert failure.kind == kind
    assert said in failure.detail
    assert failure.rank in (0, 1)
    assert json.loads((tmp_path / "job" / "ended.json").read_text()) == {"state": "failed"}
    assert "exitcode: 0" not in (tmp_path / "job" / "launch.err").read_text()
    assert steps(tmp_path) == []
    assert not (tmp_path / "final.ckpt").exists(), logs(tmp_path)


@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_machine_that_waits_in_vain_says_so(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, processes_per_node=1, nodes_min=2, nodes_max=2, join_timeout_s=2.0)
    EARLIER.write(spec.place)
    with machines(tmp_path, spec) as job:
        assert job.start("a").wait(150) == 1
        said = f"Not enough machines met at {job.rdzv} within 2 s. Got fewer than 2; expected 2 to 2."
        assert said in job.log("a")
    failure = RankFailure.first(tmp_path / "job")
    assert failure is not None
    assert (failure.rank, failure.kind, failure.detail[: len(said)]) == (-1, "RendezvousTimeoutError", said)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} of .* it is taken"):
            host_store(port)


def test_a_store_listens_where_it_is_told(tmp_path: Path) -> None:
    """On Linux, all of 127.0.0.0/8 is this machine."""
    here, everywhere = host_store(0, "127.0.0.1"), host_store(0)
    check_store(f"127.0.0.1:{here.port}", 5)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", here.port), timeout=5)
    socket.create_connection(("127.0.0.2", everywhere.port), timeout=5).close()
    with pytest.raises(ConfigError, match=rf"at 127\.0\.0\.1 \(--bind\), port {here.port}: .*in use"):
        host_store(here.port, "127.0.0.1")
    with pytest.raises(ConfigError, match=r"at 192\.0\.2\.1 \(--bind\), port 0: .*Expected an address of this machine"):
        host_store(0, "192.0.2.1")  # an address for documentation, RFC 5737


def test_the_first_machine_at_a_store_removes_what_an_earlier_run_left(tmp_path: Path) -> None:
    EARLIER.write(tmp_path)
    Notices(tmp_path, 1).begin(0)
    for _ in range(2):
        store = host_store(0)
        begin_run(check_store(f"127.0.0.1:{store.port}", 5), tmp_path, 5)
        assert RankFailure.first(tmp_path) is None
        assert list(tmp_path.iterdir()) == []
        failure = replace(EARLIER, kind="OwnError")
        failure.write(tmp_path)
        begin_run(check_store(f"127.0.0.1:{store.port}", 5), tmp_path, 5)  # a machine that comes later, or again
        assert RankFailure.first(tmp_path) == failure


def test_a_machine_goes_on_when_the_first_one_is_gone(tmp_path: Path) -> None:
    store = host_store(0)
    store.compare_set("homeroom/first", "", "one that is gone")
    EARLIER.write(tmp_path)
    begin_run(store, tmp_path, 0.2)
    assert RankFailure.first(tmp_path) == EARLIER


def test_machines_reach_a_store_or_say_that_there_is_none() -> None:
    store = host_store(0)
    check_store(f"127.0.0.1:{store.port}", 5)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConfigError, match=rf"Nobody answers at 127\.0\.0\.1:{port}"):
        check_store(f"127.0.0.1:{port}", timedelta(seconds=1).total_seconds())
    with pytest.raises(ConfigError, match="Expected HOST:PORT"):
        check_store("nowhere", 1)


def test_what_processes_are_made_of_is_compared_by_name(tmp_path: Path) -> None:
    one = constituents(Job(package="flows.knowledge_tracing", dataset="d", folder="f", config={"seed": 1, "rate": 0.1}))
    same = constituents(
        Job(package="flows.knowledge_tracing", dataset="e", folder="g", config={"seed": 1, "rate": 0.1})
    )
    assert differences(one, same) == []  # places differ from machine to machine
    other = constituents(Job(package="flows.knowledge_tracing", dataset="d", folder="f", config={"seed": 2}))
    assert differences(one, other) == ["configuration rate", "configuration seed"]
    assert "module components.train.job" in one
    changed = {**one, "module components.train.job": "0", "module components.more": "1"}
    assert differences(one, changed) == ["module components.train.job"]
